// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "broker/net/judge/egress_judge.h"
#include "broker/net/message/message.h"
#include "broker/net/names/names.h"
#include "broker/net/resolver/token_bucket.h"

namespace cellrun::net {

// Everything that one cell's resolver did with what it was sent.
struct ResolverCounters {
  // By name, as records have them.
  [[nodiscard]] std::map<std::string, std::uint64_t> Read() const;

  std::atomic<std::uint64_t> queries{0};         // read
  std::atomic<std::uint64_t> addresses{0};       // answered with addresses
  std::atomic<std::uint64_t> closed{0};          // names that nothing lets out: NXDOMAIN
  std::atomic<std::uint64_t> malformed{0};       // FORMERR, or no answer at all
  std::atomic<std::uint64_t> capped{0};          // below a wildcard: too long, or too many new ones
  std::atomic<std::uint64_t> full{0};            // no more names in this cell: SERVFAIL
  std::atomic<std::uint64_t> dropped{0};         // datagrams that came faster than they are taken
  std::atomic<std::uint64_t> streams_closed{0};  // TCP: too slow, too many or too much
};

struct ResolverLimits {
  // What a pattern opens: free text of the program, and each new name is state here. Nothing of it
  // leaves before a connection is made.
  std::size_t pattern_labels = 10;
  std::size_t pattern_name_bytes = 128;
  double new_names_per_second = 50, new_names_burst = 500;
  double queries_per_second = 10'000, queries_burst = 5'000;
  std::size_t streams = 16;
  std::chrono::milliseconds stream_idle{5'000};
};

struct ResolverEvents {
  // A name has its addresses; called before the answer leaves.
  std::function<void(const std::string& name, const Names::Addresses&)> assigned;
  // A name that nothing lets out was asked for.
  std::function<void(const std::string& name)> refused;
};

// What the resolver of one cell says. No I/O: a name that some rule or person could let out has its
// own addresses (Names), every other one does not exist, and nothing is asked of anybody. One
// thread at a time.
class Answerer {
 public:
  Answerer(std::shared_ptr<Names> names, std::shared_ptr<const EgressJudge> judge,
           ResolverLimits limits = {}, ResolverEvents events = {});

  enum class Transport : std::uint8_t { kDatagram, kStream };
  // Empty: no answer is due.
  std::string Answer(std::string_view untrusted, Transport transport);

  [[nodiscard]] const ResolverLimits& limits() const { return limits_; }
  [[nodiscard]] ResolverCounters& counters() { return counters_; }
  [[nodiscard]] const ResolverCounters& counters() const { return counters_; }

 private:
  Reply Decide(const Query& query);
  Reply DecideName(const Query& query);
  Reply DecideReverse(const Query& query) const;
  Reply GiveAddresses(const Query& query, Opening opening);
  [[nodiscard]] bool IsTooLong(std::string_view name) const;

  const std::shared_ptr<Names> names_;
  const std::shared_ptr<const EgressJudge> judge_;
  const ResolverLimits limits_;
  const ResolverEvents events_;
  TokenBucket new_names_;
  ResolverCounters counters_;
};

}  // namespace cellrun::net
