// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lib/base/unique_fd.h"

namespace cellrun::test {

// What one packet of the network layer is about, as it is written in this file's maps:
// "tcp 203.0.113.7:443", "udp [2001:db8::7]:53", "icmp 203.0.113.7", "protocol 132 203.0.113.7".
struct PacketEnds {
  std::string from = {}, to = {};
  bool housekeeping = false;  // what every kernel sends by itself: neighbour discovery, MLD
};
PacketEnds EndsOf(std::uint16_t ethertype, std::string_view packet);

// Counts what is sent on interfaces of the network namespace in which it is made: the oracle of
// what has left. Reads AF_PACKET rings, so that what comes fast is not lost; if any was, the
// running test fails. Needs CAP_NET_RAW there.
class Capture {
 public:
  explicit Capture(const std::vector<std::string>& interfaces);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Packets to there, or from there as an answer, are judged ones from now on: "tcp
  // 203.0.113.7:443". ICMP errors to its address are, too.
  void Permit(const std::string& end);
  // How many packets went there since the last Forget.
  long CountTo(const std::string& end);
  // What went anywhere else, and how often.
  std::map<std::string, long> Strays();
  // "tcp 203.0.113.66:80 (3)"; "" for none.
  std::string DescribeStrays();
  // Waits until nothing has been sent for a while: what was said before may still be answered.
  // Then forgets everything.
  void Settle();
  void Forget();

 private:
  class Ring;
  void Run();
  void Drain();  // mutex_ is held

  std::vector<std::unique_ptr<Ring>> rings_;
  std::mutex mutex_;
  std::set<std::string> permitted_, permitted_addresses_;  // guarded by mutex_, as is the rest
  std::map<std::string, long> judged_, strays_;
  long packets_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cellrun::test
