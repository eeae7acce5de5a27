// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/net/connections/dial.h"
#include "broker/net/connections/target.h"

namespace cellrun::net {

// Finds a name's addresses; the callback comes once, on any thread.
using Resolved = std::function<void(Result<std::vector<Address>>)>;
using Resolve = std::function<void(const std::string& name, Resolved)>;

// The way out of one allowed connection: the name is resolved, each address judged, and exactly
// what was judged is dialled. On its reactor's thread only.
class Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  struct Means {
    Reactor& reactor;
    std::shared_ptr<const EgressJudge> judge;
    Resolve resolve;
  };
  static std::shared_ptr<Outgoing> Make(Means means, Target target);

  void Start();
  // `over` is called once it has come to an end; at once if it has. The last one counts.
  void WhenOver(std::function<void()> over);
  [[nodiscard]] bool over() const { return result_.has_value(); }
  // Of one that is over. EACCES: no address of the name may be dialled.
  [[nodiscard]] Result<Dial::Made> Take();
  void Cancel();

  Outgoing(Means means, Target target);
  ~Outgoing();
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

 private:
  void OnResolved(Result<std::vector<Address>> addresses);
  void DialAll(std::vector<Endpoint> to);
  void End(Result<Dial::Made> result);
  [[nodiscard]] bool MayDial(const Address& address) const;

  Means means_;
  const Target target_;
  std::shared_ptr<Dial> dial_;
  std::optional<Result<Dial::Made>> result_;
  std::function<void()> over_;
};

}  // namespace cellrun::net
