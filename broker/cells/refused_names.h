// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <string>

#include "broker/journal/record.h"
#include "broker/net/connections/target.h"
#include "broker/net/judge/egress_judge.h"

namespace cellrun::cells {

// Names that a cell asks for and that nothing lets out: each is told once, a thousand of them.
class RefusedNames {
 public:
  using Tell = std::function<void(journal::Record record)>;
  RefusedNames(net::CellIdentity cell, Tell tell);

  // `judge` says which rule it is that does not let it out.
  void Refuse(const std::string& name, const net::EgressJudge& judge);

 private:
  const net::CellIdentity cell_;
  const Tell tell_;
  std::set<std::string> told_;
};

}  // namespace cellrun::cells
