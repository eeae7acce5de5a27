// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/unique_fd.h"
#include "lib/wire/control.h"

namespace cellrun::shim {

// For tests: a filter of the cell's own, on top of ours, that answers one call. Async-signal-safe
// enough for a fresh child.
void StackFilter(int number, std::uint32_t answer);

// For tests: the shim as a waiting room, whose connect this process answers as the broker does.
class WaitingRoomFixture : public testing::Test {
 protected:
  // `prepare` runs in the process that becomes the shim; its stdout and stderr are pipes.
  void Start(const std::function<void()>& prepare = {});
  void TearDown() override;

  // The shim's first notified call.
  seccomp_notif ReceiveCall();
  // Answers it with a channel, whose other end is channel_.
  void GiveChannel();
  // Each sends one message and closes the channel.
  void SendMessage(wire::ShimMessage message, std::string_view payload, std::vector<int> fds = {});
  void Explain(int status, std::string_view text);
  void Execute(const std::string& program, const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment);

  // As wait(2), of whatever the process has become.
  int Wait();
  void ExpectExit(int status);
  // It says `why` and exits with 126.
  void ExpectDenied(std::string_view why);

  UniqueFd out_, error_, listener_, channel_;
  pid_t pid_ = 0;
};

}  // namespace cellrun::shim
