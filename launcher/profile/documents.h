// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "launcher/client/error_form.h"
#include "lib/policy/load.h"
#include "lib/policy/profile_test.h"

namespace cellrun::profile {

// Why a profile could not be had: there is none of that name, or what is wrong with it.
using Trouble = std::variant<launcher::ErrorForm, std::vector<policy::Problem>>;

template <typename T>
using Loaded = std::variant<T, Trouble>;

// Home and current directory: where a cell that was started here would work.
Loaded<policy::Places> FindPlaces();

// A profile by NAME or FILE with everything it extends, below the organisation's floor, as a cell
// would get it. `overlay`: the workspace's own documents, which narrow it.
Loaded<policy::Profile> Load(const std::string& name, const policy::Places& places,
                             const std::vector<policy::Source>& overlay = {});

// Names of programs on this machine, for binding rules to files.
std::optional<policy::FileFacts> LookUpFile(const std::string& absolute_path);
std::optional<policy::ProgramFacts> LookUpProgram(const std::string& absolute_path);

// To stderr: the form, or every problem on a line of its own. The exit status (2).
int PrintTrouble(const std::string& name, const Trouble& trouble);

}  // namespace cellrun::profile
