// SPDX-License-Identifier: Apache-2.0
#include "broker/run/capture.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lib/sys/file.h"

namespace cellrun::run {

Result<UniqueFd> Capture::Open() {
  sys::Pipe pipe = TRY(sys::Pipe2(O_CLOEXEC));
  TRY(sys::SetNonBlocking(pipe.read, true));
  read_ = std::move(pipe.read);
  watch_ = loop_.WatchReadable(read_, [this] { Drain(); });
  return std::move(pipe.write);
}

void Capture::Drain() {
  // No more at a time than a pipe holds: whoever prints without end must not keep the loop.
  constexpr int kRounds = 16;
  std::array<char, 4096> bytes{};
  for (int i = 0; i < kRounds && watch_ != nullptr; ++i) {
    const Result<std::size_t> got = sys::Read(read_, bytes);
    if (!got.ok() && got.error().code() == EAGAIN) return;
    if (!got.ok() || *got == 0) return watch_.reset();
    const std::size_t kept = std::min(*got, limit_ - text_.size());
    text_.append(bytes.data(), kept);
    overflowed_ = overflowed_ || kept < *got;
  }
}

}  // namespace cellrun::run
