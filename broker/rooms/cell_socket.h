// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "broker/exec/proposals.h"
#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::rooms {

// wire::kBrokerSocket of one cell: the only thing that its programs can say to the broker, and all
// that they can say is what they are about to run and why. One message and one answer a connection
// (SOCK_SEQPACKET, strict JSON); few connections, and few a second. Only on the loop's thread.
class CellSocket {
 public:
  // `socket` listens; who connects is in the cell. Invalid: nobody is heard.
  CellSocket(loop::Loop& loop, UniqueFd socket, std::shared_ptr<exec::Proposals> proposals);
  ~CellSocket() = default;
  CellSocket(const CellSocket&) = delete;
  CellSocket& operator=(const CellSocket&) = delete;

 private:
  struct Connection {
    UniqueFd socket;
    std::unique_ptr<loop::Loop::Watch> readable;
    std::unique_ptr<loop::Loop::Timer> deadline;
  };
  void Listen();
  void OnConnection();
  void OnMessage(std::uint64_t number);
  Result<void> Take(const UniqueFd& socket, const std::string& message);

  loop::Loop& loop_;
  UniqueFd socket_;
  const std::shared_ptr<exec::Proposals> proposals_;
  std::uint64_t next_ = 1;
  int this_second_ = 0;
  std::map<std::uint64_t, Connection> connections_;
  std::unique_ptr<loop::Loop::Watch> acceptable_;
  std::unique_ptr<loop::Loop::Timer> second_;
};

}  // namespace cellrun::rooms
