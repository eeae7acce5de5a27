// SPDX-License-Identifier: Apache-2.0
#include "shim/waiting_room_fixture.h"

#include <gmock/gmock.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "lib/sys/memory.h"
#include "lib/sys/process.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "shim/cell_fixture.h"

namespace cellrun::shim {
namespace {

std::vector<sock_filter> AnswerOne(int number, std::uint32_t answer) {
  const auto code = [](int c) { return static_cast<std::uint16_t>(c); };
  return {
      {code(BPF_LD | BPF_W | BPF_ABS), 0, 0, offsetof(seccomp_data, nr)},
      {code(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, static_cast<std::uint32_t>(number)},
      {code(BPF_RET | BPF_K), 0, 0, answer},
      {code(BPF_RET | BPF_K), 0, 0, SECCOMP_RET_ALLOW},
  };
}

[[noreturn]] void BecomeShim(const UniqueFd& hand_over, const UniqueFd& out, const UniqueFd& error,
                             const std::function<void()>& prepare) {
  CHECK(sys::NoNewPrivileges().ok());
  const UniqueFd listener(
      sys::SeccompNewListener(AnswerOne(SYS_connect, SECCOMP_RET_USER_NOTIF), 0).value());
  const int fd = listener.get();
  CHECK(sys::SendMessage(hand_over, "l", {&fd, 1}).ok());
  CHECK(dup2(out.get(), STDOUT_FILENO) >= 0 && dup2(error.get(), STDERR_FILENO) >= 0);
  // What the test's own caller left open is not the shim's affair.
  CHECK(syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0);
  if (prepare) prepare();
  // What the caller's arguments and environment say must not matter.
  const std::string shim = ShimPath();
  char* const arguments[] = {const_cast<char*>("init"), const_cast<char*>("--help"), nullptr};
  char* const environment[] = {const_cast<char*>("LD_PRELOAD=/x"), nullptr};
  execve(shim.c_str(), arguments, environment);
  _exit(99);
}

}  // namespace

void StackFilter(int number, std::uint32_t answer) {
  std::vector<sock_filter> filter = AnswerOne(number, answer);
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = filter.data()};
  CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

void WaitingRoomFixture::Start(const std::function<void()>& prepare) {
  auto hand_over = sys::SocketPair(SOCK_SEQPACKET);
  ASSERT_TRUE(hand_over.ok());
  Output out = MakeOutput(), error = MakeOutput();
  pid_ = fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) BecomeShim(hand_over->second, out.write, error.write, prepare);
  out_ = std::move(out.read);
  error_ = std::move(error.read);
  hand_over->second.Reset();
  out.write.Reset();
  error.write.Reset();
  auto message = sys::ReceiveMessage(hand_over->first, 1);
  ASSERT_TRUE(message.ok());
  ASSERT_EQ(message->fds.size(), 1U);
  listener_ = std::move(message->fds[0]);
}
void WaitingRoomFixture::TearDown() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

seccomp_notif WaitingRoomFixture::ReceiveCall() {
  pollfd wait{.fd = listener_.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&wait, 1, 20'000), 1);
  const auto notification = sys::SeccompReceive(listener_);
  EXPECT_TRUE(notification.ok() && notification->has_value());
  return notification.ok() ? notification->value_or(seccomp_notif{}) : seccomp_notif{};
}
void WaitingRoomFixture::GiveChannel() {
  const seccomp_notif call = ReceiveCall();
  EXPECT_EQ(call.data.nr, SYS_connect);
  EXPECT_EQ(static_cast<int>(call.data.args[0]), wire::kChannelFd);
  EXPECT_EQ(call.data.args[1], wire::kChannelMagic);
  EXPECT_EQ(call.data.args[2], 0U);
  auto sockets = sys::SocketPair(SOCK_SEQPACKET);
  ASSERT_TRUE(sockets.ok());
  channel_ = std::move(sockets->first);
  const auto number = sys::SeccompReplyFd(listener_, call.id, sockets->second);
  ASSERT_TRUE(number.ok()) << number.error().ToString();
  EXPECT_GT(*number, 2);
}
void WaitingRoomFixture::SendMessage(wire::ShimMessage message, std::string_view payload,
                                     std::vector<int> fds) {
  message.payload_bytes = static_cast<std::uint32_t>(payload.size());
  std::string bytes(reinterpret_cast<const char*>(&message), sizeof message);
  const auto sent = sys::SendMessage(channel_, bytes.append(payload), fds);
  ASSERT_TRUE(sent.ok() || sent.error().code() == EPIPE);  // it may have ended by itself
  channel_.Reset();
}
void WaitingRoomFixture::Explain(int status, std::string_view text) {
  SendMessage({.order = wire::kShimExplain,
               .status = status,
               .argument_count = 0,
               .environment_count = 0,
               .block_bytes = 0,
               .payload_bytes = 0,
               .flags = 0},
              text);
}
void WaitingRoomFixture::Execute(const std::string& program,
                                 const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment) {
  std::string block = program + '\0';
  for (const std::string& argument : arguments) block += argument + '\0';
  for (const std::string& variable : environment) block += variable + '\0';
  const auto memory = sys::MakeSealedMemfd("approved", block);
  ASSERT_TRUE(memory.ok());
  SendMessage({.order = wire::kShimExec,
               .status = 0,
               .argument_count = static_cast<std::uint32_t>(arguments.size()),
               .environment_count = static_cast<std::uint32_t>(environment.size()),
               .block_bytes = static_cast<std::uint32_t>(block.size()),
               .payload_bytes = 0,
               .flags = 0},
              {}, {memory->get()});
}
int WaitingRoomFixture::Wait() {
  int status = -1;
  EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
  pid_ = 0;
  return status;
}
void WaitingRoomFixture::ExpectExit(int status) {
  const int ended = Wait();
  EXPECT_TRUE(WIFEXITED(ended)) << ended;
  EXPECT_EQ(WEXITSTATUS(ended), status);
}
void WaitingRoomFixture::ExpectDenied(std::string_view why) {
  EXPECT_THAT(ReadAll(error_), testing::HasSubstr(std::string(why)));
  ExpectExit(126);
}

}  // namespace cellrun::shim
