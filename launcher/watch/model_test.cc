// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/watch/details.h"

namespace cellrun::watch {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

Ask PushAsk(const std::string& id) {
  Ask ask;
  ask.id = id;
  ask.state = "pending";
  ask.digest = "sha256:" + id;
  ask.cell = "quiet-otter";
  ask.profile = "strict";
  ask.pid = 4711;
  ask.parents = {"/usr/bin/make", "/usr/bin/bash"};
  ask.cwd = "/home/u/p";
  ask.strategy = "in-place";
  ask.program = "/usr/bin/git";
  ask.image_hash = "sha256:" + std::string(64, 'a');
  ask.argv = {"git", "push"};
  ask.argv_bytes = 9;
  ask.rule_file = "/etc/x/strict.yaml";
  ask.rule_line = 26;
  ask.reason = "publishes code";
  ask.left = seconds(100);
  return ask;
}

// A view with a clock that stands still until it is told.
class ModelTest : public testing::Test {
 protected:
  explicit ModelTest(std::size_t rows = 24, std::size_t columns = 80)
      : model_(Charset::kUtf8, rows, columns, now_) {
    model_.Connected(now_);
  }
  void Pass(milliseconds time) {
    now_ += time;
    model_.Tick(now_);
  }
  // Long enough for the list to move and the guard to fall.
  void Settle() {
    Pass(seconds(3));
    Pass(milliseconds(600));
  }
  void Press(std::string_view keys) {
    for (const char c : keys) Press({Key::Kind::kCharacter, static_cast<char32_t>(c)});
  }
  void Press(const Key& key) { model_.Press(key, now_); }
  // What was heard, listed, loaded and looked at.
  void Show(const Ask& ask) {
    model_.Heard(ask, now_);
    Settle();
    Load(ask);
    Pass(milliseconds(600));
  }
  void Load(const Ask& ask) {
    for (const Order& order : model_.TakeOrders()) {
      if (order.kind == Order::Kind::kLoad && order.answer.id == ask.id) {
        model_.Loaded(order.number, ask, now_);
      }
    }
  }
  std::vector<Order> Orders(Order::Kind kind) {
    std::vector<Order> found;
    for (Order& order : model_.TakeOrders()) {
      if (order.kind == kind) found.push_back(std::move(order));
    }
    return found;
  }
  std::string Shown() {
    std::string text;
    for (const Line& line : model_.Draw(now_).lines) {
      for (const Span& span : line) text += span.text;
      text += "\n";
    }
    return text;
  }
  Moment now_{seconds(1000)};
  Model model_;
};

TEST_F(ModelTest, ShowsWhoWhatWhyAndTheTimeLeft) {
  Show(PushAsk("7f3a"));
  EXPECT_THAT(Shown(), AllOf(HasSubstr("quiet-otter"), HasSubstr("git push"),
                             HasSubstr("strict.yaml:26"), HasSubstr("publishes code"),
                             HasSubstr(std::string(64, 'a')), HasSubstr("/home/u/p"),
                             HasSubstr("pid 4711 <- /usr/bin/make <- /usr/bin/bash")));
  EXPECT_THAT(Shown(), HasSubstr("1:40 left, then denied"));
  EXPECT_THAT(model_.Draw(now_).lines, SizeIs(24));
}

TEST_F(ModelTest, ApprovesOnceWithTheDigestThatWasShown) {
  Show(PushAsk("7f3a"));
  Press("y");
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(answers[0].answer.approve);
  EXPECT_EQ(answers[0].answer.digest, "sha256:7f3a");
  EXPECT_EQ(answers[0].answer.scope, "once");
  Press("y");
  Press("n");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty()) << "one answer is on its way";
}

TEST_F(ModelTest, EnterAnswersNothing) {
  Show(PushAsk("7f3a"));
  Press({Key::Kind::kEnter});
  Press("\r \t?x1Y");
  EXPECT_THAT(model_.TakeOrders(), IsEmpty());
}

TEST_F(ModelTest, DropsKeysForHalfASecondAfterAnAskCame) {
  Show(PushAsk("a1"));
  Pass(seconds(5));
  model_.Heard(PushAsk("b2"), now_);
  Pass(milliseconds(0));
  EXPECT_THAT(Shown(), HasSubstr("2 waiting"));
  Pass(milliseconds(499));
  Press("y");
  Press("n");
  Press("q");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  EXPECT_THAT(Shown(), HasSubstr("key ignored"));
  Pass(milliseconds(2));
  Press("y");
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].answer.id, "a1") << "the selection stays where it was";
}

