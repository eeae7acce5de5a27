// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/git_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace cellrun::cells {
namespace {

struct HarmlessKey {
  std::string_view section, key;  // lower case; "*" for any key
};
constexpr std::array kHarmless = {
    HarmlessKey{"core", "repositoryformatversion"},
    HarmlessKey{"core", "filemode"},
    HarmlessKey{"core", "bare"},
    HarmlessKey{"core", "logallrefupdates"},
    HarmlessKey{"core", "ignorecase"},
    HarmlessKey{"core", "precomposeunicode"},
    HarmlessKey{"core", "symlinks"},
    HarmlessKey{"core", "sharedrepository"},
    HarmlessKey{"extensions", "objectformat"},
    HarmlessKey{"extensions", "refstorage"},
    HarmlessKey{"extensions", "partialclone"},
    HarmlessKey{"receive", "denynonfastforwards"},
    HarmlessKey{"remote", "url"},
    HarmlessKey{"remote", "pushurl"},
    HarmlessKey{"remote", "fetch"},
    HarmlessKey{"remote", "push"},
    HarmlessKey{"remote", "mirror"},
    HarmlessKey{"remote", "tagopt"},
    HarmlessKey{"remote", "prune"},
    HarmlessKey{"remote", "prunetags"},
    HarmlessKey{"remote", "promisor"},
    HarmlessKey{"remote", "partialclonefilter"},
    HarmlessKey{"branch", "remote"},
    HarmlessKey{"branch", "merge"},
    HarmlessKey{"branch", "rebase"},
    HarmlessKey{"branch", "description"},
    HarmlessKey{"branch", "pushremote"},
    HarmlessKey{"user", "name"},
    HarmlessKey{"user", "email"},
    HarmlessKey{"submodule", "active"},
};

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}
std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool IsWord(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.';
  });
}

// "[section]", "[section \"sub\"]" -> section; "" if it is anything else.
std::string SectionOf(std::string_view line) {
  if (line.size() < 3 || line.back() != ']') return "";
  const std::string_view inner = line.substr(1, line.size() - 2);
  const std::string_view name = inner.substr(0, inner.find_first_of(" \t"));
  const std::string_view rest = Trim(inner.substr(name.size()));
  const bool quoted =
      rest.size() >= 2 && rest.front() == '"' && rest.back() == '"' &&
      rest.substr(1, rest.size() - 2).find_first_of("\"\\]") == std::string_view::npos;
  // "section.sub" is the old spelling of a subsection: nobody writes it any more, so it is not
  // worth understanding.
  if (!IsWord(name) || name.find('.') != std::string_view::npos || !(rest.empty() || quoted))
    return "";
  return Lower(name);
}

bool IsHarmlessValue(std::string_view section, std::string_view key, std::string_view value) {
  if (value.find('\\') != std::string_view::npos) return false;  // an escape or a continued line
  if (section == "remote" && (key == "url" || key == "pushurl")) {
    std::string_view url = value;
    if (!url.empty() && url.front() == '"') url.remove_prefix(1);
    // transport::address runs git-remote-transport; a leading dash is an option to the program that
    // git runs.
    return url.find("::") == std::string_view::npos && !url.starts_with('-');
  }
  return true;
}

}  // namespace

bool GitConfigRunsNothing(std::string_view text) {
  std::string section;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      section = SectionOf(line);
      if (section.empty()) return false;
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string key = Lower(Trim(line.substr(0, equals)));
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : Trim(line.substr(equals + 1));
    const bool known = std::any_of(
        kHarmless.begin(), kHarmless.end(),
        [&](const HarmlessKey& entry) { return entry.section == section && entry.key == key; });
    if (!known || !IsHarmlessValue(section, key, value)) return false;
  }
  return true;
}

}  // namespace cellrun::cells
