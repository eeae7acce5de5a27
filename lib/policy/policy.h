// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/profile.h"
#include "lib/policy/request.h"

namespace cellrun::policy {

// Which rule decided, as journal, `why` and denials show it.
struct RuleReference {
  std::string name;  // the rule's name, "" if it has none; "default" for the profile's default
  Layer layer = Layer::kProfile;
  Position at;
};

// The answer to one request. There is no error: whatever goes wrong inside Decide is a deny with a
// message.
struct Verdict {
  Action action = Action::kDeny;
  Strategy strategy = Strategy::kInPlace;
  RuleReference rule;
  std::string reason, message, suggest;
  int error = 0;  // deny with this errno instead of an explanation; 0: explain
  // The rule that decided; owned by the policy. Null: none did (a default, the loader, …).
  const CommandRule* from = nullptr;
  const Rewrite* rewrite = nullptr;  // owned by the policy; null: run as asked
  // External checkers that have to agree before it runs or is asked about, in this order; owned by
  // the policy.
  std::vector<std::string_view> checks;
  // The remembered rules by which it runs where it would be asked about; owned by the policy.
  std::vector<const CommandRule*> answers;
  bool audit = true;  // whether a record is kept
  bool audit_sync = false;
  // Which image of the chain was decisive (the strictest link).
  std::size_t image = 0;
};

// How names become files where the cell runs. Policy itself does no I/O.
struct FileFacts {
  FileId id;
  std::string canonical;  // canonical path in the cell's tree
};
using FileLookup = std::function<std::optional<FileFacts>(const std::string& absolute_path)>;

// A profile made ready to decide: globs compiled once, literal programs behind a hash. Immutable
// and safe to share between threads. Literal `exe` names are bound to files with `lookup` when it
// is made (a bare name is the first hit in `path:`); a name that is nowhere matches nothing.
class Policy {
 public:
  // Rules that have expired at `now` are gone, and others when their time comes after it.
  static Checked<std::shared_ptr<const Policy>> Compile(
      Profile profile, const Places& places, const FileLookup& lookup,
      std::chrono::system_clock::time_point now = std::chrono::system_clock::now());
  virtual ~Policy() = default;

  [[nodiscard]] virtual const Profile& profile() const = 0;
  // Linear in the size of the request, and pure, but for the clock where a rule expires; ≤ 2 µs
  // with 10,000 literal rules. `ask` stays kAsk here.
  [[nodiscard]] virtual Verdict Decide(const ExecRequest& request) const = 0;
  // Whether some rule that could apply to this image wants its hash.
  [[nodiscard]] virtual bool NeedsHash(const ExecImage& image) const = 0;
  // Whether every image, argv and environment gets one and the same verdict without rewrite (then
  // an exec need not be verified); and that verdict.
  [[nodiscard]] virtual std::optional<Action> Uniform() const = 0;
  // When the next rule expires: from then on a policy compiled anew decides differently.
  [[nodiscard]] virtual std::optional<std::chrono::system_clock::time_point> NextExpiry() const = 0;

  // For `why`: every rule in the order tried, whether it matched, and if not the first condition
  // that failed.
  struct Trial {
    RuleReference rule;
    Action then = Action::kDeny;
    bool matched = false;
    bool decided = false;
    std::string failed;  // "args: 'pull' is not 'push'"; "" when it matched
  };
  [[nodiscard]] virtual std::vector<Trial> Explain(const ExecRequest& request) const = 0;

  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

 protected:
  Policy() = default;
};

}  // namespace cellrun::policy
