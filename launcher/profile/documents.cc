// SPDX-License-Identifier: Apache-2.0
#include "launcher/profile/documents.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "launcher/client/profile_lookup.h"
#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/wire/floor.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::profile {
namespace {

using launcher::ErrorForm;
using policy::Source;

constexpr int kInvalid = 2;
constexpr std::size_t kHeadBytes = 256;

// `document` and what it extends, nearest first, each once. Names that are nowhere stay out: the
// loader names the line that wants them.
std::optional<std::vector<policy::Problem>> AddWithBases(Source document, std::size_t depth,
                                                         std::vector<Source>* sources) {
  const auto extends = policy::ReadExtends(document);
  const std::string origin = document.origin;
  sources->push_back(std::move(document));
  if (!extends.ok()) return extends.problems();
  if (depth > policy::kMaxExtends) return std::nullopt;  // the loader refuses so long a chain
  for (const std::string& name : extends.value()) {
    const bool known = std::any_of(sources->begin(), sources->end(),
                                   [&name](const Source& source) { return source.name == name; });
    if (known) continue;
    for (Source& base : launcher::FindExtended({name}, origin)) {
      if (auto problems = AddWithBases(std::move(base), depth + 1, sources)) return problems;
    }
  }
  return std::nullopt;
}

std::string CurrentDirectory() {
  const std::unique_ptr<char, void (*)(void*)> path(getcwd(nullptr, 0), free);
  return path == nullptr ? "" : path.get();
}

}  // namespace

Loaded<policy::Places> FindPlaces() {
  const auto home = wire::HomeDirectory();
  if (!home.ok()) {
    return Trouble(ErrorForm{"there is no home directory", home.error().ToString(), "set HOME"});
  }
  const std::string workspace = CurrentDirectory();
  if (workspace.empty()) {
    return Trouble(
        ErrorForm{"the current directory has no path", ErrnoText(errno), "cd to another"});
  }
  return policy::Places{*home, workspace};
}

Loaded<policy::Profile> Load(const std::string& name, const policy::Places& places,
                             const std::vector<Source>& overlay) {
  auto found = launcher::FindProfile(name, policy::Layer::kProfile);
  if (auto* error = std::get_if<ErrorForm>(&found)) return Trouble(std::move(*error));
  auto sources = wire::ReadFloor();
  if (!sources.ok()) {
    return Trouble(ErrorForm{"cannot read the floor", sources.error().ToString(), ""});
  }
  sources->insert(sources->end(), overlay.begin(), overlay.end());
  if (auto problems = AddWithBases(std::get<Source>(std::move(found)), 0, &*sources)) {
    return Trouble(std::move(*problems));
  }
  auto profile = policy::LoadProfile(*sources, places);
  if (!profile.ok()) return Trouble(profile.problems());
  return std::move(profile.value());
}

std::optional<policy::FileFacts> LookUpFile(const std::string& absolute_path) {
  const auto file = sys::OpenAt(AT_FDCWD, absolute_path.c_str(), O_PATH);
  if (!file.ok()) return std::nullopt;
  const auto facts = sys::Fstat(*file);
  const auto canonical =
      sys::ReadLinkAt(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file->get())).c_str());
  if (!facts.ok() || !canonical.ok()) return std::nullopt;
  return policy::FileFacts{.id = {.device = facts->st_dev, .inode = facts->st_ino},
                           .canonical = *canonical};
}

std::optional<policy::ProgramFacts> LookUpProgram(const std::string& absolute_path) {
  auto facts = LookUpFile(absolute_path);
  if (!facts) return std::nullopt;
  policy::ProgramFacts program{.file = std::move(*facts), .head = ""};
  // A FIFO would wait for its other end without O_NONBLOCK.
  const auto file = sys::OpenAt(AT_FDCWD, absolute_path.c_str(), O_RDONLY | O_NONBLOCK);
  if (!file.ok()) return program;
  const auto kind = sys::Fstat(*file);
  if (!kind.ok() || !S_ISREG(kind->st_mode)) return program;
  std::array<char, kHeadBytes> head{};
  const auto size = sys::Pread(*file, head, 0);
  if (size.ok()) program.head.assign(head.data(), *size);
  return program;
}

int PrintTrouble(const std::string& name, const Trouble& trouble) {
  if (const auto* error = std::get_if<ErrorForm>(&trouble)) {
    launcher::PrintError(*error);
    return kInvalid;
  }
  ErrorForm form{.what = "the profile " + text::Quote(name) + " is not valid",
                 .cause = "",
                 .suggest = "man cellrun-profile"};
  for (const policy::Problem& problem : std::get<std::vector<policy::Problem>>(trouble)) {
    form.cause += (form.cause.empty() ? "" : "\n") + problem.ToString();
  }
  launcher::PrintError(form);
  return kInvalid;
}

}  // namespace cellrun::profile
