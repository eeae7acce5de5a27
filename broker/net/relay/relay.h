// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "broker/net/reactor/reactor.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// What a relayed connection has moved, seen from the cell.
struct Traffic {
  std::uint64_t in = 0, out = 0;  // bytes to the cell, and from it
};

// What becomes, when a cell has ended, of what its programs have sent and the other side has not
// taken yet.
enum class Leftovers { kCut, kArrive };
// How long that may take.
constexpr std::chrono::seconds kLeftoversArrive{30};

// Moves bytes between two connected TCP sockets until both directions have ended: many with splice,
// so that they are not copied, few by a copy, which costs less; only as fast as they are taken on
// the other side; an end, a reset and urgent data go through as such. On its reactor's thread only.
class Relay : public Source, public std::enable_shared_from_this<Relay> {
 public:
  // `how`: "closed", "reset" (by either side) or what Cut was given.
  using Done = std::function<void(const Traffic& traffic, const char* how)>;

  static std::shared_ptr<Relay> Make(Reactor& reactor, UniqueFd cell, UniqueFd outside, Done done);
  Result<void> Start();
  // Resets both sides now. `done` is called in it.
  void Cut(const char* how);
  // Nobody is left in the cell: what was sent there before still goes out, for so long at most, and
  // then both sides are closed. `done` replaces the earlier one, and is called even where that has
  // been.
  void Finish(std::chrono::nanoseconds limit, Done done);
  [[nodiscard]] const Traffic& traffic() const { return traffic_; }

  Relay(Reactor& reactor, UniqueFd cell, UniqueFd outside, Done done);
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  void OnReady(int fd, std::uint32_t events) override;

 private:
  // One direction. The pipe is there only while there is something in it.
  struct Half {
    const UniqueFd& from;
    const UniqueFd& to;
    std::uint64_t& bytes;
    UniqueFd pipe_in{}, pipe_out{};
    std::size_t held = 0;  // bytes in the pipe
    bool urgent = false;   // urgent data waits behind what was received before it
    bool ended = false;    // nothing more comes
    bool shut = false;     // and the other side knows
    bool broken = false;   // `from` was reset after its end
    bool pushing = false;  // waits until `to` takes more
    bool many = false;     // the last turn moved more than a copy is good for
  };
  enum class Moved { kSome, kNothing, kBroken };
  static Moved Fill(Half& half);
  static Moved Drain(Half& half);
  static Moved PassUrgent(Half& half);
  static bool OpenPipe(Half& half);
  static Moved Hold(Half& half, std::string_view bytes);
  static Moved PassFew(Half& half);
  static bool Pump(Half& half, bool readable);  // false: a side is broken
  void Arm();
  void End(const char* how, bool reset);

  Reactor& reactor_;
  UniqueFd cell_, outside_;
  Done done_;
  const char* how_ = "";  // it has ended
  bool finishing_ = false;
  Reactor::TimerId limit_ = 0;
  Traffic traffic_;
  Half out_{.from = cell_, .to = outside_, .bytes = traffic_.out};
  Half in_{.from = outside_, .to = cell_, .bytes = traffic_.in};
  std::uint32_t cell_events_ = 0, outside_events_ = 0;
};

// Makes closing it a reset for the other side.
void ResetOnClose(const UniqueFd& socket);

}  // namespace cellrun::net
