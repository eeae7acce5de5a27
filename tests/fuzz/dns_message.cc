// SPDX-License-Identifier: Apache-2.0
// Any bytes get an answer of a resolver or none: it echoes the question, gives addresses only to
// the name that a rule opens, and can be read again. As a response they are records or an error.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "broker/net/resolver/answerer.h"
#include "lib/base/check.h"

using namespace cellrun;

namespace {

constexpr std::string_view kOpen = "git.example.com";

std::shared_ptr<const net::EgressJudge> Judge() {
  policy::Profile profile;
  profile.network_default.value = policy::Action::kDeny;
  policy::NetworkRule& rule = profile.network_rules.emplace_back();
  rule.to = {std::string(kOpen)};
  rule.then = policy::Action::kAllow;
  auto compiled = policy::NetworkPolicy::Compile(profile);
  CHECK(compiled.ok());
  return std::make_shared<const net::EgressJudge>(
      std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value())));
}

void CheckAnswer(std::string_view bytes, net::Answerer::Transport transport) {
  static const auto judge = Judge();
  const auto names = std::make_shared<net::Names>();
  net::Answerer answerer(names, judge);
  const std::string answer = answerer.Answer(bytes, transport);
  const auto query = net::ReadQuery(bytes);
  CHECK(answer.empty() == !query.has_value());
  if (answer.empty()) return;
  CHECK(answer.substr(0, 2) == bytes.substr(0, 2));
  if (transport == net::Answerer::Transport::kDatagram) CHECK(answer.size() <= query->udp_bytes);
  CHECK(names->size() <= 1);
  if (names->size() == 1) CHECK(query->name == kOpen);
  const auto read = net::ReadResponse(answer);
  if (query->question.empty()) return;
  CHECK(read.ok());
  CHECK(read->name == query->name);
  for (const net::Record& record : read->records) {
    if (!record.address) continue;
    const bool local = net::ReachOf(*record.address) == net::Reach::kLoopback;
    CHECK(local || names->NameOf(*record.address) == std::string(kOpen));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckAnswer(bytes, net::Answerer::Transport::kDatagram);
  CheckAnswer(bytes, net::Answerer::Transport::kStream);
  const auto response = net::ReadResponse(bytes);
  if (response.ok()) CHECK(response->records.size() <= net::kMaxRecords);
  return 0;
}
