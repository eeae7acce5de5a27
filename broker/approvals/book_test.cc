// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/approvals/digest.h"

namespace cellrun::approvals {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A book with a clock of its own and ids 00000001, 00000002, …
class BookTest : public ::testing::Test {
 protected:
  static Ask Push(const std::string& cell = "cell-a") {
    Ask ask;
    ask.cell_id = cell;
    ask.cell_name = cell + "-name";
    ask.profile = "strict";
    ask.workspace = "/home/u/p";
    ask.pid = 4711;
    ask.parents = {"/usr/bin/make", "/usr/bin/bash"};
    ask.cwd = "/home/u/p";
    ask.program = "/usr/bin/git";
    ask.image_hash = std::string(64, 'a');
    ask.argv = {"git", "push"};
    ask.environment_digest = std::string(64, 'e');
    ask.rule = {.name = "push", .layer = policy::Layer::kProfile, .at = {"strict.yaml", 26, 5}};
    ask.timeout = 100s;
    return ask;
  }
  static Ask Numbered(int number, const std::string& cell = "cell-a") {
    Ask ask = Push(cell);
    ask.argv.push_back(std::to_string(number));
    return ask;
  }
  Answer Approve(const std::string& id, Scope scope = Scope::kOnce) const {
    Answer answer;
    answer.approve = true;
    answer.digest = book_.Find(id)->digest;
    answer.scope = scope;
    return answer;
  }
  Answer Deny(const std::string& id, std::string reason = "no") const {
    Answer answer = Approve(id);
    answer.approve = false;
    answer.reason = std::move(reason);
    return answer;
  }
  Book::Changes Take(const std::string& id, const Answer& answer, uid_t uid = 1000) {
    const Approver person{.uid = uid, .pid = 1, .terminal = "pts/3"};
    EXPECT_EQ(book_.Check(id, answer, person), Book::Refusal::kNone);
    return book_.Take(id, answer, person, now_);
  }
  Book::Refusal Check(const std::string& id, const Answer& answer, uid_t uid = 1000) const {
    return book_.Check(id, answer, {.uid = uid, .pid = 1, .terminal = ""});
  }
  void Pass(std::chrono::milliseconds time) {
    now_.steady += time;
    now_.wall += time;
  }

