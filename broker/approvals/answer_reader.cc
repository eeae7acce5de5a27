// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/answer_reader.h"

#include <array>
#include <nlohmann/json.hpp>

#include "lib/base/text.h"
#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

namespace cellrun::approvals {
namespace {

constexpr std::string_view kDigestPrefix = "sha256:";
constexpr std::size_t kDigestDigits = 64;
constexpr std::size_t kMaxReasonBytes = 4096;
constexpr std::int64_t kMaxMilliseconds = std::int64_t{366} * 24 * 3600 * 1000;

Result<std::string> DigestFrom(const std::string& text) {
  const bool plausible =
      text.starts_with(kDigestPrefix) && text.size() == kDigestPrefix.size() + kDigestDigits &&
      text.find_first_not_of("0123456789abcdef", kDigestPrefix.size()) == std::string::npos;
  if (!plausible) return Error(EINVAL, "", "digest: must be 'sha256:' and 64 hex digits");
  return text.substr(kDigestPrefix.size());
}

}  // namespace

Result<Answer> ReadAnswer(const std::string& body) {
  const nlohmann::json json = TRY(wire::ParseStrictJson(body));
  wire::ObjectReader reader(json, "answer");
  Answer answer;
  std::string digest;
  bool approve = false;
  constexpr std::array kVerdicts = {"deny", "approve"};
  constexpr std::array kScopes = {"once", "cell", "project", "always"};
  reader.Choice("verdict", approve, kVerdicts);
  reader.Text("digest", digest);
  if (reader.Has("scope")) reader.Choice("scope", answer.scope, kScopes);
  if (reader.Has("for_ms")) {
    std::int64_t time = 0;
    reader.Number("for_ms", 1, kMaxMilliseconds, time);
    answer.for_time = std::chrono::milliseconds(time);
  }
  reader.MaybeText("reason", answer.reason);
  if (reader.Has("argv")) {
    answer.argv.emplace();
    reader.Texts("argv", *answer.argv);
  }
  reader.MaybeBool("widen", answer.widen);
  TRY(reader.Finish());
  answer.approve = approve;
  answer.digest = TRY(DigestFrom(digest));
  if (answer.reason.size() > kMaxReasonBytes) {
    return Error(EINVAL, "", "reason: at most " + std::to_string(kMaxReasonBytes) + " bytes");
  }
  if (answer.for_time && answer.scope == Scope::kOnce) {
    return Error(EINVAL, "", "for_ms: needs a scope above once");
  }
  if (answer.argv && !answer.approve) return Error(EINVAL, "", "argv: only with approve");
  return answer;
}

}  // namespace cellrun::approvals
