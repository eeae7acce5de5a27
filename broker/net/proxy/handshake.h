// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "broker/net/proxy/dialogue.h"
#include "broker/net/reactor/reactor.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// Has a dialogue over a connected, non-blocking socket. On its reactor's thread only; `done` is
// called once, unless it is cancelled before.
class Handshake : public Source, public std::enable_shared_from_this<Handshake> {
 public:
  static constexpr std::chrono::seconds kLimit{30};
  // The socket, of which nothing has been read that is the program's.
  using Done = std::function<void(Result<UniqueFd>)>;

  Handshake(Reactor& reactor, UniqueFd socket, std::unique_ptr<Dialogue> dialogue, Done done);
  ~Handshake() override = default;
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;
  void Start();
  void Cancel();
  void OnReady(int fd, std::uint32_t events) override;

 private:
  void Turn();
  bool Flush();  // false: it has failed
  bool Read();   // false: it is over, or there is nothing more
  void Finish(int code);
  void Clear();

  Reactor& reactor_;
  UniqueFd socket_;
  std::unique_ptr<Dialogue> dialogue_;
  Done done_;
  std::string unsent_;
  bool watched_ = false;
  Reactor::TimerId limit_ = 0;
};

}  // namespace cellrun::net
