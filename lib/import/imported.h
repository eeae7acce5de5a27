// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace cellrun::import {

struct Imported {
  std::string profile;             // its text
  std::vector<std::string> notes;  // what a person has to know before using it, a sentence each
};

}  // namespace cellrun::import
