// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/refusal.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "broker/net/address/address.h"
#include "lib/base/text.h"

namespace cellrun::net {
namespace {

constexpr std::array kHooks = {"making a socket", "bind", "connect", "sending a datagram",
                               "sending a packet"};
constexpr std::array kReasons = {
    "the cell was not let out yet", "the socket is of a network namespace that is not the cell's",
    "the socket is neither TCP nor UDP", "nothing that the profile lets out is at that address"};

template <std::size_t kCount>
const char* NameOf(const std::array<const char*, kCount>& names, std::uint32_t number) {
  return number < kCount ? names[number] : "?";
}

Address AddressOf(const wall_refusal& refusal) {
  Address address;
  address.ipv6 = refusal.family == AF_INET6;
  std::memcpy(address.bytes.data(), &refusal.address[0], address.ipv6 ? 16 : 4);
  return Canonical(address);
}

std::string ProtocolOf(const wall_refusal& refusal) {
  switch (refusal.protocol) {
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    default:
      return refusal.hook == WALL_PACKET ? "" : "ip/" + std::to_string(refusal.protocol);
  }
}

journal::Record Refused(const std::string& cell_id, std::uint32_t pid, std::uint32_t uid) {
  journal::Record record = journal::RecordNow(journal::Kind::kConnect, cell_id, pid, uid);
  record.verdict = policy::Action::kDeny;
  record.result = "denied";
  return record;
}

}  // namespace

journal::Record RecordOf(const std::string& cell_id, const wall_refusal& refusal) {
  journal::Record record = Refused(cell_id, refusal.pid, refusal.uid);
  record.proto = ProtocolOf(refusal);
  if (refusal.hook != WALL_CREATE) {
    record.to = FormatAddress(AddressOf(refusal));
    record.port = ntohs(static_cast<std::uint16_t>(refusal.port));
  }
  record.reason = std::string("second wall: ") + NameOf(kHooks, refusal.hook);
  const std::string_view comm(&refusal.comm[0], strnlen(&refusal.comm[0], sizeof refusal.comm));
  if (!comm.empty()) record.reason += " by " + text::Quote(comm);
  record.reason += std::string(": ") + NameOf(kReasons, refusal.reason);
  return record;
}

journal::Record RecordOfMany(const std::string& cell_id, std::uint64_t count) {
  journal::Record record = Refused(cell_id, 0, 0);
  record.count = count;
  record.reason =
      "second wall: " + std::to_string(count) + " more, too fast to be recorded one by one";
  return record;
}

}  // namespace cellrun::net
