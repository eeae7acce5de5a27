// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

// `cellrun profile …`. Each returns the exit status: 0 done, 1 findings or failed tests, 2 a
// profile that is not there or not valid; errors are on stderr then. `output` is what -o said.
namespace cellrun::profile {

int List(const std::string& output, bool headers);
int Show(const std::string& name, const std::string& output);
int Lint(const std::vector<std::string>& names, const std::string& output);
int Test(const std::vector<std::string>& names, const std::string& output);
int Schema();
// `kind`: which tool's policy `file` is; the profile goes to stdout.
int Import(const std::string& kind, const std::string& file);

}  // namespace cellrun::profile
