// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

// `cellrun tool …`: the commands of a cell that exist only at the broker. Each returns the exit
// status; errors are on stderr then.
namespace cellrun::tools {

struct Addition {
  std::string cell, name;
  std::string run = "ghost", image;
  std::vector<std::string> secrets, write, network;
  std::vector<std::string> limits;  // NAME=VALUE
};

int Add(const Addition& tool);
int Remove(const std::string& cell, const std::vector<std::string>& names);
int List(const std::string& cell, const std::string& output, bool headers);

}  // namespace cellrun::tools