TEST_F(ModelTest, DropsKeysAfterAResizeAndAStop) {
  Show(PushAsk("a1"));
  model_.Resize(30, 100, now_);
  Press("y");
  Pass(milliseconds(501));
  model_.Resumed(now_);
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  Pass(milliseconds(501));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), SizeIs(1));
}

TEST_F(ModelTest, LetsThePersonMoveAtOnceAndAnswerAfterALook) {
  for (const char* id : {"a1", "b2", "c3"}) model_.Heard(PushAsk(id), now_);
  Settle();
  EXPECT_THAT(Shown(), HasSubstr("a1: ")) << "the oldest first";
  Press("jj");
  Load(PushAsk("c3"));
  Press("n");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  Pass(milliseconds(501));
  Press("n");
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].answer.id, "c3");
  EXPECT_FALSE(answers[0].answer.approve);
}

TEST_F(ModelTest, AFloodOfAsksCannotKeepTheKeysAway) {
  Show(PushAsk("a1"));
  int open = 0;
  for (int i = 0; i < 200; ++i) {
    model_.Heard(PushAsk("f" + std::to_string(i)), now_);
    Pass(milliseconds(50));
    Press("?");
    open += Shown().find("key ignored") == std::string::npos ? 1 : 0;
    Press("v");  // says something else, where it counts
    Press("v");
  }
  EXPECT_GT(open, 100) << "of ten seconds, in steps of 50 ms";
}

TEST_F(ModelTest, TheNextAskDoesNotGetTheKeyOfTheOneThatWent) {
  Show(PushAsk("a1"));
  model_.Heard(PushAsk("b2"), now_);
  Settle();
  Settle();
  Ask gone = PushAsk("a1");
  gone.state = "withdrawn";
  model_.Heard(gone, now_);
  Pass(milliseconds(0));
  Press("n");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  EXPECT_THAT(Shown(), HasSubstr("1 waiting"));
}

TEST_F(ModelTest, AnAskThatRanOutOfTimeCannotBeAnswered) {
  Show(PushAsk("a1"));
  Press("v");
  Pass(seconds(200));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  EXPECT_THAT(Shown(), HasSubstr("over, out of time"));
}

TEST_F(ModelTest, WantsWhatDoesNotFitToBeReadFirst) {
  Ask ask = PushAsk("a1");
  for (int i = 0; i < 100; ++i) ask.argv.push_back("argument-" + std::to_string(i));
  ask.argv_bytes = 1300;
  Show(ask);
  Press("y");
  Press("s");
  EXPECT_THAT(model_.TakeOrders(), IsEmpty());
  EXPECT_THAT(Shown(), HasSubstr("does not fit"));
  Press("v");
  for (int page = 0; page < 8; ++page) Press(" ");
  EXPECT_THAT(Shown(), HasSubstr("argument-99"));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), SizeIs(1));
}

TEST_F(ModelTest, DenyingNeedsNoReading) {
  Ask ask = PushAsk("a1");
  for (int i = 0; i < 100; ++i) ask.argv.push_back("x");
  Show(ask);
  Press("n");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), SizeIs(1));
}

TEST_F(ModelTest, JumpingToTheEndIsNotReading) {
  Ask ask = PushAsk("a1");
  for (int i = 0; i < 300; ++i) ask.argv.push_back("x" + std::to_string(i));
  ask.argv_bytes = 3000;
  Show(ask);
  Press("v");
  Press({Key::Kind::kEnd});
  Press("y");
  EXPECT_THAT(model_.TakeOrders(), IsEmpty());
  EXPECT_THAT(Shown(), HasSubstr("rows were not on the screen"));
  Press("y");
  EXPECT_THAT(model_.TakeOrders(), IsEmpty()) << "the guard of the question";
  Pass(milliseconds(501));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), SizeIs(1));
}

TEST_F(ModelTest, AShortFormIsNeverApproved) {
  Ask ask = PushAsk("a1");
  ask.argv_cut = true;
  model_.Heard(ask, now_);
  Settle();
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
}

