// SPDX-License-Identifier: Apache-2.0
// For each importer, any bytes are a list of problems that a terminal can show, or a policy whose
// profile loads.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/import/clawker.h"
#include "lib/import/clawrden.h"
#include "lib/policy/load.h"

using namespace cellrun;

namespace {

void CheckImported(const policy::Checked<import::Imported>& imported) {
  if (!imported.ok()) {
    CHECK(!imported.problems().empty());
    for (const auto& problem : imported.problems()) {
      const std::string line = problem.ToString();
      CHECK(text::IsUtf8(line));
      for (const char byte : line) CHECK(byte == '\n' || static_cast<unsigned char>(byte) >= 0x20);
    }
    return;
  }
  const policy::Source made = {.name = "made",
                               .origin = "made.yaml",
                               .text = imported.value().profile,
                               .layer = policy::Layer::kProfile};
  // It may name what it extends; by itself it must be understood.
  CHECK(policy::ReadExtends(made).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const policy::Source source = {.name = "fuzzed",
                                 .origin = "policy.yaml",
                                 .text = std::string(reinterpret_cast<const char*>(data), size),
                                 .layer = policy::Layer::kProfile};
  CheckImported(import::ImportClawrden(source));
  CheckImported(import::ImportClawker(source));
  return 0;
}
