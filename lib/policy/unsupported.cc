// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/profile.h"
#include "lib/policy/syscalls.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

class Finder {
 public:
  explicit Finder(const Profile& profile) : profile_(profile) {}

  std::vector<Problem> Run() {
    Cell();
    Commands();
    Syscalls();
    for (const Tool& tool : profile_.tools) GhostRights(tool.at, tool.ghost);
    return std::move(problems_);
  }

 private:
  void Note(const Position& at, const std::string& what) {
    problems_.push_back({at, "not supported yet: " + what, "", ""});
  }

  void Cell() {
    for (const Placed<std::string>& layer : profile_.require) {
      if (layer.value == "landlock" && AllowsOptIn(profile_, "userns")) {
        problems_.push_back({layer.at,
                             "landlock cannot be required where userns is allowed: a process under "
                             "Landlock may not mount anything",
                             "", ""});
      }
    }
    if (profile_.backend.value != "native") {
      Note(profile_.backend.at, "cell.backend: " + profile_.backend.value);
    }
    if (!profile_.image.value.empty()) Note(profile_.image.at, "cell.image");
    const Placed<std::string>& root = profile_.filesystem.root;
    if (root.value == "image") Note(root.at, "filesystem.root: image");
    const Placed<WorkspaceMode>& mode = profile_.filesystem.workspace;
    if (mode.value == WorkspaceMode::kOverlay || mode.value == WorkspaceMode::kSnapshot) {
      Note(mode.at, std::string("filesystem.workspace: ") + WorkspaceModeName(mode.value));
    }
  }

  void Commands() {
    for (const CommandRule& rule : profile_.command_rules) {
      if (rule.ghost) GhostRights(rule.at, *rule.ghost);
    }
  }

  void GhostRights(const Position& at, const Ghost& rights) {
    if (!rights.image.empty() && !rights.image.starts_with("/"))
      Note(at, "ghost: image " + rights.image + " (only a directory)");
  }

  void Syscalls() {
    for (const SyscallRule& rule : profile_.syscall_rules) {
      if (rule.then == Action::kAsk) Note(rule.at, "a syscalls rule with then: ask");
    }
  }

  const Profile& profile_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> UnsupportedFeatures(const Profile& profile) {
  return Finder(profile).Run();
}

}  // namespace cellrun::policy
