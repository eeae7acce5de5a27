// SPDX-License-Identifier: Apache-2.0
#include "lib/groups/files.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "lib/policy/address.h"
#include "lib/policy/network_target.h"

namespace cellrun::groups {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::string_view kBlanks = " \t\r\n";

std::string DefaultPort(std::string_view scheme) {
  if (scheme == "http") return "80";
  return scheme == "https" ? "443" : "";
}

// Of the machine itself: in a cell that is the cell.
bool IsLocal(const std::string& host) {
  const auto address = policy::ParseAddress(host);
  const bool loopback = address && policy::ReachOf(*address) == policy::Reach::kLoopback;
  return loopback || host == "localhost" || host.ends_with(".localhost");
}

}  // namespace

std::string ReadText(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "";
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::vector<std::string> ReadLines(const std::string& path) {
  std::vector<std::string> lines;
  const std::string text = ReadText(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(Trim(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

std::vector<std::string> Matching(const std::string& pattern) {
  std::vector<std::string> paths;
  glob_t found{};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  return paths;
}

std::string_view Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

std::string_view Unquote(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

std::vector<std::string> Words(std::string_view text, std::string_view separators) {
  const std::string ends = std::string(kBlanks) + std::string(separators);
  std::vector<std::string> words;
  while (true) {
    const std::size_t begin = text.find_first_not_of(ends);
    if (begin == std::string_view::npos) return words;
    const std::size_t end = std::min(text.find_first_of(ends, begin), text.size());
    words.emplace_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
}

std::vector<std::string> Quoted(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t begin = text.find_first_of("'\"");
    if (begin == std::string_view::npos) return parts;
    const std::size_t end = text.find(text[begin], begin + 1);
    if (end == std::string_view::npos) return parts;
    parts.emplace_back(text.substr(begin + 1, end - begin - 1));
    text.remove_prefix(end + 1);
  }
}

Setting SettingOf(std::string_view line) {
  line = Trim(line);
  const std::size_t equals = line.find('=');
  if (line.empty() || line[0] == '#' || line[0] == ';' || equals == std::string_view::npos) {
    return {};
  }
  return {.key = std::string(Trim(line.substr(0, equals))),
          .value = std::string(Unquote(Trim(line.substr(equals + 1))))};
}

std::string EndpointOfUrl(std::string_view url) {
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos) return "";
  std::string port = DefaultPort(url.substr(0, colon));
  if (port.empty()) return "";
  std::string_view rest = url.substr(colon + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  const std::size_t user = rest.rfind('@');
  if (user != std::string_view::npos) rest.remove_prefix(user + 1);
  const bool bracketed = rest.starts_with('[');
  const std::size_t after = bracketed ? rest.find(']') : 0;
  if (after == std::string_view::npos) return "";
  const std::size_t port_at = rest.find(':', after);
  if (port_at != std::string_view::npos) port = rest.substr(port_at + 1);
  std::string host(rest.substr(0, port_at));
  const std::string bare = bracketed ? host.substr(1, after - 1) : host;
  if (IsLocal(bare)) return "";
  const std::string endpoint = host + ":" + port;
  const auto target = policy::ParseEndpoint(endpoint);
  const bool one_host = target.ok() && (target->kind == policy::NetworkTarget::Kind::kName ||
                                        target->kind == policy::NetworkTarget::Kind::kBlock);
  return one_host && host.find('/') == std::string::npos ? endpoint : "";
}

}  // namespace cellrun::groups