TEST_F(ModelTest, RemembersOnlyARuleThatWasShown) {
  Show(PushAsk("a1"));
  Press("p");
  auto previews = Orders(Order::Kind::kPreview);
  ASSERT_THAT(previews, SizeIs(1));
  EXPECT_EQ(previews[0].answer.scope, "project");
  Pass(milliseconds(600));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty()) << "no rule is here yet";
  model_.Previewed(previews[0].number,
                   {.rule = "- when: {exe: git}\n  then: allow\n",
                    .file = "/home/u/rules.yaml",
                    .expires = "2026-12-21T00:00:00Z",
                    .matches = {{"git", "push", "-f"}},
                    .matches_total = 3},
                   now_);
  EXPECT_THAT(Shown(), AllOf(HasSubstr("- when: {exe: git}"), HasSubstr("  then: allow"),
                             HasSubstr("2026-12-21"), HasSubstr("git push -f"),
                             HasSubstr("also 3 commands"), HasSubstr("only this hash")));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty()) << "the guard of what has just appeared";
  Pass(milliseconds(501));
  Press("w");
  previews = Orders(Order::Kind::kPreview);
  ASSERT_THAT(previews, SizeIs(1));
  EXPECT_TRUE(previews[0].answer.widen);
  model_.Previewed(previews[0].number, {.rule = "- when: {exe: git}", .matches = {}}, now_);
  Pass(milliseconds(501));
  Press("y");
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].answer.scope, "project");
  EXPECT_TRUE(answers[0].answer.widen);
}

TEST_F(ModelTest, DeniesForGoodWithTheRuleShown) {
  Show(PushAsk("a1"));
  Press("N");
  const auto previews = Orders(Order::Kind::kPreview);
  ASSERT_THAT(previews, SizeIs(1));
  EXPECT_FALSE(previews[0].answer.approve);
  model_.Previewed(previews[0].number, {.rule = "- then: deny", .matches = {}}, now_);
  Pass(milliseconds(501));
  EXPECT_THAT(Shown(), HasSubstr("! NEVER")) << "no expiry";
  Press("y");
  EXPECT_EQ(Orders(Order::Kind::kAnswer).at(0).answer.scope, "project");
}

TEST_F(ModelTest, LeavesAQuestionWithoutAnAnswer) {
  Show(PushAsk("a1"));
  for (const Key& key : {Key{Key::Kind::kEscape}, Key{Key::Kind::kCharacter, U'n'},
                         Key{Key::Kind::kCharacter, U'q'}}) {
    Press("s");
    Pass(milliseconds(501));
    Press({Key::Kind::kEnter});
    Press(key);
    EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
    EXPECT_THAT(Shown(), HasSubstr("y once"));
    Pass(milliseconds(501));
  }
}

TEST_F(ModelTest, WhatAsksEachTimeIsNotRemembered) {
  Ask ask = PushAsk("a1");
  ask.rememberable = false;
  Show(ask);
  Press("p");
  EXPECT_THAT(model_.TakeOrders(), IsEmpty());
  EXPECT_THAT(Shown(), HasSubstr("asks each time"));
}

TEST_F(ModelTest, DeniesWithAReason) {
  Show(PushAsk("a1"));
  Press("r");
  Press("use a branch: y n q");
  Press({Key::Kind::kBackspace});
  Press({Key::Kind::kEnter});
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_FALSE(answers[0].answer.approve);
  EXPECT_EQ(answers[0].answer.reason, "use a branch: y n ");
}

TEST_F(ModelTest, EditsArgumentsAndShowsThemBeforeTheyAreApproved) {
  Show(PushAsk("a1"));
  Press("e");
  Press(" --dry-run \"a b\"");
  EXPECT_THAT(Shown(), HasSubstr("run: git push --dry-run \"a b\""));
  Press({Key::Kind::kEnter});
  EXPECT_THAT(Shown(), AllOf(HasSubstr("asked for  git push"), HasSubstr("[3]      \"a b\"")));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  Pass(milliseconds(501));
  Press("y");
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_THAT(*answers[0].answer.argv, ElementsAre("git", "push", "--dry-run", "a b"));
  EXPECT_EQ(answers[0].answer.digest, "sha256:a1");
}

TEST_F(ModelTest, PastedTextAnswersNothing) {
  Show(PushAsk("a1"));
  for (const char32_t c : U"ynpNsq") Press({Key::Kind::kCharacter, c, true});
  Press({Key::Kind::kEnter, 0, true});
  EXPECT_THAT(model_.TakeOrders(), IsEmpty());
  Press("r");
  for (const char32_t c : {U'o', U'k'}) Press({Key::Kind::kCharacter, c, true});
  Press({Key::Kind::kEnter, 0, true});
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty()) << "a line end in it sends nothing";
  EXPECT_THAT(Shown(), HasSubstr("reason: ok"));
}

TEST_F(ModelTest, AConflictShowsTheAskAnewAndToBeReadAnew) {
  Show(PushAsk("a1"));
  Press("y");
  const auto answers = Orders(Order::Kind::kAnswer);
  ASSERT_THAT(answers, SizeIs(1));
  model_.Failed(answers[0].number, 409, "the ask has changed", now_);
  EXPECT_THAT(Shown(), AllOf(HasSubstr("NOT ANSWERED"), HasSubstr("the ask has changed")));
  Ask changed = PushAsk("a1");
  changed.digest = "sha256:other";
  changed.argv = {"git", "push", "--force"};
  Load(changed);
  EXPECT_THAT(Shown(), HasSubstr("git push --force"));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty()) << "guarded";
  Pass(milliseconds(501));
  Press("y");
  EXPECT_EQ(Orders(Order::Kind::kAnswer).at(0).answer.digest, "sha256:other");
}

