// SPDX-License-Identifier: Apache-2.0
#include "shim/time_left.h"

#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/protocol.h"

namespace cellrun::shim {
namespace {

constexpr int64_t kSecond = 1000;

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec / 1'000'000;
}

// tcgetpgrp fails where stderr is not the controlling terminal.
bool InForeground() {
  return tcgetpgrp(STDERR_FILENO) == getpgrp();
}

char* AppendText(char* at, const char* text) {
  const size_t bytes = strlen(text);
  memcpy(at, text, bytes);
  return at + bytes;
}
char* AppendNumber(char* at, int64_t number) {
  char digits[20];
  size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

}  // namespace

void TimeLeft::Start(int32_t seconds) {
  Clear();
  end_ms_ = seconds > 0 && isatty(STDERR_FILENO) == 1 ? NowMs() + seconds * kSecond : 0;
}

int TimeLeft::Show() {
  if (end_ms_ == 0) return -1;
  const int64_t left_ms = end_ms_ - NowMs();
  const int64_t seconds = left_ms > 0 ? (left_ms + kSecond - 1) / kSecond : 0;
  if (seconds != shown_ && InForeground()) {
    char line[64];
    char* at = AppendText(line, "\rcellrun: ");
    if (seconds >= 60) at = AppendText(AppendNumber(at, seconds / 60), "m ");
    at = AppendText(AppendNumber(at, seconds % 60), "s left\x1b[K");
    WriteAll(STDERR_FILENO, line, static_cast<size_t>(at - line));
    shown_ = seconds;
  }
  if (left_ms <= 0) return -1;
  const int64_t next = left_ms % kSecond;
  return static_cast<int>(next == 0 ? kSecond : next);
}

void TimeLeft::Clear() {
  // In the background the line is another's by now.
  if (shown_ >= 0 && InForeground()) WriteAll(STDERR_FILENO, "\r\x1b[K", 4);
  end_ms_ = 0;
  shown_ = -1;
}

}  // namespace cellrun::shim
