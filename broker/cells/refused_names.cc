// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/refused_names.h"

#include <utility>

namespace cellrun::cells {

RefusedNames::RefusedNames(net::CellIdentity cell, Tell tell)
    : cell_(std::move(cell)), tell_(std::move(tell)) {}

void RefusedNames::Refuse(const std::string& name, const net::EgressJudge& judge) {
  constexpr std::size_t kMostNames = 1000;
  if (told_.size() >= kMostNames || !told_.insert(name).second) return;
  const net::Target target{.endpoint = {},
                           .destination = {.host = name, .port = 0},
                           .verdict = judge.Decide({.host = name, .port = 1})};
  journal::Record record = net::RecordOf(cell_, {}, target);
  record.to.clear();
  record.proto = "dns";
  record.verdict = policy::Action::kDeny;
  record.result = "denied";
  record.reason =
      cell_.ghost_of.empty()
          ? "no network rule lets this name out; `- {to: " + name + ", then: allow}` would"
          : "the rule of this ghost does not name it; `ghost: {network: [\"" + name +
                ":PORT\"]}` would";
  tell_(std::move(record));
}

}  // namespace cellrun::cells
