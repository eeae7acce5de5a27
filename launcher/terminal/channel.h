// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "launcher/terminal/output_filter.h"
#include "lib/base/unique_fd.h"

namespace cellrun::terminal {

// How a descriptor is read and written without blocking. The descriptors 0 to 2 share their
// O_NONBLOCK with whoever started us, so it is never set on them: sockets have a flag per call,
// terminals, devices and named pipes are opened once more, and regular files do not block.
enum class Access : std::uint8_t { kOwn, kSocket, kBlocking };
struct Endpoint {
  UniqueFd fd;
  Access access = Access::kOwn;
};

// Ours for good: the descriptor is moved here and made non-blocking.
Endpoint OwnEndpoint(UniqueFd fd);
// A copy of standard stream 0, 1 or 2 for reading (0) or writing.
Endpoint StandardEndpoint(int number);

// How much may still come through several channels together. When there was more, the sources stay
// open and unread: whoever writes there waits until it is ended, and cannot end by itself first.
struct OutputBudget {
  std::uint64_t left = UINT64_MAX;
  bool ended = false;  // there was more
};

// One direction: what comes from `from` goes to `to`, in order and whole, with at most kBufferBytes
// in between. When the source ends, what is left is written and the sink closed; when the sink is
// closed by its reader, the source is closed, so that whoever writes there learns it.
class Channel {
 public:
  static constexpr std::size_t kBufferBytes = 64 * 1024;

  // `filter` and `budget` are borrowed and may be null.
  Channel(Endpoint from, Endpoint to, OutputFilter* filter = nullptr,
          OutputBudget* budget = nullptr);

  // What to wait for: appends one or two entries to `poll_set`.
  void AddTo(std::vector<pollfd>& poll_set);
  // Looks at the answers to what AddTo appended and moves what can be moved.
  void Run(const std::vector<pollfd>& poll_set);

  // Everything was moved and both ends are closed.
  [[nodiscard]] bool done() const { return !from_.fd.valid() && !to_.fd.valid(); }
  // Nothing more will be read; what is buffered is still written.
  void StopReading();
  // Written to the sink after the source's end, instead of closing it (a terminal's end-of-file
  // character).
  void SetFarewell(std::string bytes) { farewell_ = std::move(bytes); }
  [[nodiscard]] std::size_t unwritten() const { return buffer_.size() - written_; }
  [[nodiscard]] bool spent() const { return budget_ != nullptr && budget_->ended; }
  [[nodiscard]] bool moved_since_asked() { return std::exchange(moved_, false); }
  [[nodiscard]] const Endpoint& from() const { return from_; }
  [[nodiscard]] const Endpoint& to() const { return to_; }

 private:
  void Fill();
  std::size_t TakeOf(std::size_t bytes);
  void Drain();
  void SinkClosed();
  void CloseWhenMoved();

  Endpoint from_, to_;
  OutputFilter* filter_;
  OutputBudget* budget_;
  std::string buffer_;
  std::size_t written_ = 0;
  std::string farewell_;
  bool moved_ = false;
  bool watch_sink_ = false;  // a pipe: its reader's end shows as POLLERR
  char last_byte_ = '\n';
  std::size_t from_slot_ = kNoSlot, to_slot_ = kNoSlot;
  static constexpr std::size_t kNoSlot = ~std::size_t{0};
};

}  // namespace cellrun::terminal
