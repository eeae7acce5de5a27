// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/raw_mode.h"

#include <poll.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <utility>

#include "lib/sys/terminal.h"

namespace cellrun::terminal {
namespace {

constexpr std::array kFatalSignals = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

// What a signal handler can reach.
std::atomic<int> fatal_terminal{-1};
termios fatal_settings;

void RestoreAndDie(int number) {
  const int fd = fatal_terminal.load();
  if (fd >= 0) (void)tcsetattr(fd, TCSANOW, &fatal_settings);
  // SA_RESETHAND: the default action follows.
  (void)raise(number);
}

void CatchFatalSignals() {
  struct sigaction action {};
  action.sa_handler = RestoreAndDie;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : kFatalSignals) (void)sigaction(number, &action, nullptr);
}

Result<void> SetRaw(const UniqueFd& terminal, termios settings) {
  cfmakeraw(&settings);
  return sys::SetAttributes(terminal, TCSADRAIN, settings);
}

}  // namespace

Result<RawMode> RawMode::Enter(const UniqueFd& terminal) {
  const termios before = TRY(sys::GetAttributes(terminal));
  fatal_settings = before;
  fatal_terminal = terminal.get();
  CatchFatalSignals();
  TRY(SetRaw(terminal, before));
  return RawMode(terminal, before);
}
RawMode::RawMode(RawMode&& other) noexcept
    : terminal_(std::exchange(other.terminal_, nullptr)), before_(other.before_) {}
RawMode::~RawMode() {
  if (terminal_ == nullptr) return;
  Suspend();
  fatal_terminal = -1;
}
void RawMode::Suspend() const {
  (void)sys::SetAttributes(*terminal_, TCSADRAIN, before_);
}  // EIO: it was closed
void RawMode::Resume() const {
  (void)SetRaw(*terminal_, before_);
}

void CopyKeyboardSettings(const termios& from, const UniqueFd& to) {
  Result<termios> settings = sys::GetAttributes(to);
  if (!settings.ok()) return;
  for (const int key :
       {VINTR, VQUIT, VERASE, VKILL, VEOF, VSUSP, VSTART, VSTOP, VWERASE, VLNEXT, VREPRINT}) {
    settings->c_cc[key] = from.c_cc[key];
  }
  settings->c_iflag = (settings->c_iflag & ~static_cast<tcflag_t>(IUTF8)) |
                      (from.c_iflag & static_cast<tcflag_t>(IUTF8));
  (void)sys::SetAttributes(to, TCSANOW, *settings);
}

void DropPendingReplies(const UniqueFd& terminal) {
  constexpr int kWaitMs = 100;
  constexpr int kRestMs = 10;
  pollfd wait{.fd = terminal.get(), .events = POLLIN, .revents = 0};
  int timeout = kWaitMs;
  for (int round = 0; round < 8 && poll(&wait, 1, timeout) > 0; ++round) {
    (void)tcflush(terminal.get(), TCIFLUSH);
    timeout = kRestMs;
  }
}

}  // namespace cellrun::terminal
