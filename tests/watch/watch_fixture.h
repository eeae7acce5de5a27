// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "tests/emulator/emulator.h"
#include "tests/support/sandbox.h"
#include "tests/watch/fake_broker.h"

namespace cellrun::test {

using Clock = std::chrono::steady_clock;

// `cellrun approvals watch` at a terminal whose screen can be looked at, before a broker of the
// test's own.
class WatchTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    broker_ = std::make_unique<FakeBroker>(RuntimeDirectory() + "/api.sock");
  }
  void TearDown() override {
    terminal_.reset();
    broker_.reset();
    Sandbox::TearDown();
  }
  void Open(std::uint16_t rows = 24, std::uint16_t columns = 80,
            const Environment& environment = {}) {
    OpenCommand(CellrunCommand({"approvals", "watch"}, {.environment = environment}), rows,
                columns);
  }
  void OpenCommand(Command command, std::uint16_t rows = 24, std::uint16_t columns = 80) {
    command.time_limit = std::chrono::seconds(60);
    screen_ = std::make_unique<Emulator>(rows, columns);
    terminal_ = std::make_unique<Terminal>(std::move(command), rows, columns);
  }
  bool Until(const std::function<bool()>& condition) {
    const bool met = terminal_->WaitUntil([&](const std::string& shown) {
      screen_->Follow(shown);
      return condition();
    });
    if (!met) ADD_FAILURE() << screen_->Text();
    return met;
  }
  bool Shows(const std::string& text) {
    return Until([&] { return screen_->Shows(text); });
  }
  bool ShowsNot(const std::string& text) {
    return Until([&] { return !screen_->Shows(text); });
  }
  // Presses a key until it counts: the guard drops what comes too early.
  bool PressUntil(const std::string& key, const std::function<bool()>& condition) {
    Clock::time_point next = Clock::now();
    return Until([&] {
      if (condition()) return true;
      if (Clock::now() >= next) {
        terminal_->Send(key);
        next = Clock::now() + std::chrono::milliseconds(100);
      }
      return false;
    });
  }
  bool PressUntilShows(const std::string& key, const std::string& text) {
    return PressUntil(key, [&] { return screen_->Shows(text); });
  }
  bool PressUntilReceived(const std::string& key, std::size_t count = 1) {
    return PressUntil(key, [&] { return broker_->received().size() >= count; });
  }
  // One ask, listed and loaded.
  void OpenWith(const nlohmann::json& ask) {
    broker_->Put(ask);
    Open();
    ASSERT_TRUE(Shows("4711"));
  }
  void ExpectGivenBack() {
    screen_->Follow(terminal_->screen());
    EXPECT_TRUE(terminal_->IsCooked());
    EXPECT_FALSE(screen_->on_second_screen());
    EXPECT_TRUE(screen_->cursor_visible());
    EXPECT_GT(terminal_->screen().rfind("\033[?2004l"), terminal_->screen().rfind("\033[?2004h"));
  }
  std::unique_ptr<FakeBroker> broker_;
  std::unique_ptr<Emulator> screen_;
  std::unique_ptr<Terminal> terminal_;
};

// The same with a broker and a cell behind it.
class WatchedCellTest : public WatchTest {
 protected:
  void SetUp() override {
    WatchTest::SetUp();
    broker_->Stop();
    profile_ = WriteProfile(
        "cellrun: 1\nname: tested\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
        "    - name: who\n      when: {exe: id}\n      then: ask\n      reason: tells who it is\n");
  }
  std::string profile_;
};

}  // namespace cellrun::test
