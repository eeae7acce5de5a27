// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "broker/journal/record.h"
#include "lib/policy/rule_packing.h"

// For Packer and Unpacker (lib/base/packing.h).
namespace cellrun::journal {

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, Record>) void PackFields(Archive& archive,
                                                                         T& record) {
  archive(record.time, record.cell, record.kind, record.pid, record.uid, record.path, record.exe,
          record.chain, record.argv, record.cwd, record.env_digest, record.image_hash);
  archive(record.parent, record.user, record.tty, record.script_images, record.writable_images,
          record.anonymous_images);
  archive(record.to, record.name, record.proto, record.port, record.bytes_in, record.bytes_out);
  archive(record.verdict, record.strategy, record.observed, record.rule, record.reason,
          record.result, record.count, record.layers, record.detail, record.redact, record.sync);
}

}  // namespace cellrun::journal
