// SPDX-License-Identifier: Apache-2.0
// Any bytes are a launch message or an error that names what is wrong; what was read, written again
// and read, is the same.
#include "lib/wire/launch.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "lib/base/check.h"

using namespace cellrun;

namespace {

template <typename Decoded>
void CheckRoundTrip(const Decoded& decoded, Decoded (*again)(const nlohmann::json&)) {
  const std::string encoded = wire::Encode(decoded);
  const auto parsed = wire::ParseStrictJson(encoded);
  CHECK(parsed.ok());
  CHECK(wire::Encode(again(parsed.value())) == encoded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)wire::UnpackStrings(text, size % 7);
  const auto plan = wire::DecodePlan(text);
  if (plan.ok()) CHECK(wire::EncodePlan(plan.value()) == text);
  const auto json = wire::ParseStrictJson(text);
  if (!json.ok()) {
    CHECK(!json.error().ToString().empty());
    return 0;
  }
  const auto request = wire::DecodeRunRequest(json.value());
  if (request.ok()) {
    CheckRoundTrip<wire::RunRequest>(
        request.value(), [](const nlohmann::json& j) { return wire::DecodeRunRequest(j).value(); });
  }
  const auto refusal = wire::DecodeRefusal(json.value());
  if (refusal.ok()) {
    CheckRoundTrip<wire::Refusal>(
        refusal.value(), [](const nlohmann::json& j) { return wire::DecodeRefusal(j).value(); });
  }
  const auto report = wire::DecodeExitReport(json.value());
  if (report.ok()) {
    CheckRoundTrip<wire::ExitReport>(
        report.value(), [](const nlohmann::json& j) { return wire::DecodeExitReport(j).value(); });
  }
  return 0;
}
