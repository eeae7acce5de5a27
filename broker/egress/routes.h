// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "broker/cells/policy_refresh.h"
#include "broker/cells/registry.h"
#include "broker/egress/grants.h"
#include "broker/http/server.h"
#include "broker/loop/loop.h"

namespace cellrun::egress {

// /v1/cells/:cell/egress: the network rules of a running cell, and changes of them, which count at
// once. Only on the loop's thread.
class Routes {
 public:
  struct Broker {
    loop::Loop& loop;
    cells::Registry& registry;
    cells::PolicyRefresh& refresh;
    Grants& grants;
  };
  explicit Routes(Broker broker) : broker_(broker) {}
  void Register(http::Router& router);
  void ForgetCell(const std::string& cell_id);

 private:
  http::Response List(const http::Request& request) const;
  http::Response Change(const http::Request& request);
  http::Response Add(cells::Cell& cell, Grant grant);
  http::Response Remove(cells::Cell& cell, const std::string& what, const std::string& by);
  http::Response Reload(cells::Cell& cell);
  void Apply(const std::string& cell_id);
  void ArmTimer(const std::string& cell_id);

  Broker broker_;
  std::map<std::string, std::unique_ptr<loop::Loop::Timer>> timers_;
};

}  // namespace cellrun::egress
