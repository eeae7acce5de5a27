// SPDX-License-Identifier: Apache-2.0
#include "lib/groups/sources.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <sstream>

#include "lib/groups/files.h"

namespace cellrun::groups {
namespace {

void Append(Urls* urls, Urls more) {
  urls->insert(urls->end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
}

// The files that exist of system patterns and of patterns below the home.
std::vector<std::string> Files(const Host& host, std::initializer_list<const char*> system,
                               std::initializer_list<const char*> own) {
  std::vector<std::string> files;
  for (const char* pattern : system) {
    for (std::string& path : Matching(host.root + pattern)) files.push_back(std::move(path));
  }
  if (host.home.empty()) return files;
  for (const char* pattern : own) {
    for (std::string& path : Matching(host.home + "/" + pattern)) files.push_back(std::move(path));
  }
  return files;
}

Urls UrlsIn(const std::vector<std::string>& words) {
  Urls urls;
  std::copy_if(words.begin(), words.end(), std::back_inserter(urls),
               [](const std::string& word) { return word.find("://") != std::string::npos; });
  return urls;
}

// "sparse+https://…", "mirror+http://…"
std::string WithoutTransport(const std::string& url) {
  const std::size_t plus = url.find('+');
  return plus < url.find("://") ? url.substr(plus + 1) : url;
}

// The quoted texts from a line that has `marker` on: `lines` of them.
std::vector<std::string> QuotedAfter(const std::string& path, std::string_view marker,
                                     std::size_t lines) {
  std::vector<std::string> parts;
  std::size_t left = 0;
  for (const std::string& line : ReadLines(path)) {
    if (left == 0 && line.find(marker) != std::string::npos) left = lines;
    if (left == 0) continue;
    for (std::string& part : Quoted(line)) parts.push_back(std::move(part));
    if (--left == 0) break;
  }
  return parts;
}

std::string AsUrl(const std::string& text) {
  return text.find("://") == std::string::npos ? "https://" + text : text;
}

// ---- apt

// Whose value is a list of URLs in a file, one a line with more behind it.
constexpr std::string_view kMirrors = "mirror+file:";

Urls MirrorsIn(const Host& host, std::string_view url) {
  std::string_view path = url.substr(kMirrors.size());
  if (path.starts_with("//")) path.remove_prefix(2);
  Urls urls;
  for (const std::string& line : ReadLines(host.root + std::string(path))) {
    const std::vector<std::string> words = Words(line);
    if (!words.empty()) Append(&urls, UrlsIn({words.front()}));
  }
  return urls;
}

// Of words of a source.
Urls AptUrlsIn(const Host& host, const std::vector<std::string>& words) {
  Urls urls;
  for (const std::string& word : words) {
    Append(&urls, word.starts_with(kMirrors) ? MirrorsIn(host, word) : UrlsIn({word}));
  }
  return urls;
}

bool IsNo(const std::string& value) {
  constexpr std::array kNo = {"no", "false", "without", "off", "disable", "0"};
  return std::find(kNo.begin(), kNo.end(), value) != kNo.end();
}

// The `URIs` of a file in the form of deb822, without those of stanzas that are switched off.
Urls StanzaUrls(const Host& host, const std::string& path) {
  Urls urls, stanza;
  bool off = false, inside = false;
  std::istringstream lines(ReadText(path) + "\n\n");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    const bool further = line.starts_with(' ') || line.starts_with('\t');
    const std::string_view text = Trim(line);
    if (text.empty()) {
      if (!off) Append(&urls, std::move(stanza));
      stanza.clear();
      off = inside = false;
      continue;
    }
    const std::size_t colon = further ? std::string_view::npos : text.find(':');
    const std::string key = further ? "" : Lower(Trim(text.substr(0, colon)));
    const std::string_view value =
        colon == std::string_view::npos ? text : Trim(text.substr(colon + 1));
    if (!further) inside = key == "uris";
    if (key == "enabled") off = IsNo(Lower(value));
    if (inside) Append(&stanza, AptUrlsIn(host, Words(value)));
  }
  return urls;
}

// ---- npm

Urls NpmBuiltIn(const Host& host) {
  const auto files =
      Files(host,
            {"/usr/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
             "/usr/local/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/"
             "definitions.js",
             "/usr/share/nodejs/@npmcli/config/lib/definitions/definitions.js",
             "/usr/share/nodejs/npm/lib/utils/config/definitions.js"},
            {".nvm/versions/node/*/lib/node_modules/npm/node_modules/@npmcli/config/lib/"
             "definitions/definitions.js"});
  Urls urls;
  for (const std::string& file : files) {
    const std::vector<std::string> lines = ReadLines(file);
    auto line = std::find_if(lines.begin(), lines.end(), [](const std::string& text) {
      return text.starts_with("define('registry'") || text.starts_with("registry: new Definition");
    });
    constexpr std::ptrdiff_t kMostLines = 6;
    for (auto end = lines.end() - line > kMostLines ? line + kMostLines : lines.end(); line != end;
         ++line) {
      if (line->find("default:") == std::string::npos) continue;
      Append(&urls, UrlsIn(Quoted(*line)));
      break;
    }
  }
  return urls;
}

// ---- pip

Urls PipBuiltIn(const Host& host) {
  Urls urls;
  for (const std::string& file :
       Files(host,
             {"/usr/lib/python3*/dist-packages/pip/_internal/models/index.py",
              "/usr/lib/python3*/site-packages/pip/_internal/models/index.py",
              "/usr/local/lib/python3*/dist-packages/pip/_internal/models/index.py",
              "/usr/local/lib/python3*/site-packages/pip/_internal/models/index.py"},
             {".pyenv/versions/*/lib/python3*/site-packages/pip/_internal/models/index.py"})) {
    constexpr std::size_t kLines = 1;
    for (const std::string& part : QuotedAfter(file, "PyPI = PackageIndex(", kLines)) {
      urls.push_back(AsUrl(part));
    }
  }
  return urls;
}

// The settings that name sources; pip takes `_` for `-` and an option's own form.
bool IsPipIndex(const std::string& key) {
  return key == "index-url" || key == "extra-index-url" || key == "find-links";
}
std::string PipKey(std::string_view written) {
  std::string key = Lower(Trim(written));
  std::replace(key.begin(), key.end(), '_', '-');
  return key.starts_with("--") ? key.substr(2) : key;
}

// ---- cargo

// The texts that are values of `registry` and `index`, also of a dotted key or in an inline table.
Urls CargoIndexes(std::string_view line) {
  Urls urls;
  for (std::size_t at = 0; at < line.size() && line[at] != '#'; ++at) {
    if (line[at] != '"' && line[at] != '\'') continue;
    const std::size_t end = line.find(line[at], at + 1);
    if (end == std::string_view::npos) break;
    std::string_view before = Trim(line.substr(0, at));
    if (before.ends_with('=')) {
      before = Trim(before.substr(0, before.size() - 1));
      const std::string_view key = before.substr(before.find_last_of(" \t.{,") + 1);
      if (key == "registry" || key == "index") urls.emplace_back(line.substr(at + 1, end - at - 1));
    }
    at = end;
  }
  return urls;
}

// What cargo has fetched an index from before.
Urls CargoKnown(const Host& host) {
  Urls urls;
  for (const std::string& directory : Files(host, {}, {".cargo/registry/index/*"})) {
    const std::string name = directory.substr(directory.rfind('/') + 1);
    urls.push_back("https://" + name.substr(0, name.rfind('-')));
    Append(&urls, UrlsIn(Quoted(ReadText(directory + "/config.json"))));
  }
  return urls;
}

// ---- go

Urls GoProxies(const std::string& value) {
  Urls urls;
  for (const std::string& word : Words(value, ",|")) {
    if (word != "direct" && word != "off") urls.push_back(AsUrl(word));
  }
  return urls;
}

// "sum.example.org" or "sum.example.org+KEY https://sum.example.org".
Urls GoChecksums(const std::string& value) {
  const std::vector<std::string> words = Words(value);
  if (words.empty() || words[0] == "off") return {};
  if (words.size() > 1) return {words[1]};
  return {AsUrl(words[0].substr(0, words[0].find('+')))};
}

std::string GoSetting(const std::vector<std::string>& files, const std::string& key) {
  for (const std::string& file : files) {
    for (const std::string& line : ReadLines(file)) {
      const Setting setting = SettingOf(line);
      if (setting.key == key) return setting.value;
    }
  }
  return "";
}

std::string GoBuiltIn(const Host& host, const std::string& key) {
  for (const std::string& file : Files(host,
                                       {"/usr/local/go/src/cmd/go/internal/cfg/cfg.go",
                                        "/usr/lib/go/src/cmd/go/internal/cfg/cfg.go",
                                        "/usr/lib/go-*/src/cmd/go/internal/cfg/cfg.go"},
                                       {"go/src/cmd/go/internal/cfg/cfg.go"})) {
    constexpr std::size_t kLines = 1;
    const auto parts = QuotedAfter(file, "envOr(\"" + key + "\"", kLines);
    if (parts.size() == 2) return parts[1];
  }
  return "";
}

}  // namespace

Urls AptUrls(const Host& host) {
  Urls urls;
  for (const std::string& file :
       Files(host, {"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list"}, {})) {
    for (const std::string& line : ReadLines(file)) {
      if (line.starts_with("deb"))
        Append(&urls, AptUrlsIn(host, Words(std::string_view(line).substr(0, line.find('#')))));
    }
  }
  for (const std::string& file : Files(host, {"/etc/apt/sources.list.d/*.sources"}, {})) {
    Append(&urls, StanzaUrls(host, file));
  }
  std::transform(urls.begin(), urls.end(), urls.begin(), WithoutTransport);
  return urls;
}

// Registries of scopes stand beside the one for everything else.
Urls NpmUrls(const Host& host) {
  Urls urls;
  bool has_own = false;
  for (const std::string& file :
       Files(host, {"/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"}, {".npmrc"})) {
    for (const std::string& line : ReadLines(file)) {
      const Setting setting = SettingOf(line);
      if (setting.key == "registry" || setting.key.ends_with(":registry")) {
        urls.push_back(setting.value);
      }
      has_own |= setting.key == "registry";
    }
  }
  if (!has_own) Append(&urls, NpmBuiltIn(host));
  return urls;
}

// Further indexes stand beside the first.
Urls PipUrls(const Host& host) {
  Urls urls;
  bool has_own = false;
  for (const std::string& file : Files(host, {"/etc/pip.conf", "/etc/xdg/pip/pip.conf"},
                                       {".pip/pip.conf", ".config/pip/pip.conf"})) {
    std::string key;
    for (const std::string& line : ReadLines(file)) {
      if (line.starts_with('#') || line.starts_with(';')) continue;
      std::string_view value = line;
      // Further values of a setting stand alone on lines of their own.
      const std::size_t ends = line.find_first_of("=:");
      if (line.starts_with('[')) key.clear();
      if (ends != std::string::npos && line.compare(ends, 3, "://") != 0) {
        key = PipKey(value.substr(0, ends));
        value = value.substr(ends + 1);
      }
      if (IsPipIndex(key)) Append(&urls, UrlsIn(Words(value)));
      has_own |= key == "index-url";
    }
  }
  if (!has_own) Append(&urls, PipBuiltIn(host));
  return urls;
}

Urls CargoUrls(const Host& host) {
  Urls urls;
  for (const std::string& file : Files(host, {}, {".cargo/config.toml", ".cargo/config"})) {
    for (const std::string& line : ReadLines(file)) {
      for (const std::string& url : CargoIndexes(line)) urls.push_back(WithoutTransport(url));
    }
  }
  Append(&urls, CargoKnown(host));
  return urls;
}

Urls GoUrls(const Host& host) {
  const auto files =
      Files(host, {"/usr/local/go/go.env", "/usr/lib/go/go.env", "/usr/lib/go-*/go.env"}, {});
  std::vector<std::string> own = Files(host, {}, {".config/go/env"});
  own.insert(own.end(), files.begin(), files.end());
  std::string proxies = GoSetting(own, "GOPROXY");
  if (proxies.empty()) proxies = GoBuiltIn(host, "GOPROXY");
  std::string checksums = GoSetting(own, "GOSUMDB");
  if (checksums.empty()) checksums = GoBuiltIn(host, "GOSUMDB");
  Urls urls = GoProxies(proxies);
  Append(&urls, GoChecksums(checksums));
  return urls;
}

}  // namespace cellrun::groups
