// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "lib/policy/policy.h"
#include "lib/policy/source.h"

// Where a rule stands, for Packer and Unpacker (lib/base/packing.h).
namespace cellrun::policy {

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, Position>) void PackFields(Archive& archive,
                                                                           T& at) {
  archive(at.file, at.line, at.column);
}

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, RuleReference>) void PackFields(Archive& archive,
                                                                                T& rule) {
  archive(rule.name, rule.layer, rule.at);
}

}  // namespace cellrun::policy
