// SPDX-License-Identifier: Apache-2.0
#include "lib/groups/sources.h"

#include <algorithm>
#include <initializer_list>

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

// ---- cargo

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
      if (line.starts_with("deb")) Append(&urls, UrlsIn(Words(line)));
    }
  }
  for (const std::string& file : Files(host, {"/etc/apt/sources.list.d/*.sources"}, {})) {
    for (const std::string& line : ReadLines(file)) {
      if (!line.starts_with('#')) Append(&urls, UrlsIn(Words(line)));
    }
  }
  std::transform(urls.begin(), urls.end(), urls.begin(), WithoutTransport);
  return urls;
}

Urls NpmUrls(const Host& host) {
  Urls urls;
  for (const std::string& file :
       Files(host, {"/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"}, {".npmrc"})) {
    for (const std::string& line : ReadLines(file)) {
      const Setting setting = SettingOf(line);
      if (setting.key == "registry" || setting.key.ends_with(":registry")) {
        urls.push_back(setting.value);
      }
    }
  }
  return urls.empty() ? NpmBuiltIn(host) : urls;
}

Urls PipUrls(const Host& host) {
  Urls urls;
  for (const std::string& file : Files(host, {"/etc/pip.conf", "/etc/xdg/pip/pip.conf"},
                                       {".pip/pip.conf", ".config/pip/pip.conf"})) {
    for (const std::string& line : ReadLines(file)) {
      const Setting setting = SettingOf(line);
      if (setting.key == "index-url" || setting.key == "extra-index-url" ||
          setting.key == "find-links" || setting.key.empty()) {
        // Further values of a setting stand alone on lines of their own.
        Append(&urls, UrlsIn(Words(setting.key.empty() ? line : setting.value)));
      }
    }
  }
  return urls.empty() ? PipBuiltIn(host) : urls;
}

Urls CargoUrls(const Host& host) {
  Urls urls;
  for (const std::string& file : Files(host, {}, {".cargo/config.toml", ".cargo/config"})) {
    for (const std::string& line : ReadLines(file)) {
      const Setting setting = SettingOf(line.substr(0, line.find(" #")));
      if (setting.key == "registry" || setting.key == "index") {
        urls.push_back(WithoutTransport(setting.value));
      }
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
