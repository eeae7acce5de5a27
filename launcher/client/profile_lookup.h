// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launcher/client/error_form.h"
#include "lib/policy/source.h"

namespace cellrun::launcher {

// Where `NAME` is looked for, in this order: the user's configuration, /etc/cellrun/profiles, the
// installed ones. (A project's own directory joins when `cellrun trust` exists.) Missing
// directories are left out.
std::vector<std::string> ProfileDirectories();

// "strict" and "agents/codex" are names; whatever else has a slash or ends in .yaml is a file.
bool IsProfileFile(std::string_view name);

struct KnownProfile {
  std::string name;    // "agents/codex"
  std::string origin;  // its file
};
// All names that can be looked up, sorted; of two equal ones the first found counts.
std::vector<KnownProfile> ListProfiles();

// The document that `name` (NAME or FILE) means, at most policy::kMaxProfileBytes + 1 of it: the
// loader says that it is too long. An unknown name is an ErrorForm with the nearest known ones.
std::variant<policy::Source, ErrorForm> FindProfile(const std::string& name, policy::Layer layer);

// What `wanted` of a document's `extends` mean: names as above, a relative file from beside
// `base_file`. Those that are not there are left out: whoever asked knows the line to blame.
std::vector<policy::Source> FindExtended(const std::vector<std::string>& wanted,
                                         const std::string& base_file);

// What a document says on a plain `extends: [a, b]` line, without reading the rest of it: a guess
// that saves the broker from asking. It reads the document properly and asks for what is missing.
std::vector<std::string> GuessExtends(std::string_view text);

// `.cellrun.yaml` of a workspace, as the overlay that may only narrow; nothing if there is none. It
// is never reached through a symbolic link, and must be a regular file.
std::variant<std::vector<policy::Source>, ErrorForm> FindWorkspaceOverlay(
    const std::string& workspace);

}  // namespace cellrun::launcher
