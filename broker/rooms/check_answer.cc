// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/check_answer.h"

#include <array>
#include <cstddef>

#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

namespace cellrun::rooms {
namespace {

constexpr std::size_t kMaxReasonBytes = 1024;
constexpr std::array kVerdicts{"allow", "ask", "deny", "rewrite"};

}  // namespace

const char* CheckVerdictName(CheckAnswer::Verdict verdict) {
  return kVerdicts.at(static_cast<std::size_t>(verdict));
}

Result<CheckAnswer> ParseCheckAnswer(std::string_view printed) {
  const nlohmann::json parsed = TRY(wire::ParseStrictJson(printed));
  CheckAnswer answer;
  wire::ObjectReader reader(parsed, "answer");
  reader.Choice("verdict", answer.verdict, kVerdicts);
  reader.MaybeText("reason", answer.reason);
  const bool rewrites = answer.verdict == CheckAnswer::Verdict::kRewrite;
  if (rewrites) reader.Texts("argv", answer.argv);
  TRY(reader.Finish());
  if (answer.reason.size() > kMaxReasonBytes)
    return Error(E2BIG, "", "answer.reason: more than 1024 bytes");
  if (rewrites && answer.argv.empty()) return Error(EINVAL, "", "answer.argv: must not be empty");
  return answer;
}

}  // namespace cellrun::rooms
