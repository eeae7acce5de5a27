// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "broker/net/message/message.h"
#include "broker/net/message/packet.h"
#include "lib/base/check.h"

namespace cellrun::net {
namespace {

constexpr std::uint16_t kTruncated = 0x0200;
constexpr std::size_t kFlagsAt = 2, kQuestionsAt = 4, kAnswersAt = 6, kAuthorityAt = 8,
                      kAdditionalAt = 10;
constexpr std::uint16_t kTakenBytes = 4096;

std::string NameOf(const ldns_rdf* name) {
  return NameFromWire({reinterpret_cast<const char*>(ldns_rdf_data(name)), ldns_rdf_size(name)});
}

std::optional<Address> AddressOf(const ldns_rdf* field, bool ipv6) {
  Address address{.bytes = {}, .ipv6 = ipv6};
  const std::size_t size = ipv6 ? address.bytes.size() : 4;
  if (ldns_rdf_size(field) != size) return std::nullopt;
  std::copy_n(ldns_rdf_data(field), size, address.bytes.begin());
  return address;
}

std::optional<Record> RecordOf(const ldns_rr* source) {
  if (ldns_rr_get_class(source) != LDNS_RR_CLASS_IN || ldns_rr_rd_count(source) != 1) {
    return std::nullopt;
  }
  Record record{.owner = NameOf(ldns_rr_owner(source)),
                .ttl_seconds = ldns_rr_ttl(source),
                .address = {},
                .alias = ""};
  const ldns_rdf* field = ldns_rr_rdf(source, 0);
  switch (ldns_rr_get_type(source)) {
    case LDNS_RR_TYPE_A:
      record.address = AddressOf(field, false);
      break;
    case LDNS_RR_TYPE_AAAA:
      record.address = AddressOf(field, true);
      break;
    case LDNS_RR_TYPE_CNAME:
      record.alias = NameOf(field);
      break;
    default:
      return std::nullopt;
  }
  if (!record.address && record.alias.empty()) return std::nullopt;
  return record;
}

}  // namespace

std::string WriteQuestion(std::uint16_t id, std::string_view host_name, std::uint16_t type) {
  const Packet packet(ldns_pkt_query_new(ldns_dname_new_frm_str(std::string(host_name).c_str()),
                                         static_cast<ldns_rr_type>(type), LDNS_RR_CLASS_IN,
                                         LDNS_RD));
  if (packet == nullptr) return "";
  ldns_pkt_set_id(packet.get(), id);
  ldns_pkt_set_edns_udp_size(packet.get(), kTakenBytes);
  return PacketBytes(packet.get());
}

Result<Response> ReadResponse(std::string_view untrusted) {
  const Error unreadable(EBADMSG, "reading a DNS response");
  const std::size_t end = EndOfQuestion(untrusted);
  if (untrusted.size() < kHeaderBytes || end == 0 || Word(untrusted, kQuestionsAt) != 1) {
    return unreadable;
  }
  // The other sections are of no use, and each name can cost ldns 65,535 steps.
  std::string answers_only(untrusted);
  // What was cut off may be cut inside a record.
  const bool cut = (Word(untrusted, kFlagsAt) & kTruncated) != 0;
  SetWord(&answers_only, kAnswersAt,
          cut ? 0 : std::min<std::size_t>(Word(untrusted, kAnswersAt), kMaxRecords));
  SetWord(&answers_only, kAuthorityAt, 0);
  SetWord(&answers_only, kAdditionalAt, 0);
  const Packet packet = ParsePacket(answers_only);
  if (packet == nullptr || !ldns_pkt_qr(packet.get())) return unreadable;
  Response response;
  response.id = ldns_pkt_id(packet.get());
  response.code = static_cast<Rcode>(ldns_pkt_get_rcode(packet.get()));
  response.truncated = ldns_pkt_tc(packet.get());
  response.name = NameFromWire(untrusted.substr(kHeaderBytes, end - kHeaderBytes));
  response.type = Word(untrusted, end - 4);
  response.dns_class = Word(untrusted, end - 2);
  const ldns_rr_list* answers = ldns_pkt_answer(packet.get());
  for (std::size_t i = 0; answers != nullptr && i < ldns_rr_list_rr_count(answers); ++i) {
    std::optional<Record> record = RecordOf(ldns_rr_list_rr(answers, i));
    if (record) response.records.push_back(std::move(*record));
  }
  return response;
}

}  // namespace cellrun::net
