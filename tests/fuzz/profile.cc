// SPDX-License-Identifier: Apache-2.0
// Any bytes are a profile or a list of problems; a problem is text that a terminal can show.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/policy/load.h"

using namespace cellrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const policy::Source source = {.name = "fuzzed",
                                 .origin = "fuzzed.yaml",
                                 .text = std::string(reinterpret_cast<const char*>(data), size),
                                 .layer = policy::Layer::kProfile};
  const policy::Places places = {.home = "/home/user", .workspace = "/home/user/work"};
  const auto loaded = policy::LoadProfile({source}, places);
  const auto extends = policy::ReadExtends(source);
  if (loaded.ok()) {
    CHECK(extends.ok());
    (void)policy::UnsupportedFeatures(loaded.value());
    return 0;
  }
  CHECK(!loaded.problems().empty());
  for (const auto& problem : loaded.problems()) {
    const std::string line = problem.ToString();
    CHECK(text::IsUtf8(line));
    for (const char byte : line) CHECK(byte == '\n' || static_cast<unsigned char>(byte) >= 0x20);
  }
  return 0;
}
