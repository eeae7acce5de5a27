// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::sys {

bool IsTerminal(const UniqueFd& fd);
Result<termios> GetAttributes(const UniqueFd& terminal);
Result<void> SetAttributes(const UniqueFd& terminal, int when, const termios& attributes);
Result<winsize> GetWindowSize(const UniqueFd& terminal);
Result<void> SetWindowSize(const UniqueFd& terminal, winsize size);

}  // namespace cellrun::sys