  int ids_ = 0;
  Book book_{{}, [this] {
               std::string id = std::to_string(++ids_);
               return std::string(8 - id.size(), '0') + id;
             }};
  Now now_{};
};

TEST_F(BookTest, ApprovesTheOneThatWaits) {
  const auto asked = book_.Submit(Push(), now_);
  ASSERT_FALSE(asked.refusal);
  EXPECT_EQ(asked.left, 100s);
  Pass(5400ms);
  const auto changes = Take(asked.id, Approve(asked.id));
  ASSERT_EQ(changes.decided.size(), 1U);
  EXPECT_EQ(changes.decided[0].first, asked.waiter);
  const Decision& decision = changes.decided[0].second;
  EXPECT_EQ(decision.state, State::kApproved);
  EXPECT_EQ(decision.argv, Push().argv);
  EXPECT_EQ(decision.by, "uid 1000 on pts/3");
  ASSERT_EQ(changes.ended.size(), 1U);
  EXPECT_EQ(changes.ended[0].answer->after, 5400ms);
  EXPECT_TRUE(book_.entries().empty());
  EXPECT_EQ(book_.bytes(), 0U);
}

TEST_F(BookTest, AnAnswerCountsOnce) {
  const auto asked = book_.Submit(Push(), now_);
  const Answer answer = Approve(asked.id);
  (void)Take(asked.id, answer);
  EXPECT_EQ(Check(asked.id, answer), Book::Refusal::kOver);
  EXPECT_EQ(book_.FindPast(asked.id)->by, "uid 1000 on pts/3");
  // The same asked again is another ask: the old answer does not fit it.
  const auto again = book_.Submit(Push(), now_);
  EXPECT_NE(again.id, asked.id);
  EXPECT_EQ(Check(asked.id, answer), Book::Refusal::kOver);
}

TEST_F(BookTest, AnAnswerMustNameWhatWasShown) {
  const auto asked = book_.Submit(Push(), now_);
  Answer answer = Approve(asked.id);
  answer.digest[5] = answer.digest[5] == '0' ? '1' : '0';
  EXPECT_EQ(Check(asked.id, answer), Book::Refusal::kChanged);
  answer.digest = "";
  EXPECT_EQ(Check(asked.id, answer), Book::Refusal::kChanged);
  EXPECT_EQ(Check("99999999", answer), Book::Refusal::kUnknown);
}

TEST_F(BookTest, IdenticalAsksShareAnIdAndOnceReleasesTheOldest) {
  const auto first = book_.Submit(Push(), now_);
  Ask same = Push();
  same.pid = 4712;
  const auto second = book_.Submit(same, now_);
  const auto third = book_.Submit(Push(), now_);
  EXPECT_EQ(second.id, first.id);
  EXPECT_TRUE(second.joined);
  EXPECT_EQ(book_.Find(first.id)->waiters.size(), 3U);

  const Answer answer = Approve(first.id);
  const auto changes = Take(first.id, answer);
  ASSERT_EQ(changes.decided.size(), 1U);
  EXPECT_EQ(changes.decided[0].first, first.waiter);
  ASSERT_EQ(changes.changed.size(), 1U);
  const std::string next = changes.changed[0];
  EXPECT_NE(next, first.id);
  EXPECT_EQ(book_.FindPast(first.id)->next, next);
  EXPECT_THAT(book_.Find(next)->waiters, ElementsAre(second.waiter, third.waiter));
  // The answer to the first is none to the second.
  EXPECT_EQ(Check(first.id, answer), Book::Refusal::kOver);

  const auto denied = Take(next, Deny(next));
  EXPECT_EQ(denied.decided.size(), 2U);
  EXPECT_TRUE(book_.entries().empty());
}

TEST_F(BookTest, AWiderScopeReleasesAll) {
  const auto first = book_.Submit(Push(), now_);
  (void)book_.Submit(Push(), now_);
  const auto changes = Take(first.id, Approve(first.id, Scope::kCell));
  EXPECT_EQ(changes.decided.size(), 2U);
  EXPECT_TRUE(book_.entries().empty());
}

TEST_F(BookTest, IdenticalAsksOfTwoCellsAreTwo) {
  const auto one = book_.Submit(Push("cell-a"), now_);
  const auto other = book_.Submit(Push("cell-b"), now_);
  EXPECT_NE(one.id, other.id);
  EXPECT_EQ(Check(other.id, Approve(one.id)), Book::Refusal::kChanged);
}

TEST_F(BookTest, ACellMayHaveSoManyPendingAndOthersAreNotHurt) {
  Ask ask = Push();
  ask.max_pending = 3;
  for (int i = 0; i < 3; ++i) {
    ask.argv = {"git", std::to_string(i)};
    EXPECT_FALSE(book_.Submit(ask, now_).refusal);
  }
  ask.argv = {"git", "3"};
  const auto refused = book_.Submit(ask, now_);
  ASSERT_TRUE(refused.refusal);
  EXPECT_EQ(refused.refusal->state, State::kDenied);
  EXPECT_THAT(refused.refusal->reason, HasSubstr("approvals.pending"));
  EXPECT_FALSE(book_.Submit(Push("cell-b"), now_).refusal);
}

TEST_F(BookTest, BytesOfACellAreBounded) {
  int taken = 0;
  for (int i = 0; i < 64; ++i) {
    Ask ask = Numbered(i);
    ask.argv.push_back(std::string(1 << 20, 'x'));
    taken += book_.Submit(std::move(ask), now_).refusal ? 0 : 1;
  }
  EXPECT_EQ(taken, 3);
  EXPECT_LT(book_.bytes(), std::size_t{4} << 20);
}

TEST_F(BookTest, ADenialCoolsDownExactlyThatCommand) {
  const auto asked = book_.Submit(Push(), now_);
  (void)Take(asked.id, Deny(asked.id, "not on a Friday"));
  Pass(9s);
  const auto again = book_.Submit(Push(), now_);
  ASSERT_TRUE(again.refusal);
  EXPECT_THAT(again.refusal->reason, HasSubstr("not on a Friday"));
  EXPECT_THAT(again.refusal->reason, HasSubstr("1 s"));
  EXPECT_FALSE(book_.Submit(Numbered(1), now_).refusal);
  EXPECT_FALSE(book_.Submit(Push("cell-b"), now_).refusal);
  Pass(1s);
  EXPECT_FALSE(book_.Submit(Push(), now_).refusal);
}

TEST_F(BookTest, SilenceDeniesAtTheDeadline) {
  const auto asked = book_.Submit(Push(), now_);
  EXPECT_EQ(book_.NextDeadline(), now_.steady + 100s);
  Pass(99'999ms);
  EXPECT_TRUE(book_.Expire(now_).decided.empty());
  Pass(1ms);
  const auto changes = book_.Expire(now_);
  ASSERT_EQ(changes.decided.size(), 1U);
  EXPECT_EQ(changes.decided[0].first, asked.waiter);
  EXPECT_EQ(changes.decided[0].second.state, State::kExpired);
  EXPECT_FALSE(book_.NextDeadline());
}

TEST_F(BookTest, TheWallClockDoesNotMoveADeadline) {
  (void)book_.Submit(Push(), now_);
  now_.wall += std::chrono::hours(1000);
  EXPECT_TRUE(book_.Expire(now_).decided.empty());
}

TEST_F(BookTest, WithNobodyToAskItIsDeniedAtOnce) {
  Ask ask = Push();
  ask.timeout = 0s;
  const auto refused = book_.Submit(ask, now_);
  ASSERT_TRUE(refused.refusal);
  EXPECT_EQ(refused.refusal->by, "no approver");
}

TEST_F(BookTest, AProcessThatLeavesTakesItsAskAlong) {
  const auto first = book_.Submit(Push(), now_);
  const auto second = book_.Submit(Push(), now_);
  EXPECT_TRUE(book_.Withdraw(first.waiter, now_).ended.empty());
  const auto changes = book_.Withdraw(second.waiter, now_);
  ASSERT_EQ(changes.ended.size(), 1U);
  EXPECT_EQ(changes.ended[0].state, State::kWithdrawn);
  EXPECT_TRUE(changes.decided.empty());
  EXPECT_TRUE(book_.Withdraw(second.waiter, now_).ended.empty());
}

TEST_F(BookTest, ACellThatEndsTakesItsAsksAlong) {
  const auto asked = book_.Submit(Push("cell-a"), now_);
  const auto other = book_.Submit(Push("cell-b"), now_);
  const auto changes = book_.ForgetCell("cell-a", now_);
  ASSERT_EQ(changes.decided.size(), 1U);
  EXPECT_EQ(changes.decided[0].first, asked.waiter);
  EXPECT_NE(book_.Find(other.id), nullptr);
}

TEST_F(BookTest, TwoApproversMustBeTwoPeople) {
  Ask ask = Push();
  ask.approvers = 2;
  const auto asked = book_.Submit(ask, now_);
  EXPECT_TRUE(Take(asked.id, Approve(asked.id), 1000).decided.empty());
  EXPECT_EQ(book_.Find(asked.id)->approved_by.size(), 1U);
  EXPECT_EQ(Check(asked.id, Approve(asked.id), 1000), Book::Refusal::kSamePerson);
  const auto changes = Take(asked.id, Approve(asked.id), 0);
  ASSERT_EQ(changes.decided.size(), 1U);
  EXPECT_EQ(changes.decided[0].second.state, State::kApproved);
}

TEST_F(BookTest, OneOfTwoApproversCanDeny) {
  Ask ask = Push();
  ask.approvers = 2;
  const auto asked = book_.Submit(ask, now_);
  (void)Take(asked.id, Approve(asked.id), 1000);
  EXPECT_EQ(Take(asked.id, Deny(asked.id), 0).decided[0].second.state, State::kDenied);
}

TEST_F(BookTest, WhatTheFloorAsksIsNotRemembered) {
  Ask ask = Push();
  ask.rememberable = false;
  const auto asked = book_.Submit(ask, now_);
  for (const Scope scope : {Scope::kCell, Scope::kProject, Scope::kAlways}) {
    EXPECT_EQ(Check(asked.id, Approve(asked.id, scope)), Book::Refusal::kNotRememberable);
  }
  EXPECT_EQ(Check(asked.id, Approve(asked.id)), Book::Refusal::kNone);
}

TEST_F(BookTest, AnEditReplacesTheArgumentsAndIsNotRemembered) {
  const auto asked = book_.Submit(Push(), now_);
  Answer answer = Approve(asked.id);
  answer.argv = {"git", "push", "--dry-run"};
  answer.scope = Scope::kAlways;
  EXPECT_EQ(Check(asked.id, answer), Book::Refusal::kNotEditable);
  answer.scope = Scope::kOnce;
  const auto changes = Take(asked.id, answer);
  EXPECT_EQ(changes.decided[0].second.argv, *answer.argv);
  EXPECT_TRUE(changes.decided[0].second.edited);
}

TEST_F(BookTest, FindsByUniquePrefix) {
  (void)book_.Submit(Numbered(1), now_);
  (void)book_.Submit(Numbered(2), now_);
  EXPECT_EQ(book_.Find("00000002")->ask->argv.back(), "2");
  EXPECT_EQ(book_.Find("0000"), nullptr);
  EXPECT_TRUE(book_.Ambiguous("0000"));
  EXPECT_EQ(book_.Find(""), nullptr);
  EXPECT_FALSE(book_.Ambiguous("1"));
}

// Every field that is shown must change the digest; what tells two processes apart must not.
TEST_F(BookTest, DoesNotWaitLongWhereNobodyLooks) {
  Ask ask = Push();
  ask.attended = false;
  const auto first = book_.Submit(ask, now_);
  EXPECT_EQ(first.left, 10s);
  Pass(9999ms);
  EXPECT_THAT(book_.Expire(now_).decided, testing::IsEmpty());
  Pass(1ms);
  const auto decided = book_.Expire(now_).decided;
  ASSERT_EQ(decided.size(), 1U);
  EXPECT_EQ(decided[0].second.state, State::kExpired);
  EXPECT_EQ(decided[0].second.by, "no approver");
  EXPECT_THAT(decided[0].second.reason, HasSubstr("nobody is there to be asked"));
  // The next one need not wait to find that out; one that somebody is there for does.
  const auto second = book_.Submit(ask, now_);
  ASSERT_TRUE(second.refusal.has_value());
  EXPECT_EQ(second.refusal->by, "no approver");
  EXPECT_EQ(book_.Submit(Numbered(1), now_).left, 100s);
  (void)book_.Look(now_);
  EXPECT_EQ(book_.Submit(ask, now_).left, 100s) << "somebody looked a moment ago";
  Pass(11min);
  (void)book_.Expire(now_);
  EXPECT_EQ(book_.Submit(ask, now_).left, 10s) << "somebody looked long ago";
}

TEST_F(BookTest, WaitsAsLongAsItShouldOnceSomebodyLooks) {
  Ask ask = Push();
  ask.attended = false;
  const auto submitted = book_.Submit(ask, now_);
  Pass(8s);
  EXPECT_THAT(book_.Look(now_).changed, ElementsAre(submitted.id));
  Pass(91s);
  EXPECT_THAT(book_.Expire(now_).decided, testing::IsEmpty());
  Pass(1s);
  const auto decided = book_.Expire(now_).decided;
  ASSERT_EQ(decided.size(), 1U);
  EXPECT_EQ(decided[0].second.by, "timeout");
}

TEST(DigestTest, CoversWhatIsShown) {
  using Change = void (*)(Ask&);
  const Change shown[] = {
      [](Ask& ask) { ask.cell_id = "x"; },
      [](Ask& ask) { ask.cell_name = "x"; },
      [](Ask& ask) { ask.profile = "x"; },
      [](Ask& ask) { ask.workspace = "x"; },
      [](Ask& ask) { ask.parents = {"x"}; },
      [](Ask& ask) { ask.cwd = "x"; },
      [](Ask& ask) { ask.strategy = policy::Strategy::kGhost; },
      [](Ask& ask) { ask.program = "x"; },
      [](Ask& ask) { ask.chain = {"x"}; },
      [](Ask& ask) { ask.image_hash = "x"; },
      [](Ask& ask) { ask.writable = true; },
      [](Ask& ask) { ask.argv = {"x"}; },
      [](Ask& ask) {
        ask.argv = {"", "x"};
      },
      [](Ask& ask) { ask.original_argv = {"x"}; },
      [](Ask& ask) { ask.environment = {{.name = "x", .before = "", .after = ""}}; },
      [](Ask& ask) {
        ask.environment = {{.name = "x", .is_set = true, .before = "", .after = ""}};
      },
      [](Ask& ask) {
        ask.environment = {{.name = "x", .is_set = true, .before = "", .after = "y"}};
      },
      [](Ask& ask) { ask.environment_digest = "x"; },
      [](Ask& ask) { ask.script_hash = "x"; },
      [](Ask& ask) { ask.rule.name = "x"; },
      [](Ask& ask) { ask.rule.layer = policy::Layer::kFloor; },
      [](Ask& ask) { ask.rule.at.file = "x"; },
      [](Ask& ask) { ask.rule.at.line = 7; },
      [](Ask& ask) { ask.reason = "x"; },
      [](Ask& ask) { ask.risks = {"x"}; },
      [](Ask& ask) { ask.said_by_cell = "x"; },
      [](Ask& ask) { ask.timeout = 1s; },
      [](Ask& ask) { ask.on_timeout = policy::Action::kAsk; },
      [](Ask& ask) { ask.approvers = 2; },
      [](Ask& ask) { ask.rememberable = false; },
  };
  std::vector<std::string> digests = {DigestOf({})};
  for (const Change change : shown) {
    Ask ask;
    change(ask);
    digests.push_back(DigestOf(ask));
  }
  std::sort(digests.begin(), digests.end());
  EXPECT_EQ(std::unique(digests.begin(), digests.end()), digests.end());

  Ask other;
  other.pid = 9;
  other.script_copy = "/run/x";
  EXPECT_EQ(DigestOf(other), DigestOf({}));
}

}  // namespace
}  // namespace cellrun::approvals
