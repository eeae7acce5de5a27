// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/shelved_exec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/approvals/ask_json.h"
#include "broker/exec/risks.h"
#include "broker/journal/encode.h"

namespace cellrun::exec {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kHash(64, 'a');
const policy::RuleReference kRule{
    .name = "push", .layer = policy::Layer::kWorkspace, .at = {"/etc/strict.yaml", 26, 5}};

// No member is what it is by default.
approvals::Ask WholeAsk() {
  approvals::Ask ask;
  ask.cell_id = "0123456789ab";
  ask.cell_name = "quiet-otter";
  ask.profile = "strict";
  ask.workspace = "/home/u/p";
  ask.pid = 4711;
  ask.parents = {"/usr/bin/make", "/usr/bin/bash"};
  ask.cwd = "/home/u/p";
  ask.strategy = policy::Strategy::kInPlace;
  ask.program = "/home/u/p/run";
  ask.chain = {"/bin/sh"};
  ask.image_hash = kHash;
  ask.writable = true;
  ask.argv = {"run", std::string("\xff\n\0", 3), ""};
  ask.original_argv = {"run"};
  ask.environment = {
      {.name = "LD_PRELOAD", .was_set = true, .is_set = true, .before = "", .after = "/x.so"}};
  ask.environment_digest = std::string(64, 'e');
  ask.script_copy = "/own/scripts/aa";
  ask.script_hash = kHash;
  ask.rule = kRule;
  ask.reason = "publishes code";
  ask.risks = {"one", "two"};
  ask.said_by_cell = "please";
  ask.timeout = std::chrono::hours(24 * 365);
  ask.on_timeout = policy::Action::kAllow;
  ask.attended = false;
  ask.approvers = 2;
  ask.rememberable = false;
  ask.max_pending = 7;
  return ask;
}

journal::Record WholeRecord() {
  journal::Record record = journal::RecordNow(journal::Kind::kExec, "0123456789ab", 4711, 1000);
  record.path = "./run";
  record.exe = "/home/u/p/run";
  record.chain = {"/bin/sh"};
  record.argv = {"run", "x"};
  record.cwd = "/home/u/p";
  record.env_digest = std::string(64, 'd');
  record.image_hash = kHash;
  record.parent = "/usr/bin/make";
  record.user = "cell";
  record.tty = true;
  record.script_images = 1;
  record.writable_images = 2;
  record.anonymous_images = 4;
  record.to = "to";
  record.name = "name";
  record.proto = "tcp";
  record.port = -5;
  record.bytes_in = 1;
  record.bytes_out = ~std::uint64_t{0};
  record.verdict = policy::Action::kAsk;
  record.strategy = policy::Strategy::kMirror;
  record.observed = "deny";
  record.rule = kRule;
  record.reason = "why";
  record.result = "denied";
  record.count = 3;
  record.layers = {"landlock"};
  record.detail = "{}";
  record.redact = false;
  record.sync = true;
  return record;
}

AskedExec Whole() {
  AskedExec asked;
  asked.allowed = true;
  asked.ask = WholeAsk();
  asked.sealed = {.program = "./run",
                  .images = {{.version = {.id = {1, 2},
                                          .size = 3,
                                          .modified_ns = 1'790'000'000'123'456'789,
                                          .changed_ns = -5},
                              .hash = kHash}},
                  .by_path = true,
                  .argv = {"run", "x"},
                  .env_digest = std::string(64, 'e'),
                  .cwd = "/home/u/p",
                  .cwd_id = {7, 8},
                  .rule = kRule,
                  .ask = "7f3a91c2",
                  .checked = true,
                  .refusal = std::make_shared<Refusal>()};
  asked.original_program = "./run";
  asked.environment = {"A=b", "A=b"};
  asked.own_environment = false;
  asked.script = {.file = {}, .is_image = true, .argument = 2, .interpreter = {"/bin/sh", "-e"}};
  asked.operand = ScriptOperand::Kind::kInline;
  asked.operand_found = asked.image_writable = asked.content_may_change = asked.denied_by_rule =
      true;
  asked.record = WholeRecord();
  asked.seq = 99;
  return asked;
}

TEST(ShelvedExecTest, RestoresWhatIsShown) {
  const AskedExec asked = Whole();
  const auto restored = ShelvedExec(asked, asked.ask).Restore();
  EXPECT_EQ(approvals::ShownJson(restored->ask), approvals::ShownJson(asked.ask));
  EXPECT_EQ(restored->ask.pid, 4711);
  EXPECT_EQ(restored->ask.timeout, asked.ask.timeout);
  EXPECT_EQ(restored->ask.attended, false);
  EXPECT_EQ(restored->ask.approvers, 2);
  EXPECT_EQ(restored->ask.max_pending, 7U);
  EXPECT_EQ(restored->ask.rule.at, kRule.at);
}

TEST(ShelvedExecTest, RestoresWhatMayRun) {
  const AskedExec asked = Whole();
  const auto restored = ShelvedExec(asked, asked.ask).Restore();
  const Sealed& sealed = restored->sealed;
  EXPECT_EQ(sealed.program, "./run");
  EXPECT_EQ(sealed.images, asked.sealed.images);
  EXPECT_TRUE(sealed.by_path);
  EXPECT_EQ(sealed.argv, asked.sealed.argv);
  EXPECT_EQ(sealed.env_digest, asked.sealed.env_digest);
  EXPECT_EQ(sealed.cwd, asked.sealed.cwd);
  EXPECT_EQ(sealed.cwd_id, asked.sealed.cwd_id);
  EXPECT_EQ(sealed.rule.name, "push");
  EXPECT_EQ(sealed.ask, "7f3a91c2");
  EXPECT_TRUE(sealed.checked);
  EXPECT_NE(sealed.refusal, nullptr);
  EXPECT_TRUE(restored->allowed);
  EXPECT_EQ(restored->original_program, "./run");
  EXPECT_THAT(restored->environment, ElementsAre("A=b", "A=b"));
  EXPECT_FALSE(restored->own_environment);
  ASSERT_TRUE(restored->script.has_value());
  EXPECT_TRUE(restored->script->is_image);
  EXPECT_EQ(restored->script->argument, 2U);
  EXPECT_THAT(restored->script->interpreter, ElementsAre("/bin/sh", "-e"));
  EXPECT_EQ(restored->operand, ScriptOperand::Kind::kInline);
  EXPECT_TRUE(restored->operand_found && restored->image_writable && restored->content_may_change &&
              restored->denied_by_rule);
  EXPECT_EQ(restored->seq, 99U);
}

TEST(ShelvedExecTest, RestoresItsRecord) {
  const AskedExec asked = Whole();
  const auto restored = ShelvedExec(asked, asked.ask).Restore();
  const journal::Record& record = restored->record;
  const auto text = [](const journal::Record& from) {
    return journal::Encode({.record = from, .cuts = {}, .seq = 1}, "");
  };
  EXPECT_EQ(text(record), text(asked.record));
  EXPECT_EQ(record.time, asked.record.time);
  EXPECT_EQ(record.redact, false);
  EXPECT_EQ(record.sync, true);
}

TEST(ShelvedExecTest, AnEmptyOneStaysEmpty) {
  const AskedExec asked;
  const auto restored = ShelvedExec(asked, asked.ask).Restore();
  EXPECT_THAT(restored->sealed.images, IsEmpty());
  EXPECT_EQ(restored->sealed.refusal, nullptr);
  EXPECT_FALSE(restored->script.has_value());
  EXPECT_EQ(restored->ask.cell_id, "");
}

TEST(ShelvedExecTest, HoldsAtOnceWhatNeedsNoExamination) {
  const auto holds = [](void (*change)(AskedExec & asked)) {
    AskedExec asked;
    asked.ask.timeout = std::chrono::minutes(1);
    change(asked);
    return ShelvedExec::CanHoldNow(asked);
  };
  EXPECT_TRUE(holds([](AskedExec& /*asked*/) {}));
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.files.resize(1); })) << "a hash is missing";
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.script.emplace(); })) << "a copy is missing";
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.checks.emplace(); }));
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.allowed = true; })) << "nobody is asked";
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.ask.timeout = {}; })) << "nobody is there";
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.ask.strategy = policy::Strategy::kGhost; }));
  EXPECT_FALSE(holds([](AskedExec& asked) { asked.ask.argv = {std::string(5000, 'x')}; }));
}

TEST(ShelvedExecTest, SaysTheRisksThatAPersonIsShown) {
  auto asked = std::make_shared<AskedExec>(Whole());
  asked->ask.risks.clear();
  const auto shelved = ShelvedExec::Make(asked);
  EXPECT_EQ((*shelved->ask()).risks, FindRisks(*asked));
  EXPECT_FALSE((*shelved->ask()).risks.empty());
}

TEST(ShelvedExecTest, TakesLittle) {
  const AskedExec asked = Whole();
  const approvals::PackedAsk packed(asked.ask);
  EXPECT_LT(packed.packed().size(), 500U);
}

}  // namespace
}  // namespace cellrun::exec
