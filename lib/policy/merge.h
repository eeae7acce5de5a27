// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "lib/policy/document.h"
#include "lib/policy/load.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

// Makes one profile of documents in order of strength.
//
// 1. The profile and what it extends: rules and tests append, own first; read, write, hide,
//    protect, require, pass, set, tools, secrets and groups unite (of one name the nearest); of
//    every other value the nearest wins. What nobody says gets the format's default.
// 2. Workspace overlays narrow that; anything wider is a Problem.
// 3. The command line and remembered approvals override.
// 4. The floor bounds the result: the stricter value wins, hide, protect, noexec, drop and require
//    unite. Its rules come first.
//
// The documents' values are moved out.
Checked<Profile> MergeDocuments(std::vector<Document> documents);

}  // namespace cellrun::policy
