// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/attack.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "launcher/client/error_form.h"
#include "launcher/doctor/child.h"
#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/wire/launch.h"

namespace cellrun::doctor {
namespace {

constexpr std::size_t kMaxPlanBytes = 65536;
constexpr int kUsageStatus = 2;

Reply Run(const Attack& attack, const AttackPlan& plan) {
  const AttackResult result = attack.run(plan);
  return {.code = static_cast<int>(result.outcome), .text = result.detail};
}

// The filter kills for calls of another architecture: that attack held. Whatever else ended an
// attack says nothing.
AttackResult Judge(const Result<Reply>& reply) {
  if (reply.ok()) return {static_cast<Outcome>(reply->code), reply->text};
  const Error& error = reply.error();
  const std::string killed = "signal " + std::to_string(SIGSYS);
  if (error.code() == ECHILD && error.context() == killed) return Held("killed");
  return NotTried(error.ToString());
}

}  // namespace

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kHeld:
      return "held";
    case Outcome::kBroken:
      return "BROKEN";
    case Outcome::kNotTried:
      return "not tried";
  }
  return "?";
}

AttackResult Held(std::string detail) {
  return {Outcome::kHeld, std::move(detail)};
}
AttackResult Broken(std::string detail) {
  return {Outcome::kBroken, std::move(detail)};
}
AttackResult NotTried(std::string detail) {
  return {Outcome::kNotTried, std::move(detail)};
}
AttackResult MustFail(long number, const std::string& call) {
  const int code = errno;
  return number < 0 ? Held(call + ": " + ErrnoName(code)) : Broken(call + " succeeded");
}

std::vector<Attack> AllAttacks() {
  std::vector<Attack> all;
  for (const auto& group :
       {FileAttacks(), ProcessAttacks(), KernelAttacks(), ReachAttacks(), ExecAttacks()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

std::string Encode(const AttackPlan& plan) {
  const nlohmann::json json = {
      {"secret", plan.secret},
      {"decoy_file", plan.decoy_file},
      {"decoy_process", plan.decoy_process},
      {"abstract_socket", plan.abstract_socket},
      {"tcp_port", plan.tcp_port},
      {"workspace", plan.workspace},
      {"scratch", plan.scratch},
      {"runtime_directory", plan.runtime_directory},
      {"state_directory", plan.state_directory},
  };
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<AttackPlan> DecodeAttackPlan(std::string_view text) {
  const nlohmann::json json = TRY(wire::ParseStrictJson(text));
  const auto field = [&json](const char* name) -> Result<std::string> {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_string()) return Error(EINVAL, "attack plan", name);
    return found->get<std::string>();
  };
  AttackPlan plan;
  plan.secret = TRY(field("secret"));
  plan.decoy_file = TRY(field("decoy_file"));
  plan.decoy_process = TRY(field("decoy_process"));
  plan.abstract_socket = TRY(field("abstract_socket"));
  plan.workspace = TRY(field("workspace"));
  plan.scratch = TRY(field("scratch"));
  plan.runtime_directory = TRY(field("runtime_directory"));
  plan.state_directory = TRY(field("state_directory"));
  const auto port = json.find("tcp_port");
  if (port == json.end() || !port->is_number_unsigned() || port->get<std::uint64_t>() > 65535) {
    return Error(EINVAL, "attack plan", "tcp_port");
  }
  plan.tcp_port = port->get<std::uint16_t>();
  if (plan.secret.empty()) return Error(EINVAL, "attack plan", "secret");
  return plan;
}

int AttackFromInside(const std::string& plan_file) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): single-threaded
  if (getenv("CELLRUN_CELL") == nullptr) {
    launcher::PrintError({.what = "--attack-plan works inside a cell only",
                          .cause = "cellrun uses it for its self-test",
                          .suggest = "cellrun doctor"});
    return kUsageStatus;
  }
  const auto text = sys::ReadWholeFileAt(AT_FDCWD, plan_file.c_str(), kMaxPlanBytes);
  const auto plan = text.ok() ? DecodeAttackPlan(*text) : Result<AttackPlan>(text.error());
  if (!plan.ok()) {
    launcher::PrintError(
        {.what = "cannot read the attack plan", .cause = plan.error().ToString(), .suggest = ""});
    return 1;
  }
  const UniqueFd output(STDOUT_FILENO);
  for (const Attack& attack : AllAttacks()) {
    const AttackResult result = Judge(InChild([&] { return Run(attack, *plan); }));
    const nlohmann::json line = {{"attack", attack.name},
                                 {"outcome", OutcomeName(result.outcome)},
                                 {"detail", text::Escape(result.detail)}};
    if (!sys::WriteAll(output, line.dump() + "\n").ok()) return 1;
  }
  return 0;
}

}  // namespace cellrun::doctor
