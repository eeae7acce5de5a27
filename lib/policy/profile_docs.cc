// SPDX-License-Identifier: Apache-2.0
// Prints what is generated from the key table, for the build: `cellrun-profile-docs
// man|readme|schema`. With `readme FILE`, prints FILE with the part between its markers replaced.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "lib/policy/json_schema.h"
#include "lib/policy/key_documentation.h"

namespace {

constexpr std::string_view kBegin = "<!-- begin of the generated key reference -->\n";
constexpr std::string_view kEnd = "<!-- end of the generated key reference -->\n";

int PrintReadme(const char* path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t begin = text.find(kBegin);
  const std::size_t end = text.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    std::cerr << path << ": has no markers for the key reference\n";
    return 1;
  }
  const std::size_t start = begin + kBegin.size();
  text.replace(start, end - start, "\n" + cellrun::policy::ProfileKeyReference() + "\n");
  std::cout << text;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "man" && argc == 2) {
    std::cout << cellrun::policy::ProfileManualPage();
  } else if (what == "schema" && argc == 2) {
    std::cout << cellrun::policy::JsonSchema();
  } else if (what == "readme" && argc == 3) {
    return PrintReadme(argv[2]);
  } else {
    std::cerr << "usage: cellrun-profile-docs man|schema|readme FILE\n";
    return 2;
  }
  return std::cout.flush() ? 0 : 1;
}
