// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/profile_lookup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/load.h"
#include "lib/sys/file.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

constexpr std::string_view kSuffix = ".yaml";
constexpr char kSystemProfiles[] = "/etc/cellrun/profiles";
constexpr char kOverlay[] = ".cellrun.yaml";

// The text of a regular file, cut one byte after the limit. O_NONBLOCK: a FIFO must not hold us up.
Result<std::string> ReadDocument(const UniqueFd& file) {
  constexpr std::size_t kLimit = policy::kMaxProfileBytes + 1;
  const struct stat facts = TRY(sys::Fstat(file));
  if (S_ISDIR(facts.st_mode)) return Error(EISDIR, "open");
  if (!S_ISREG(facts.st_mode)) return Error(EINVAL, "open", "not a regular file");
  // One byte more than its size, so that one read finds the end, unless it grows.
  std::string text(std::min(static_cast<std::size_t>(facts.st_size) + 1, kLimit), '\0');
  std::size_t filled = 0;
  for (;;) {
    const std::size_t got = TRY(sys::Read(file, std::span(text).subspan(filled)));
    filled += got;
    if (got == 0 || filled == kLimit) break;
    if (filled == text.size()) text.resize(std::min(text.size() * 2, kLimit));
  }
  text.resize(filled);
  return text;
}
Result<std::string> ReadDocumentAt(const std::string& path) {
  return ReadDocument(TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY)));
}

// "agents/codex": words separated by single slashes, none of them special.
bool IsName(std::string_view name) {
  if (name.empty() || name.ends_with(kSuffix)) return false;
  std::size_t words = 0;
  while (true) {
    const std::string_view word = name.substr(0, name.find('/'));
    if (word.empty() || word.starts_with('.')) return false;
    ++words;
    if (word.size() == name.size()) return words <= 2;
    name.remove_prefix(word.size() + 1);
  }
}

void ListInto(const std::string& directory, const std::string& prefix,
              std::map<std::string, std::string>& found) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (stream == nullptr) return;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name(&entry->d_name[0]);
    if (name.starts_with('.')) continue;
    const std::string path = directory + "/" + name;
    const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, path.c_str(), 0);
    if (!facts.ok()) continue;
    if (S_ISDIR(facts->st_mode) && prefix.empty()) {
      ListInto(path, name + "/", found);
    } else if (S_ISREG(facts->st_mode) && name.ends_with(kSuffix)) {
      found.emplace(prefix + name.substr(0, name.size() - kSuffix.size()), path);
    }
  }
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

ErrorForm UnknownProfile(const std::string& name) {
  constexpr std::size_t kMaxSuggested = 3;
  constexpr std::size_t kMaxNameBytes = 64;
  ErrorForm form{"there is no profile '" + name + "'", "", "cellrun profile list"};
  std::string known;
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const KnownProfile& profile : ListProfiles()) {
    known += (known.empty() ? "" : ", ") + profile.name;
    if (name.size() > kMaxNameBytes) continue;
    const std::size_t distance = EditDistance(name, profile.name);
    if (distance <= 1 + name.size() / 3) near.emplace_back(distance, profile.name);
  }
  form.cause = known.empty() ? "no profile is installed" : "known profiles: " + known;
  std::sort(near.begin(), near.end());
  if (near.size() > kMaxSuggested) near.resize(kMaxSuggested);
  std::string suggested;
  for (const auto& [distance, profile] : near)
    suggested += (suggested.empty() ? "--profile " : " or --profile ") + profile;
  if (!suggested.empty()) form.suggest = suggested;
  return form;
}

Result<policy::Source> LookUp(const std::string& name, policy::Layer layer) {
  for (const std::string& directory : ProfileDirectories()) {
    const std::string path = directory + "/" + name + std::string(kSuffix);
    Result<std::string> text = ReadDocumentAt(path);
    if (!text.ok() && (text.error().code() == ENOENT || text.error().code() == ENOTDIR)) continue;
    // An unreadable one is an error, not a reason to take a weaker one further down.
    if (!text.ok()) return std::move(text).error().With(path);
    return policy::Source{name, path, std::move(text).value(), layer};
  }
  return Error(ENOENT, "profile");
}

}  // namespace

