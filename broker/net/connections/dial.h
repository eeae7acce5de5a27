// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/net/address/address.h"
#include "broker/net/reactor/reactor.h"
#include "broker/net/relay/lease.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// Connects to the first of some addresses that answers. The next one is tried when one has failed,
// and beside it when one has not answered for a quarter of a second (RFC 8305). On its reactor's
// thread only; `done` is called once, perhaps before Start returns, unless it is destroyed before.
class Dial : public std::enable_shared_from_this<Dial> {
 public:
  struct Judged {
    Address address;
    bool own = false;  // of this machine
  };
  struct Made {
    UniqueFd socket;  // connected, non-blocking
    Endpoint to;
    std::shared_ptr<Lease> lease{};  // of a connection into another cell
    bool by_proxy = false;           // `to` is the proxy
    std::optional<Judged> judged{};  // `to`, where rules about addresses decided on it
    std::string resolver{};          // that the name's addresses are from
  };
  // The error is that of the address that failed last; that this host has no way to one (it lacks
  // the family) counts only if there was none to any.
  using Done = std::function<void(Result<Made>)>;
  // An unconnected, non-blocking socket of that family; without one they are of this process's
  // network.
  using MakeSocket = std::function<Result<UniqueFd>(int family)>;

  // To a port of this machine's loopback, where that comes about at once; nothing where it does
  // not, whatever the reason. On any thread.
  static std::optional<Made> AtOnce(std::uint16_t port);
  // What the thread's next AtOnce needs, when nobody waits.
  static void PrepareAtOnce();
  static std::shared_ptr<Dial> Make(Reactor& reactor, std::vector<Endpoint> to, Done done,
                                    MakeSocket make = nullptr);
  void Start();
  void Cancel();  // `done` is not called any more

  Dial(Reactor& reactor, std::vector<Endpoint> to, Done done, MakeSocket make);
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;
  ~Dial();

 private:
  class Try;
  void Next();
  void OnTry(Try& tried, int code);
  void Note(int code);
  void Finish(Result<Made> result);
  void Clear();

  Reactor& reactor_;
  const std::vector<Endpoint> to_;
  Done done_;
  const MakeSocket make_;
  std::size_t next_ = 0;
  int last_code_;
  bool tried_ = false;  // last_code_ is of an address that there was a way to
  std::vector<std::shared_ptr<Try>> tries_;
  Reactor::TimerId stagger_ = 0;
};

}  // namespace cellrun::net
