// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::sys {

// Owns a mapping; unmapped when it goes.
class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(void* start, std::size_t bytes) noexcept : start_(start), bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::span<std::byte> bytes() const noexcept {
    return {static_cast<std::byte*>(start_), bytes_};
  }
  [[nodiscard]] std::string_view text() const noexcept {
    return {static_cast<const char*>(start_), bytes_};
  }

 private:
  void* start_ = nullptr;
  std::size_t bytes_ = 0;
};

// A memory file that holds `bytes`, at its beginning, and can no longer change:
// F_SEAL_{SEAL,SHRINK,GROW,WRITE}.
Result<UniqueFd> MakeSealedMemfd(const char* name, std::string_view bytes);

// The contents of a memory file that somebody else made: EPERM unless it is sealed against every
// change (else it could change under the reader, or shrink and kill it with SIGBUS), EFBIG over the
// limit. An empty file gives an empty mapping.
Result<Mapping> MapSealedMemfd(const UniqueFd& fd, std::size_t limit_bytes);

// poll(2), once the pages of this program's code and constants have been unmapped: what is used
// afterwards comes back from the page cache, sixteen pages at a fault. For a program that will
// mostly wait. The number of ready descriptors, or −1 and errno.
int PollAtRest(std::span<pollfd> descriptors, int timeout_ms) noexcept;

}  // namespace cellrun::sys
