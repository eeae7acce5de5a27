// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <linux/filter.h>

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/unique_fd.h"
#include "lib/sys/process.h"
#include "lib/wire/control.h"

// For tests: the shim as PID 1 of new user, pid, mount and ipc namespaces, and the broker's end of
// its control socket.
namespace cellrun::shim {

// What init sent.
struct Event {
  wire::ControlHeader header{};
  std::string payload;
  std::vector<UniqueFd> fds;
};

struct SpawnRequest {
  std::vector<std::string> argv;
  std::string program = {};  // argv[0] where empty
  std::string directory = "/";
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin"};
  std::uint32_t flags = 0;
  std::vector<int> streams = {};  // as the flags say; borrowed
  std::uint16_t rows = 24, columns = 80;
};

// An instruction that allows everything: init wants a filter before it spawns.
std::vector<sock_filter> AllowAll();

// A read end and what init's children get as their output.
struct Output {
  UniqueFd read, write;
};
Output MakeOutput();
// Until every holder of the other end has gone; fails the test after 20 s.
std::string ReadAll(const UniqueFd& fd);
// Until `text` has come.
std::string ReadUntil(const UniqueFd& fd, std::string_view text);

class CellFixture : public testing::Test {
 protected:
  // hidden_file: a copy of the shim that its owner, the cell's user, may execute but not read.
  struct Start {
    bool hidden_file = false;
    bool small_buffer = false;  // for what init sends: a few packets fill it
  };
  void StartInit(Start start);
  void StartInit() { StartInit(Start()); }
  void SetUpFilter(const std::vector<sock_filter>& filter, std::string_view handover = "token");
  // StartInit and SetUpFilter(AllowAll()).
  void StartCell();

  // The order's id.
  std::uint32_t Spawn(const SpawnRequest& request);
  // One command with its output in a pipe, to its end; expects that it was spawned and exited.
  std::string Run(const std::vector<std::string>& argv);
  void Send(wire::ControlHeader header, std::string_view payload = {},
            const std::vector<int>& fds = {});
  void SendRaw(std::string_view bytes, const std::vector<int>& fds = {});
  // The next packet; a failure and an empty event after 20 s or at end of file.
  Event Next();
  Event Expect(wire::ControlType type);
  // Init has closed the socket, with nothing left to read.
  bool HasEnded();
  // How init itself ended, as wait(2).
  int WaitForInit();
  void CloseControl() { control_.Reset(); }

  UniqueFd control_, listener_;
  sys::ChildProcess init_;

 private:
  std::uint32_t next_id_ = 100;
};

// The program that runs inside: inside_cell.cc.
std::string InsidePath();
std::string ShimPath();

}  // namespace cellrun::shim

// In a test of CellFixture: a cell, or the end of the test.
#define START_CELL() \
  StartCell();       \
  if (IsSkipped() || HasFatalFailure()) return
