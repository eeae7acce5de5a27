// SPDX-License-Identifier: Apache-2.0
// The waiting room without an answer, with a wrong one, and under a filter that lies to it.
#include <gmock/gmock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sys/memory.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "shim/cell_fixture.h"
#include "shim/waiting_room_fixture.h"

namespace cellrun::shim {
namespace {

class WaitingRoomDenialTest : public WaitingRoomFixture {};

TEST_F(WaitingRoomDenialTest, NoFilterMeansDenied) {
  const pid_t child = fork();
  if (child == 0) {
    execl(ShimPath().c_str(), "shim", nullptr);
    _exit(99);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 126);
}

TEST_F(WaitingRoomDenialTest, SuccessWithoutADescriptorIsNoAnswer) {
  for (const std::int64_t value : {0, 1, 2}) {
    Start();
    EXPECT_TRUE(sys::SeccompReplyValue(listener_, ReceiveCall().id, value).ok());
    ExpectDenied("cannot be reached");
  }
}

TEST_F(WaitingRoomDenialTest, LostListenerMeansDenied) {
  Start();
  listener_.Reset();
  ExpectDenied("cannot be reached");
}

TEST_F(WaitingRoomDenialTest, EndOfFileMeansDenied) {
  Start();
  GiveChannel();
  channel_.Reset();
  ExpectDenied("gave no answer");
}

TEST_F(WaitingRoomDenialTest, NumberThatIsNoDescriptorMeansDenied) {
  Start();
  EXPECT_TRUE(sys::SeccompReplyValue(listener_, ReceiveCall().id, 1000).ok());
  ExpectDenied("gave no answer");
}

TEST_F(WaitingRoomDenialTest, GarbageMeansDenied) {
  const auto bytes = [](wire::ShimMessage message) {
    return std::string(reinterpret_cast<const char*>(&message), sizeof message);
  };
  const std::string cases[] = {
      "x",
      std::string(sizeof(wire::ShimMessage) - 1, '\0'),
      std::string(sizeof(wire::ShimMessage), '\0'),
      std::string(sizeof(wire::ShimMessage), '\xff'),
      std::string(sizeof(wire::ShimMessage) + wire::kMaxShimText + 1, '\1'),
      bytes({wire::kShimExplain, 0, 0, 0, 0, 5, 0}),
      bytes({wire::kShimExplain, 0, 0, 0, 0, 0, 0}) + "tail",
      bytes({wire::kShimExec, 0, 1, 0, 5, 0, 0}),
      bytes({77, 0, 0, 0, 0, 0, 0}),
      bytes({wire::kShimFailed, 13, 0, 0, 0, 0, 0}),
  };
  for (const std::string& c : cases) {
    Start();
    GiveChannel();
    ASSERT_TRUE(sys::SendMessage(channel_, c, {}).ok());
    channel_.Reset();
    ExpectDenied("cellrun: ");
  }
}

TEST_F(WaitingRoomDenialTest, CommandThatDoesNotFitItsCountsIsNotExecuted) {
  const wire::ShimMessage cases[] = {
      {wire::kShimExec, 0, 2, 0, 15, 0, 0}, {wire::kShimExec, 0, 1, 1, 15, 0, 0},
      {wire::kShimExec, 0, 0, 1, 15, 0, 0}, {wire::kShimExec, 0, 1, 0, 14, 0, 0},
      {wire::kShimExec, 0, 1, 0, 16, 0, 0}, {wire::kShimExec, 0, 0xffffffff, 0xffffffff, 15, 0, 0}};
  for (const wire::ShimMessage& message : cases) {
    Start();
    GiveChannel();
    const auto memory = sys::MakeSealedMemfd("approved", std::string_view("/bin/echo\0echo\0", 15));
    ASSERT_TRUE(memory.ok());
    SendMessage(message, {}, {memory->get()});
    ExpectDenied("could not be read");
    EXPECT_EQ(ReadAll(out_), "");
  }
}

// ---- What a filter stacked by the cell can make a call say.

TEST_F(WaitingRoomDenialTest, LiesOfAStackedFilterEndInADenialOrATrap) {
  constexpr std::uint32_t kSuccess = SECCOMP_RET_ERRNO;  // 0, and nothing was done
  for (const int number : {SYS_recvmsg, SYS_mmap, SYS_fstat, SYS_newfstatat, SYS_fcntl,
                           SYS_prlimit64, SYS_open, SYS_close, SYS_munmap}) {
    Start([number] { StackFilter(number, kSuccess); });
    GiveChannel();
    Execute("/bin/false", {"false"}, {});
    const int status = Wait();
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) != 0) << number;
  }
}

TEST_F(WaitingRoomDenialTest, TrapsWhereExitDoesNotExit) {
  Start([] { StackFilter(SYS_exit_group, SECCOMP_RET_ERRNO); });
  GiveChannel();
  Explain(0, "denied\n");
  EXPECT_EQ(ReadAll(error_), "denied\n");
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << status;
}

}  // namespace
}  // namespace cellrun::shim
