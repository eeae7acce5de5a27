// SPDX-License-Identifier: Apache-2.0
#include "shim/cell_fixture.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

#include "lib/sys/file.h"
#include "lib/sys/memory.h"
#include "lib/sys/socket.h"
#include "tests/support/required.h"

namespace cellrun::shim {
namespace {

constexpr int kLimitMs = 20'000;
constexpr std::size_t kMaxPacketBytes = 65'536;

std::string HiddenCopy() {
  std::array<char, 32> path = {"/tmp/cellrun-shim-test-XXXXXX"};
  UniqueFd fd(mkostemp(path.data(), O_CLOEXEC));
  CHECK(fd.valid());
  std::ifstream in(ShimPath(), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  CHECK(!bytes.empty() && sys::WriteAll(fd, bytes).ok());
  CHECK(sys::Fchmod(fd, 0111).ok());
  return path.data();
}

void WriteOrDie(const char* path, const std::string& text) {
  if (!sys::WriteExistingFile(path, text).ok()) _exit(90);
}

// What the launcher's child does, as far as init needs it. The cell's user is 1000 inside, so that
// the exec of init drops every capability, whoever runs the test.
[[noreturn]] void BecomeInit(const std::string& shim, uid_t uid, gid_t gid, int control) {
  WriteOrDie("/proc/self/setgroups", "deny");
  WriteOrDie("/proc/self/uid_map", "1000 " + std::to_string(uid) + " 1");
  WriteOrDie("/proc/self/gid_map", "1000 " + std::to_string(gid) + " 1");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(91);
  if (mount("proc", "/proc", "proc", 0, nullptr) != 0) _exit(92);
  if (mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") != 0) _exit(93);
  if (dup2(control, wire::kControlFd) < 0) _exit(94);
  char* const arguments[] = {const_cast<char*>("anything"), nullptr};
  char* const environment[] = {nullptr};
  execve(shim.c_str(), arguments, environment);
  _exit(95);
}

bool WaitReadable(const UniqueFd& fd) {
  pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
  return poll(&wait, 1, kLimitMs) == 1;
}

void AppendString(std::string& block, const std::string& text) {
  block += text;
  block += '\0';
}

}  // namespace

std::string ShimPath() {
  return CELLRUN_TEST_SHIM;
}
std::string InsidePath() {
  return CELLRUN_TEST_INSIDE;
}

std::vector<sock_filter> AllowAll() {
  return {{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW}};
}

Output MakeOutput() {
  auto pipe = sys::Pipe2(O_CLOEXEC);
  CHECK(pipe.ok());
  return {std::move(pipe->read), std::move(pipe->write)};
}

std::string ReadUntil(const UniqueFd& fd, std::string_view text) {
  std::string all;
  while (text.empty() || all.find(text) == std::string::npos) {
    if (!WaitReadable(fd)) {
      ADD_FAILURE() << "nothing came; so far: " << all;
      break;
    }
    std::array<char, 4096> buffer{};
    const ssize_t bytes = read(fd.get(), buffer.data(), buffer.size());
    if (bytes <= 0) break;  // a terminal whose last holder has gone says EIO
    all.append(buffer.data(), static_cast<std::size_t>(bytes));
  }
  return all;
}
std::string ReadAll(const UniqueFd& fd) {
  return ReadUntil(fd, "");
}

void CellFixture::StartInit(Start start) {
  auto sockets = sys::SocketPair(SOCK_SEQPACKET);
  ASSERT_TRUE(sockets.ok());
  if (start.small_buffer) {
    constexpr int kSmallest = 0;
    ASSERT_EQ(
        setsockopt(sockets->second.get(), SOL_SOCKET, SO_SNDBUF, &kSmallest, sizeof kSmallest), 0);
  }
  const std::string shim = start.hidden_file ? HiddenCopy() : ShimPath();
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_PIDFD;
  arguments.exit_signal = SIGCHLD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  const auto pid = sys::Clone3(arguments);
  REQUIRE_OR_SKIP(pid.ok(), pid.error().ToString());
  if (*pid == 0) BecomeInit(shim, uid, gid, sockets->second.get());
  init_ = sys::ChildProcess(*pid, UniqueFd(pidfd));
  control_ = std::move(sockets->first);
  sockets->second.Reset();
  if (start.hidden_file) {
    // Once init answers, it has been executed. It has no filter yet, so this is all it can say.
    SetUpFilter(AllowAll());
    unlink(shim.c_str());
  }
}

void CellFixture::StartCell() {
  StartInit();
  if (control_.valid()) SetUpFilter(AllowAll());
}

void CellFixture::SetUpFilter(const std::vector<sock_filter>& filter, std::string_view handover) {
  const wire::SetupOrder order{.filter_flags = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                               .filter_instructions = static_cast<std::uint32_t>(filter.size()),
                               .handover_bytes = static_cast<std::uint32_t>(handover.size())};
  std::string payload(reinterpret_cast<const char*>(&order), sizeof order);
  payload.append(reinterpret_cast<const char*>(filter.data()), filter.size() * sizeof(sock_filter));
  payload += handover;
  Send({.type = wire::kSetup, .id = 1, .a = 0, .b = 0, .c = 0, .payload_bytes = 0}, payload);
  Event event = Expect(wire::kListener);
  EXPECT_EQ(event.header.id, 1U);
  EXPECT_EQ(event.payload, handover);
  ASSERT_EQ(event.fds.size(), 1U);
  listener_ = std::move(event.fds[0]);
}

std::uint32_t CellFixture::Spawn(const SpawnRequest& request) {
  std::string block;
  AppendString(block, request.program.empty() ? request.argv.at(0) : request.program);
  AppendString(block, request.directory);
  for (const std::string& argument : request.argv) AppendString(block, argument);
  for (const std::string& variable : request.environment) AppendString(block, variable);
  const auto memory = sys::MakeSealedMemfd("spawn", block);
  CHECK(memory.ok());
  const wire::SpawnOrder order{
      .flags = request.flags,
      .argument_count = static_cast<std::uint32_t>(request.argv.size()),
      .environment_count = static_cast<std::uint32_t>(request.environment.size()),
      .block_bytes = static_cast<std::uint32_t>(block.size()),
      .rows = request.rows,
      .columns = request.columns,
      .padding = 0};
  std::vector<int> fds = {memory->get()};
  fds.insert(fds.end(), request.streams.begin(), request.streams.end());
  const std::uint32_t id = next_id_++;
  Send({.type = wire::kSpawn, .id = id, .a = 0, .b = 0, .c = 0, .payload_bytes = 0},
       {reinterpret_cast<const char*>(&order), sizeof order}, fds);
  return id;
}

std::string CellFixture::Run(const std::vector<std::string>& argv) {
  Output output = MakeOutput();
  const std::uint32_t id =
      Spawn({.argv = argv, .flags = wire::kSpawnStdoutGiven, .streams = {output.write.get()}});
  output.write.Reset();
  EXPECT_EQ(Expect(wire::kSpawned).header.id, id);
  std::string text = ReadAll(output.read);
  EXPECT_EQ(Expect(wire::kExited).header.id, id);
  return text;
}

void CellFixture::Send(wire::ControlHeader header, std::string_view payload,
                       const std::vector<int>& fds) {
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  SendRaw(bytes.append(payload), fds);
}
void CellFixture::SendRaw(std::string_view bytes, const std::vector<int>& fds) {
  const auto sent = sys::SendMessage(control_, bytes, fds);
  EXPECT_TRUE(sent.ok()) << sent.error().ToString();
}

Event CellFixture::Next() {
  Event event;
  if (!WaitReadable(control_)) {
    ADD_FAILURE() << "init says nothing";
    return event;
  }
  auto message = sys::ReceiveMessage(control_, kMaxPacketBytes, MSG_DONTWAIT);
  if (!message.ok() || message->bytes.size() < sizeof event.header) {
    ADD_FAILURE() << "init has ended";
    return event;
  }
  std::memcpy(&event.header, message->bytes.data(), sizeof event.header);
  event.payload = message->bytes.substr(sizeof event.header);
  event.fds = std::move(message->fds);
  EXPECT_EQ(event.payload.size(), event.header.payload_bytes);
  return event;
}
Event CellFixture::Expect(wire::ControlType type) {
  Event event = Next();
  EXPECT_EQ(event.header.type, std::uint32_t{type})
      << "a " << event.header.a << " b " << event.header.b << " c " << event.header.c << ' '
      << event.payload;
  return event;
}

bool CellFixture::HasEnded() {
  if (!WaitReadable(control_)) return false;
  const auto message = sys::ReceiveMessage(control_, kMaxPacketBytes, MSG_DONTWAIT);
  return !message.ok() || message->bytes.empty();
}

int CellFixture::WaitForInit() {
  const auto status = init_.Wait();
  EXPECT_TRUE(status.ok());
  return status.ok() ? *status : -1;
}

}  // namespace cellrun::shim