TEST_F(ModelTest, NothingIsAnsweredWithoutABroker) {
  Show(PushAsk("a1"));
  model_.Disconnected("it has gone", now_ + seconds(2), now_);
  EXPECT_THAT(Shown(), AllOf(HasSubstr("NO BROKER (it has gone)"), Not(HasSubstr("git push"))));
  Pass(milliseconds(501));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
  model_.Connected(now_);
  Show(PushAsk("a1"));
  Press("y");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), SizeIs(1));
}

TEST_F(ModelTest, TextOfTheCellStaysInItsRowsAndBehindTheMargin) {
  Ask ask = PushAsk("a1");
  ask.argv = {"sh", "-c", "echo\n\033[2J\033[Hrisk       none\ncell       trusted-one",
              std::string(200, ' ') + "rule       ok.yaml:1", "\u202e\u200b\U0001f600e\u0301"};
  ask.said_by_cell = "trust me\nrule       fine.yaml:1";
  ask.cwd = "/w\033]0;t\007";
  ask.environment = {{"LD_PRELOAD", std::nullopt, "/x\r.so"}};
  model_.Resize(40, 80, now_);
  Show(ask);
  const std::vector<Line> lines = DetailLines(ask, 80, Charset::kUtf8);
  for (const Line& line : lines) {
    ASSERT_THAT(line, SizeIs(2));
    EXPECT_EQ(line[0].text.size(), kMargin);
    EXPECT_LE(kMargin + Columns(line[1].text), 80U);
    for (const char c : line[1].text) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
    EXPECT_THAT(line[0].text, Not(HasSubstr("fine")));
  }
  EXPECT_THAT(Shown(), AllOf(HasSubstr("\\u{1b}[2J"), HasSubstr("\\u{202e}"),
                             HasSubstr("own words"), HasSubstr("LD_PRELOAD: (not set) -> ")));
}

TEST_F(ModelTest, SaysWhatTheCellCouldHaveWritten) {
  Ask ask = PushAsk("a1");
  ask.writable = true;
  ask.risks = {"the first time in this project"};
  ask.on_timeout = "allow";
  ask.approvers = 2;
  Show(ask);
  EXPECT_THAT(Shown(), AllOf(HasSubstr("THE CELL COULD HAVE WRITTEN IT"),
                             HasSubstr("! risk     the first time"), HasSubstr("then ALLOWED"),
                             HasSubstr("2 people must approve")));
}

class SmallModelTest : public ModelTest {
 protected:
  SmallModelTest() : ModelTest(10, 40) {}
};
TEST_F(SmallModelTest, SaysThatItIsTooSmall) {
  Show(PushAsk("a1"));
  EXPECT_THAT(Shown(), HasSubstr("too small: 40x10"));
  for (const std::size_t rows : {1U, 2U, 14U, 200U}) {
    for (const std::size_t columns : {1U, 3U, 50U, 79U, 400U}) {
      model_.Resize(rows, columns, now_);
      const Screen screen = model_.Draw(now_);
      EXPECT_EQ(screen.lines.size(), rows);
      for (const Line& line : screen.lines) {
        std::size_t width = 0;
        for (const Span& span : line) width += Columns(span.text);
        EXPECT_LE(width, columns);
      }
    }
  }
}

TEST_F(SmallModelTest, AnswersNothingThatCannotBeSeen) {
  Show(PushAsk("a1"));
  Press("y");
  Press("n");
  EXPECT_THAT(Orders(Order::Kind::kAnswer), IsEmpty());
}

TEST_F(ModelTest, StaysFastWithAThousandAsksAndMegabytes) {
  Ask large = PushAsk("big");
  large.argv = {"sh", std::string(2 << 20, '\001')};
  large.argv_bytes = 2 << 20;
  model_.Heard(large, now_);
  for (int i = 0; i < 1000; ++i) model_.Heard(PushAsk("a" + std::to_string(i)), now_);
  Settle();
  Load(large);
  Pass(milliseconds(600));
  const auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    Press("j");
    EXPECT_THAT(model_.Draw(now_).lines, SizeIs(24));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, seconds(2)) << "2 ms a key, drawn";
  EXPECT_THAT(Shown(), HasSubstr("1001 waiting"));
}

}  // namespace
}  // namespace cellrun::watch
