// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/record.h"

#include <array>
#include <cstddef>

namespace cellrun::journal {

const char* KindName(Kind kind) {
  constexpr std::array kNames = {"exec", "connect", "syscall", "ask", "cell", "file", "journal"};
  return kNames[static_cast<std::size_t>(kind)];
}

Record RecordNow(Kind kind, std::string cell, std::int64_t pid, std::uint32_t uid,
                 std::string user) {
  Record record;
  record.time = std::chrono::system_clock::now();
  record.cell = std::move(cell);
  record.kind = kind;
  record.pid = pid;
  record.uid = uid;
  record.user = std::move(user);
  return record;
}

}  // namespace cellrun::journal
