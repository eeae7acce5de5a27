// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "broker/exec/preview.h"
#include "broker/exec/proposals.h"
#include "broker/loop/loop.h"
#include "broker/loop/pool.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::rooms {

// wire::kBrokerSocket of one cell: the only thing that its programs can say to the broker, and all
// that they can say is what they are about to run and why, and ask what was or would be decided.
// One message and one answer a connection (SOCK_SEQPACKET, strict JSON); few connections, and few a
// second. Only on the loop's thread.
class CellSocket {
 public:
  struct Services {
    loop::Loop& loop;
    loop::Pool& pool;
    std::shared_ptr<exec::Proposals> proposals;
    std::function<std::string()> last_denial;          // JSON; "" where there is none
    std::function<exec::PreviewOrder()> preview = {};  // what is known of the cell now
  };
  // `socket` listens; who connects is in the cell. Invalid: nobody is heard.
  CellSocket(Services services, UniqueFd socket);
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
  // True: it is answered later.
  Result<bool> Take(std::uint64_t number, const std::string& message);
  Result<bool> Propose(const UniqueFd& socket, const nlohmann::json& message);
  Result<bool> Why(std::uint64_t number, const nlohmann::json& message);
  void Answer(std::uint64_t number, const nlohmann::json& answer);
  void Refuse(std::uint64_t number, const Error& error);

  const Services services_;
  UniqueFd socket_;
  std::uint64_t next_ = 1;
  int this_second_ = 0;
  std::map<std::uint64_t, Connection> connections_;
  std::unique_ptr<loop::Loop::Watch> acceptable_;
  std::unique_ptr<loop::Loop::Timer> second_;
  std::shared_ptr<CellSocket*> self_;
};

}  // namespace cellrun::rooms
