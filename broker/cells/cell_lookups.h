// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/cells/refused_names.h"
#include "broker/loop/loop.h"
#include "broker/net/judge/egress_judge.h"
#include "broker/net/resolver/resolver.h"

namespace cellrun::cells {

// The resolver of a cell without a gateway: no name exists, and whoever reads denials learns which
// rule would change that. It costs two descriptors until somebody asks. Only on the loop's thread.
class CellLookups {
 public:
  // What judges, when somebody asks; it lets nothing out. Null: nobody is answered.
  using MakeJudge = std::function<std::shared_ptr<const net::EgressJudge>()>;
  CellLookups(loop::Loop& loop, net::Resolver::Sockets sockets, MakeJudge make_judge,
              RefusedNames refused);
  CellLookups(const CellLookups&) = delete;
  CellLookups& operator=(const CellLookups&) = delete;

  // What its resolver has done so far; nothing if nobody has asked.
  [[nodiscard]] std::map<std::string, std::uint64_t> Counters() const;

 private:
  void Begin();

  loop::Loop& loop_;
  net::Resolver::Sockets sockets_;
  const MakeJudge make_judge_;
  RefusedNames refused_;
  std::unique_ptr<loop::Loop::Watch> datagrams_, streams_;  // until there is a resolver
  std::unique_ptr<net::Resolver> resolver_;
};

}  // namespace cellrun::cells
