// SPDX-License-Identifier: Apache-2.0
// Garbage, half messages and too many descriptors on each of the broker's sockets: the broker
// answers or closes, serves everybody else meanwhile, and keeps nothing.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;

struct Door {
  const char* name;
  int type;
};
constexpr Door kDoors[] = {
    {"launch.sock", SOCK_SEQPACKET}, {"api.sock", SOCK_STREAM}, {"listener.sock", SOCK_STREAM}};

class BadSocketTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    if (HasFatalFailure()) return;
    open_ = {.profile = OpenProfile(), .flags = ProbeFlags()};
    // A whole run first: what a broker makes once is made.
    const Outcome first = Run({"true"}, open_);
    EXPECT_EQ(first.status, 0) << first;
    for (int n = 0; n < 8; ++n) Cellrun({"history", "-o", "jsonl"});
    broker_ = BrokerPid();
    ASSERT_GT(broker_, 0);
    WaitForDescriptors();
  }

  UniqueFd Connect(const Door& door) {
    UniqueFd fd(socket(AF_UNIX, door.type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = RuntimeDirectory() + "/" + door.name;
    EXPECT_LT(path.size(), sizeof address.sun_path);
    memcpy(&address.sun_path[0], path.c_str(), path.size() + 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << path << ": " << errno;
    return fd;
  }

  static void Send(const UniqueFd& fd, std::string_view bytes) {
    // What is too large or comes too late fails here; that is an answer as well.
    (void)!send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  static bool SendWithDescriptors(const UniqueFd& fd, std::string_view bytes, std::size_t count) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(253 * sizeof(int))> control{};
    iovec data = {const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) {
      const int zero = 0;
      memcpy(CMSG_DATA(header) + i * sizeof(int), &zero, sizeof zero);
    }
    return sendmsg(fd.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }

  // Everything that comes back until the peer closes or `seconds` pass.
  static std::string ReadAll(const UniqueFd& fd, int seconds) {
    std::string all;
    std::array<char, 65536> buffer;
    pollfd polled = {fd.get(), POLLIN, 0};
    while (poll(&polled, 1, seconds * 1000) > 0) {
      const ssize_t count = recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      all.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return all;
  }

  [[nodiscard]] long Descriptors() const { return DescriptorCount(broker_); }
  void WaitForDescriptors() {
    long before = -1;
    for (int i = 0; i < 500 && before != Descriptors(); ++i) {
      before = Descriptors();
      usleep(20000);
    }
    descriptors_ = Descriptors();
    ASSERT_GT(descriptors_, 0);
  }
  void ExpectBrokerUnchanged() {
    EXPECT_EQ(BrokerPid(), broker_) << "it died";
    const Outcome outcome = Run({"echo", "served"}, open_);
    EXPECT_EQ(outcome.out, "served\n") << outcome;
    for (int i = 0; i < 500 && Descriptors() > descriptors_; ++i) usleep(20000);
    EXPECT_LE(Descriptors(), descriptors_) << "it kept descriptors";
  }

  Options open_;
  pid_t broker_ = 0;
  long descriptors_ = 0;
};

TEST_F(BadSocketTest, GarbageIsAnsweredOrClosed) {
  const std::string garbage[] = {
      std::string("\0\0\0\0\xff\xff\xff\xff", 8),
      "GET / HTTP/9.9\r\n\r\n",
      "{\"type\":\"run\"",
      "{\"type\":\"hello\"}",
      "{\"type\":\"hello\",\"cellrun\":1,\"build\":[]}",
      "{\"type\":\"run\",\"workspace\":\"/\"}",
      "[[[[",
      std::string(100'000, '['),
      std::string(200'000, 'A'),
      "POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "GET /v1/records?limit=-1 HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
  };
  for (const auto& door : kDoors) {
    for (const auto& text : garbage) {
      const UniqueFd fd = Connect(door);
      Send(fd, text);
      shutdown(fd.get(), SHUT_WR);
      ReadAll(fd, 15);
    }
  }
  ExpectBrokerUnchanged();
}

TEST_F(BadSocketTest, RandomBytesDoNoHarm) {
  std::uint32_t state = 7;
  for (const auto& door : kDoors) {
    for (int round = 0; round < 200; ++round) {
      const UniqueFd fd = Connect(door);
      std::string bytes(static_cast<std::size_t>(round) * 7 + 1, '\0');
      for (auto& byte : bytes) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<char>(state >> 24);
      }
      Send(fd, bytes);
    }
  }
  ExpectBrokerUnchanged();
}

TEST_F(BadSocketTest, TheLaunchSocketNamesTheField) {
  const UniqueFd fd = Connect(kDoors[0]);
  Send(fd, "{\"type\":\"hello\",\"cellrun\":\"0\",\"build\":\"x\",\"surplus\":1}");
  const std::string answer = ReadAll(fd, 15);
  EXPECT_THAT(answer, HasSubstr("surplus")) << "an error that names the field, then the end";
  ExpectBrokerUnchanged();
}

TEST_F(BadSocketTest, HalfMessagesDoNotHoldAnybodyUp) {
  std::vector<UniqueFd> held;
  for (const auto& door : kDoors) {
    for (const char* half : {"", "{\"type\":", "GET /v1/records HT",
                             "POST /v1/x HTTP/1.1\r\nContent-Length: 10\r\n\r\n123"}) {
      held.push_back(Connect(door));
      if (*half != '\0') Send(held.back(), half);
    }
  }
  const Outcome outcome = Run({"echo", "meanwhile"}, open_);
  EXPECT_EQ(outcome.out, "meanwhile\n") << outcome;
  EXPECT_LT(outcome.seconds, 5);
  held.clear();
  ExpectBrokerUnchanged();
}

TEST_F(BadSocketTest, TooManyDescriptorsAreClosed) {
  for (const auto& door : kDoors) {
    for (int round = 0; round < 50; ++round) {
      const UniqueFd fd = Connect(door);
      EXPECT_TRUE(SendWithDescriptors(fd, "{\"type\":\"hello\"}", 253)) << errno;
      shutdown(fd.get(), SHUT_WR);
      // One at a time: what is in flight counts against the user, and other cases are that user
      // too.
      ReadAll(fd, 15);
    }
  }
  ExpectBrokerUnchanged();
}

TEST_F(BadSocketTest, ManyConnectionsLeaveRoomForARun) {
  std::vector<UniqueFd> held;
  for (const auto& door : kDoors) {
    for (int n = 0; n < 100; ++n) {
      UniqueFd fd(socket(AF_UNIX, door.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      const std::string path = RuntimeDirectory() + "/" + door.name;
      memcpy(&address.sun_path[0], path.c_str(), path.size() + 1);
      // A full backlog refuses; what counts is that nobody else suffers for long.
      (void)connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
      held.push_back(std::move(fd));
    }
  }
  const Outcome outcome = Run({"echo", "meanwhile"}, open_);
  EXPECT_TRUE(outcome.out == "meanwhile\n" || outcome.status == 125) << outcome;
  held.clear();
  ExpectBrokerUnchanged();
}

TEST_F(BadSocketTest, ACellReachesNoneOfThem) {
  // Even where a profile lets the cell see the directory, its processes are told apart.
  Options options = open_;
  options.flags.insert(options.flags.end(), {"--write", RuntimeDirectory()});
  Write(Work("knock.py"),
        "import socket, sys\n"
        "for name, kind in (('launch', socket.SOCK_SEQPACKET), ('api', socket.SOCK_STREAM)):\n"
        "    s = socket.socket(socket.AF_UNIX, kind); s.settimeout(10)\n"
        "    try:\n"
        "        s.connect(sys.argv[1] + '/' + name + '.sock')\n"
        "        s.send(b'GET /v1/cells HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' if name == 'api' else\n"
        "               b'{\"type\":\"hello\",\"cellrun\":\"0\",\"build\":\"0\"}')\n"
        "        answer = s.recv(65536)\n"
        "        print(name, 'served' if b'200 OK' in answer or b'\"hello\"' in answer else "
        "'turned away')\n"
        "    except OSError: print(name, 'turned away')\n");
  const Outcome outcome = Run({"python3", "knock.py", RuntimeDirectory()}, options);
  if (outcome.status == 125) {
    EXPECT_THAT(outcome.err, HasSubstr(RuntimeDirectory())) << "the grant itself may be refused";
  } else {
    EXPECT_EQ(outcome.out, "launch turned away\napi turned away\n") << outcome;
  }
  ExpectBrokerUnchanged();
}

}  // namespace
}  // namespace cellrun::test
