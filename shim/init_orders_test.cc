// SPDX-License-Identifier: Apache-2.0
// Orders that no broker of the same build sends: init says what was wrong and ends.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "lib/sys/memory.h"
#include "shim/cell_fixture.h"

namespace cellrun::shim {
namespace {

class InitOrdersTest : public CellFixture {
 protected:
  void ExpectFailure(int code) {
    const Event failed = Expect(wire::kInitFailed);
    EXPECT_EQ(failed.header.a, code) << failed.payload;
    EXPECT_FALSE(failed.payload.empty());
    EXPECT_TRUE(HasEnded());
    const int status = WaitForInit();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
  }
};

TEST_F(InitOrdersTest, DoesNotSpawnWithoutAFilter) {
  StartInit();
  if (IsSkipped() || HasFatalFailure()) return;
  Spawn({.argv = {"/bin/true"}});
  ExpectFailure(EPROTO);
}

TEST_F(InitOrdersTest, RefusesGarbage) {
  const wire::ControlHeader wrong_length{
      .type = wire::kSignal, .id = 0, .a = 1, .b = 9, .c = 0, .payload_bytes = 5};
  const wire::ControlHeader unknown{
      .type = 99, .id = 0, .a = 0, .b = 0, .c = 0, .payload_bytes = 0};
  const wire::ControlHeader bad_signal{
      .type = wire::kSignal, .id = 0, .a = 1, .b = 65, .c = 0, .payload_bytes = 0};
  const wire::ControlHeader empty_spawn{
      .type = wire::kSpawn, .id = 0, .a = 0, .b = 0, .c = 0, .payload_bytes = 0};
  const wire::ControlHeader second_setup{
      .type = wire::kSetup, .id = 0, .a = 0, .b = 0, .c = 0, .payload_bytes = 0};
  const wire::ControlHeader many_sockets{.type = wire::kSockets,
                                         .id = 0,
                                         .a = wire::kMaxSocketsOrdered + 1,
                                         .b = AF_INET,
                                         .c = 0,
                                         .payload_bytes = 0};
  const wire::ControlHeader other_sockets{
      .type = wire::kSockets, .id = 0, .a = 1, .b = AF_UNIX, .c = 0, .payload_bytes = 0};
  const auto bytes = [](const wire::ControlHeader& header) {
    return std::string(reinterpret_cast<const char*>(&header), sizeof header);
  };
  const std::string cases[] = {"x",
                               std::string(23, '\0'),
                               std::string(24, '\xff'),
                               std::string(65'537, 'A'),
                               bytes(wrong_length),
                               bytes(unknown),
                               bytes(bad_signal),
                               bytes(empty_spawn),
                               bytes(second_setup),
                               bytes(many_sockets),
                               bytes(other_sockets)};
  for (const std::string& c : cases) {
    START_CELL();
    SendRaw(c);
    ExpectFailure(EPROTO);
  }
}

TEST_F(InitOrdersTest, MakesSocketsThatAreNotConnected) {
  START_CELL();
  for (const int family : {AF_INET, AF_INET6}) {
    Send({.type = wire::kSockets, .id = 0, .a = 3, .b = family, .c = 0, .payload_bytes = 0});
    for (int i = 0; i < 3; ++i) {
      const Event made = Expect(wire::kSocket);
      EXPECT_EQ(made.header.b, family);
      ASSERT_EQ(made.fds.size(), 1U);
      int has = 0;
      socklen_t size = sizeof has;
      ASSERT_EQ(getsockopt(made.fds[0].get(), SOL_SOCKET, SO_DOMAIN, &has, &size), 0);
      EXPECT_EQ(has, family);
      ASSERT_EQ(getsockopt(made.fds[0].get(), SOL_SOCKET, SO_TYPE, &has, &size), 0);
      EXPECT_EQ(has, SOCK_STREAM);
      sockaddr_storage peer{};
      size = sizeof peer;
      EXPECT_NE(getpeername(made.fds[0].get(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
    }
  }
}

TEST_F(InitOrdersTest, RefusesDescriptorsThatNoOrderAnnounces) {
  START_CELL();
  const wire::ControlHeader signal{
      .type = wire::kSignal, .id = 0, .a = 1, .b = 9, .c = 0, .payload_bytes = 0};
  SendRaw({reinterpret_cast<const char*>(&signal), sizeof signal}, {0});
  ExpectFailure(EPROTO);

  StartCell();
  Spawn({.argv = {"/bin/true"}, .flags = 0, .streams = {0}});
  ExpectFailure(EPROTO);

  StartCell();
  Spawn({.argv = {"/bin/true"},
         .flags = wire::kSpawnStdinGiven | wire::kSpawnStdoutGiven,
         .streams = {0}});
  ExpectFailure(EPROTO);

  StartCell();
  Spawn({.argv = {"/bin/true"},
         .flags = wire::kSpawnStdinGiven | wire::kSpawnStdinTerminal,
         .streams = {0}});
  ExpectFailure(EPROTO);

  StartCell();
  Spawn({.argv = {"/bin/true"}, .flags = 0, .streams = {0, 0, 0, 0, 0, 0}});
  ExpectFailure(EPROTO);
}

TEST_F(InitOrdersTest, RefusesStringsThatDoNotFitTheirOrder) {
  struct Case {
    std::string block;
    wire::SpawnOrder order;
  };
  const std::string good("/bin/true\0/\0true\0A=1\0", 21);
  const auto order = [](std::uint32_t arguments, std::uint32_t environment, std::size_t bytes) {
    return wire::SpawnOrder{.flags = 0,
                            .argument_count = arguments,
                            .environment_count = environment,
                            .block_bytes = static_cast<std::uint32_t>(bytes),
                            .rows = 0,
                            .columns = 0,
                            .padding = 0};
  };
  const Case cases[] = {{good, order(1, 2, good.size())},
                        {good, order(2, 1, good.size())},
                        {good, order(1, 0, good.size())},
                        {good, order(0xffffffff, 1, good.size())},
                        {good, order(1, 0xffffffff, good.size())},
                        {good, order(1, 1, good.size() - 1)},
                        {good, order(1, 1, good.size() + 1)},
                        {good.substr(0, 20), order(1, 1, 20)},
                        {good, order(1, 1, 0)},
                        {good, order(1, 1, 0xffffffff)}};
  for (const Case& c : cases) {
    START_CELL();
    const auto memory = sys::MakeSealedMemfd("spawn", c.block);
    ASSERT_TRUE(memory.ok());
    Send({.type = wire::kSpawn, .id = 5, .a = 0, .b = 0, .c = 0, .payload_bytes = 0},
         {reinterpret_cast<const char*>(&c.order), sizeof c.order}, {memory->get()});
    ExpectFailure(EINVAL);
  }
}

TEST_F(InitOrdersTest, RefusesStringsThatCouldChange) {
  START_CELL();
  const UniqueFd memory(memfd_create("spawn", MFD_CLOEXEC));
  const std::string block("/bin/true\0/\0true\0", 17);
  ASSERT_EQ(write(memory.get(), block.data(), block.size()), 17);
  const wire::SpawnOrder order{.flags = 0,
                               .argument_count = 1,
                               .environment_count = 0,
                               .block_bytes = 17,
                               .rows = 0,
                               .columns = 0,
                               .padding = 0};
  Send({.type = wire::kSpawn, .id = 5, .a = 0, .b = 0, .c = 0, .payload_bytes = 0},
       {reinterpret_cast<const char*>(&order), sizeof order}, {memory.get()});
  ExpectFailure(EINVAL);
}

TEST_F(InitOrdersTest, RefusesFiltersThatTheKernelRefuses) {
  for (const std::size_t count : {std::size_t{0}, std::size_t{5000}}) {
    StartInit();
    if (IsSkipped() || HasFatalFailure()) return;
    const wire::SetupOrder order{.filter_flags = 0,
                                 .filter_instructions = static_cast<std::uint32_t>(count),
                                 .handover_bytes = 0};
    std::string payload(reinterpret_cast<const char*>(&order), sizeof order);
    payload.append(count * sizeof(sock_filter), '\0');
    Send({.type = wire::kSetup, .id = 1, .a = 0, .b = 0, .c = 0, .payload_bytes = 0}, payload);
    ExpectFailure(EPROTO);
  }
  StartInit();
  const wire::SetupOrder order{.filter_flags = 0, .filter_instructions = 1, .handover_bytes = 0};
  std::string payload(reinterpret_cast<const char*>(&order), sizeof order);
  payload.append(sizeof(sock_filter), '\xff');
  Send({.type = wire::kSetup, .id = 1, .a = 0, .b = 0, .c = 0, .payload_bytes = 0}, payload);
  ExpectFailure(EINVAL);
}

TEST_F(InitOrdersTest, EndsWhenTheSocketClosesBeforeAnyOrder) {
  StartInit();
  if (IsSkipped() || HasFatalFailure()) return;
  CloseControl();
  EXPECT_EQ(WaitForInit(), 0);
}

}  // namespace
}  // namespace cellrun::shim