std::vector<std::string> ProfileDirectories() {
  std::vector<std::string> directories;
  const Result<std::string> config = wire::ConfigDirectory();
  if (config.ok()) directories.push_back(*config + "/profiles");
  directories.emplace_back(&kSystemProfiles[0]);
  const Result<std::string> installed = wire::InstalledProfiles();
  if (installed.ok()) directories.push_back(*installed);
  return directories;
}

bool IsProfileFile(std::string_view name) {
  return name.ends_with(kSuffix) || (name.find('/') != std::string_view::npos && !IsName(name));
}

std::vector<KnownProfile> ListProfiles() {
  std::map<std::string, std::string> found;
  for (const std::string& directory : ProfileDirectories()) ListInto(directory, "", found);
  std::vector<KnownProfile> profiles;
  for (const auto& [name, origin] : found) profiles.push_back({name, origin});
  return profiles;
}

std::variant<policy::Source, ErrorForm> FindProfile(const std::string& name, policy::Layer layer) {
  if (IsName(name)) {
    Result<policy::Source> found = LookUp(name, layer);
    if (found.ok()) return std::move(found).value();
    if (found.error().code() != ENOENT) {
      return ErrorForm{"cannot read profile '" + name + "'", found.error().ToString(), ""};
    }
    // "my/profile" may still be a file.
    if (name.find('/') == std::string::npos) return UnknownProfile(name);
  } else if (!IsProfileFile(name)) {
    return UnknownProfile(name);
  }
  Result<std::string> text = ReadDocumentAt(name);
  if (!text.ok()) {
    if (IsName(name)) return UnknownProfile(name);
    return ErrorForm{"cannot read profile '" + name + "'", text.error().ToString(), ""};
  }
  return policy::Source{
      .name = "", .origin = name, .text = std::move(text).value(), .layer = layer};
}

std::vector<policy::Source> FindExtended(const std::vector<std::string>& wanted,
                                         const std::string& base_file) {
  std::vector<policy::Source> found;
  for (const std::string& name : wanted) {
    Result<policy::Source> document = Error(ENOENT, "profile");
    if (IsName(name)) document = LookUp(name, policy::Layer::kInherited);
    if (!document.ok() && name.find('/') != std::string::npos) {
      const std::size_t slash = base_file.rfind('/');
      const std::string beside = slash == std::string::npos ? "" : base_file.substr(0, slash + 1);
      const std::string path = name.starts_with('/') ? name : beside + name;
      Result<std::string> text = ReadDocumentAt(path);
      if (text.ok())
        document = policy::Source{name, path, std::move(text).value(), policy::Layer::kInherited};
    }
    if (document.ok()) found.push_back(std::move(document).value());
  }
  return found;
}

std::vector<std::string> GuessExtends(std::string_view text) {
  constexpr std::string_view kKey = "extends:";
  std::size_t at = text.starts_with(kKey) ? 0 : text.find("\nextends:");
  if (at == std::string_view::npos) return {};
  if (at > 0) ++at;
  const std::string_view line =
      text.substr(at + kKey.size(), text.find('\n', at) - at - kKey.size());
  const std::size_t open = line.find('[');
  const std::size_t close = line.find(']');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  std::vector<std::string> names;
  std::string name;
  for (const char c : line.substr(open + 1, close - open)) {
    if (c == ' ' || c == '"' || c == '\'') continue;
    if (c != ',' && c != ']') {
      name.push_back(c);
    } else if (!name.empty()) {
      names.push_back(std::exchange(name, ""));
    }
  }
  return names;
}

std::variant<std::vector<policy::Source>, ErrorForm> FindWorkspaceOverlay(
    const std::string& workspace) {
  const std::string origin = workspace + "/" + &kOverlay[0];
  const auto read = [&]() -> Result<std::string> {
    const UniqueFd directory = TRY(sys::OpenAt(AT_FDCWD, workspace.c_str(), O_PATH | O_DIRECTORY));
    open_how how{};
    how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return ReadDocument(TRY(sys::OpenAt2(directory.get(), &kOverlay[0], how)));
  };
  Result<std::string> text = read();
  if (text.ok()) {
    return std::vector{
        policy::Source{"", origin, std::move(text).value(), policy::Layer::kWorkspace}};
  }
  if (text.error().code() == ENOENT) return std::vector<policy::Source>();
  const bool is_link = text.error().code() == ELOOP;
  return ErrorForm{"cannot read " + origin,
                   is_link ? "it is a symbolic link" : text.error().ToString(),
                   "remove it, or make it a readable regular file"};
}

}  // namespace cellrun::launcher
