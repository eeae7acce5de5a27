// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/terminal.h"

#include <unistd.h>

#include "lib/sys/returned.h"

namespace cellrun::sys {
bool IsTerminal(const UniqueFd& fd) {
  return isatty(fd.get()) == 1;
}
Result<termios> GetAttributes(const UniqueFd& terminal) {
  termios attributes{};
  TRY(Check(tcgetattr(terminal.get(), &attributes), "tcgetattr"));
  return attributes;
}
Result<void> SetAttributes(const UniqueFd& terminal, int when, const termios& attributes) {
  return Check(tcsetattr(terminal.get(), when, &attributes), "tcsetattr");
}
Result<winsize> GetWindowSize(const UniqueFd& terminal) {
  winsize size{};
  TRY(Check(ioctl(terminal.get(), TIOCGWINSZ, &size), "ioctl(TIOCGWINSZ)"));
  return size;
}
Result<void> SetWindowSize(const UniqueFd& terminal, winsize size) {
  return Check(ioctl(terminal.get(), TIOCSWINSZ, &size), "ioctl(TIOCSWINSZ)");
}

}  // namespace cellrun::sys
