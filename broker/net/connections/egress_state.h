// SPDX-License-Identifier: Apache-2.0
// What Egress keeps, for its own files only.
#pragma once

#include "broker/net/connections/egress.h"

namespace cellrun::net {

// A listening socket in the gateway, on one address and port.
class Egress::Gate : public Source {
 public:
  Gate(Egress& egress, UniqueFd made) : socket(std::move(made)), egress_(egress) {}
  void OnReady(int fd, std::uint32_t /*events*/) override { egress_.OnAccept(fd); }
  UniqueFd socket;
  std::uint64_t used = 0;

 private:
  Egress& egress_;
};

// A connect that has been let through, until its connection is accepted.
struct Egress::Waiting {
  Attempt attempt;
  Reply reply;                         // null once it has been called
  std::shared_ptr<Outgoing> outgoing;  // of a blocking one: dialled before it goes on
  std::optional<Dial::Made> made;      // and what came of that
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  Reactor::TimerId hold = 0;
};

// An accepted connection.
struct Egress::Connection {
  Connection(ConnectionId number, UniqueFd socket, Origin from, Target to)
      : id(number), cell(std::move(socket)), origin(std::move(from)), target(std::move(to)) {}
  const ConnectionId id;
  UniqueFd cell;  // until it is relayed
  const Origin origin;
  const Target target;
  std::shared_ptr<Outgoing> outgoing;
  std::optional<Dial::Judged> dialled;  // where rules about addresses count as well
  std::shared_ptr<Relay> relay;
  std::shared_ptr<Lease> lease;  // of one into another cell
  Engine::Place place;
  bool placed = false;
  bool approved = false;           // by a person
  std::function<void()> withdraw;  // while a person is asked
  std::shared_ptr<Source> watch;   // while a person is asked: the program may give up
  std::uint64_t seq = 0;           // of its record
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
};

}  // namespace cellrun::net
