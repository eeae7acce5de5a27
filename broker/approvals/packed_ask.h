// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "broker/approvals/ask.h"
#include "lib/policy/rule_packing.h"

namespace cellrun::approvals {

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, EnvironmentChange>) void PackFields(
    Archive& archive, T& change) {
  archive(change.name, change.was_set, change.is_set, change.before, change.after);
}

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, Ask>) void PackFields(Archive& archive, T& ask) {
  archive(ask.cell_id, ask.cell_name, ask.profile, ask.workspace, ask.pid, ask.parents, ask.cwd);
  archive(ask.strategy, ask.program, ask.chain, ask.image_hash, ask.writable, ask.argv,
          ask.original_argv, ask.environment, ask.environment_digest, ask.script_copy,
          ask.script_hash);
  archive(ask.rule, ask.reason, ask.risks, ask.said_by_cell);
  archive(ask.timeout, ask.on_timeout, ask.attended, ask.approvers, ask.rememberable,
          ask.max_pending);
}

// An ask as it waits, in a fifth of the memory: 10,000 of them must leave room for the cells. Made
// of it again for each look at it (some microseconds).
class PackedAsk {
 public:
  PackedAsk() = default;      // to be assigned to
  PackedAsk(const Ask& ask);  // NOLINT(google-explicit-constructor): the same in another form

  // An Ask as long as the expression in which it stands.
  class Look {
   public:
    explicit Look(Ask ask) : ask_(std::move(ask)) {}
    const Ask* operator->() const { return &ask_; }

   private:
    const Ask ask_;
  };
  Ask operator*() const;
  Look operator->() const { return Look(**this); }
  [[nodiscard]] std::string_view packed() const { return *bytes_; }

 private:
  std::shared_ptr<const std::string> bytes_;
};

}  // namespace cellrun::approvals
