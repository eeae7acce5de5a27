// SPDX-License-Identifier: Apache-2.0
#include "broker/net/message/message.h"

#include <algorithm>
#include <cstdlib>

#include "broker/net/message/packet.h"
#include "lib/base/check.h"
#include "lib/policy/network_target.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kMaxNameBytes = 255;  // on the wire
constexpr std::size_t kMaxLabelBytes = 63;
constexpr std::size_t kFlagsAt = 2, kQuestionsAt = 4, kAnswersAt = 6, kAuthorityAt = 8,
                      kAdditionalAt = 10;
constexpr std::uint16_t kIsResponse = 0x8000;
constexpr std::uint16_t kOpt = 41;
constexpr std::size_t kOptTypeAt = 1;         // behind the root as its name
constexpr std::uint16_t kOurUdpBytes = 1232;  // no fragments on any path

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::uint8_t* Bytes(std::string& text) {
  return reinterpret_cast<std::uint8_t*>(text.data());
}

struct FreeRecord {
  void operator()(ldns_rr* record) const { ldns_rr_free(record); }
};
using RecordPointer = std::unique_ptr<ldns_rr, FreeRecord>;

// EDNS, if the first additional record is it; whatever else is there is nothing to a resolver.
void ReadEdns(std::string_view untrusted, std::size_t at, Query* query) {
  if (Word(untrusted, kAdditionalAt) == 0 || untrusted.size() < at + kOptTypeAt + 2) return;
  if (untrusted[at] != '\0' || Word(untrusted, at + kOptTypeAt) != kOpt) return;
  std::string alone(untrusted);
  SetWord(&alone, kAnswersAt, 0);
  SetWord(&alone, kAuthorityAt, 0);
  SetWord(&alone, kAdditionalAt, 1);
  const Packet packet = ParsePacket(alone);
  if (packet == nullptr || !ldns_pkt_edns(packet.get())) {
    query->question.clear();  // cut off or wrong inside
    return;
  }
  query->edns = true;
  query->edns_version = ldns_pkt_edns_version(packet.get());
  query->udp_bytes = std::max<std::size_t>(ldns_pkt_edns_udp_size(packet.get()), kUdpBytes);
}

RecordPointer QuestionOf(const Query& query) {
  std::string wire = query.question;
  ldns_rr* record = nullptr;
  std::size_t at = 0;
  const ldns_status status =
      ldns_wire2rr(&record, Bytes(wire), wire.size(), &at, LDNS_SECTION_QUESTION);
  return RecordPointer(status == LDNS_STATUS_OK ? record : nullptr);
}

RecordPointer NewRecord(ldns_rdf* owner, ldns_rr_type type, std::uint32_t ttl) {
  ldns_rr* record = ldns_rr_new();
  CHECK(record != nullptr);
  ldns_rr_set_owner(record, owner);
  ldns_rr_set_type(record, type);
  ldns_rr_set_class(record, LDNS_RR_CLASS_IN);
  ldns_rr_set_ttl(record, ttl);
  return RecordPointer(record);
}

void Push(ldns_pkt* packet, ldns_pkt_section section, RecordPointer record) {
  CHECK(ldns_pkt_push_rr(packet, section, record.release()));
}

ldns_rdf* NameField(std::string_view name) {
  return ldns_dname_new_frm_str(std::string(name).c_str());
}

void PushAddress(ldns_pkt* packet, const ldns_rr* question, const Address& address) {
  RecordPointer record =
      NewRecord(ldns_rdf_clone(ldns_rr_owner(question)),
                address.ipv6 ? LDNS_RR_TYPE_AAAA : LDNS_RR_TYPE_A, kAnswerSeconds);
  constexpr std::size_t kIpv4Bytes = 4;
  ldns_rdf* field =
      ldns_rdf_new_frm_data(address.ipv6 ? LDNS_RDF_TYPE_AAAA : LDNS_RDF_TYPE_A,
                            address.ipv6 ? address.bytes.size() : kIpv4Bytes, address.bytes.data());
  ldns_rr_push_rdf(record.get(), field);
  Push(packet, LDNS_SECTION_ANSWER, std::move(record));
}

void PushPointer(ldns_pkt* packet, const ldns_rr* question, std::string_view name) {
  RecordPointer record =
      NewRecord(ldns_rdf_clone(ldns_rr_owner(question)), LDNS_RR_TYPE_PTR, kAnswerSeconds);
  ldns_rr_push_rdf(record.get(), NameField(name));
  Push(packet, LDNS_SECTION_ANSWER, std::move(record));
}

void PushNegative(ldns_pkt* packet) {
  RecordPointer record = NewRecord(NameField("."), LDNS_RR_TYPE_SOA, kNegativeSeconds);
  ldns_rr_push_rdf(record.get(), NameField("resolver.cell."));
  ldns_rr_push_rdf(record.get(), NameField("nobody.cell."));
  for (const std::uint32_t number : {1U, 3600U, 600U, 86400U, kNegativeSeconds}) {
    ldns_rr_push_rdf(
        record.get(),
        ldns_native2rdf_int32(number == 1U ? LDNS_RDF_TYPE_INT32 : LDNS_RDF_TYPE_PERIOD, number));
  }
  Push(packet, LDNS_SECTION_AUTHORITY, std::move(record));
}

bool IsNegative(const Reply& reply) {
  return (reply.code == Rcode::kNoError || reply.code == Rcode::kNoName) &&
         reply.addresses.empty() && reply.pointer.empty();
}

void SetHeader(ldns_pkt* packet, const Query& query, Rcode code) {
  ldns_pkt_set_id(packet, query.id);
  ldns_pkt_set_qr(packet, true);
  ldns_pkt_set_opcode(packet, static_cast<ldns_pkt_opcode>(query.opcode));
  ldns_pkt_set_rd(packet, query.recursion_desired);
  ldns_pkt_set_cd(packet, query.checking_disabled);
  ldns_pkt_set_ra(packet, true);
  const auto number = static_cast<std::uint8_t>(code);
  constexpr std::uint8_t kLowBits = 0xF;
  ldns_pkt_set_rcode(packet, number & kLowBits);
  if (!query.edns) return;
  ldns_pkt_set_edns_udp_size(packet, kOurUdpBytes);
  ldns_pkt_set_edns_extended_rcode(packet, static_cast<std::uint8_t>(number >> 4));
}

std::string HeaderAlone(const Query& query, Rcode code) {
  const Packet packet(ldns_pkt_new());
  CHECK(packet != nullptr);
  SetHeader(packet.get(), query, code);
  return PacketBytes(packet.get());
}

}  // namespace

std::size_t EndOfQuestion(std::string_view message) {
  std::size_t at = kHeaderBytes;
  while (at < message.size() && message[at] != '\0') {
    const auto label = static_cast<std::uint8_t>(message[at]);
    if (label > kMaxLabelBytes) return 0;
    at += label + 1U;
  }
  const std::size_t end = at + 1 + 4;  // the root, type and class
  const bool fits = at + 1 - kHeaderBytes <= kMaxNameBytes && end <= message.size();
  return fits ? end : 0;
}

std::string NameFromWire(std::string_view wire) {
  std::string name;
  while (!wire.empty() && wire[0] != '\0') {
    const std::size_t label = static_cast<std::uint8_t>(wire[0]);
    const std::string_view text = wire.substr(1, label);
    if (text.find('.') != std::string_view::npos) return "";
    if (!name.empty()) name += '.';
    std::transform(text.begin(), text.end(), std::back_inserter(name), Lower);
    wire.remove_prefix(std::min(label + 1, wire.size()));
  }
  if (name.empty()) return ".";
  return policy::IsHostName(name) ? name : "";
}

Packet ParsePacket(std::string_view bytes) {
  ldns_pkt* packet = nullptr;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  if (ldns_wire2pkt(&packet, data, bytes.size()) != LDNS_STATUS_OK) return nullptr;
  return Packet(packet);
}

std::string PacketBytes(const ldns_pkt* packet) {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;
  if (ldns_pkt2wire(&data, packet, &size) != LDNS_STATUS_OK) return "";
  std::string bytes(reinterpret_cast<const char*>(data), size);
  std::free(data);
  return bytes;
}

std::optional<Query> ReadQuery(std::string_view untrusted) {
  if (untrusted.size() < kHeaderBytes || untrusted.size() > kMaxQueryBytes) return std::nullopt;
  const std::uint16_t flags = Word(untrusted, kFlagsAt);
  if ((flags & kIsResponse) != 0) return std::nullopt;
  Query query;
  query.id = Word(untrusted, 0);
  query.opcode = flags >> 11 & 0xF;
  query.recursion_desired = (flags & 0x0100) != 0;
  query.checking_disabled = (flags & 0x0010) != 0;
  const std::size_t end = EndOfQuestion(untrusted);
  if (Word(untrusted, kQuestionsAt) != 1 || end == 0) return query;
  query.question = untrusted.substr(kHeaderBytes, end - kHeaderBytes);
  query.name = NameFromWire(query.question);
  query.type = Word(untrusted, end - 4);
  query.dns_class = Word(untrusted, end - 2);
  // Answers or authorities in a query: there is nothing behind them that counts.
  if (Word(untrusted, kAnswersAt) == 0 && Word(untrusted, kAuthorityAt) == 0) {
    ReadEdns(untrusted, end, &query);
  }
  return query;
}

std::string WriteReply(const Query& query, const Reply& reply, std::size_t limit_bytes) {
  RecordPointer question;
  if (!query.question.empty()) question = QuestionOf(query);
  if (question == nullptr) return HeaderAlone(query, Rcode::kFormat);
  const Packet packet(ldns_pkt_new());
  CHECK(packet != nullptr);
  SetHeader(packet.get(), query, reply.code);
  for (const Address& address : reply.addresses) {
    PushAddress(packet.get(), question.get(), address);
  }
  if (!reply.pointer.empty()) PushPointer(packet.get(), question.get(), reply.pointer);
  if (IsNegative(reply)) PushNegative(packet.get());
  RecordPointer again(ldns_rr_clone(question.get()));
  Push(packet.get(), LDNS_SECTION_QUESTION, std::move(question));
  std::string bytes = PacketBytes(packet.get());
  if (bytes.size() <= limit_bytes && !bytes.empty()) return bytes;
  const Packet cut(ldns_pkt_new());
  CHECK(cut != nullptr);
  SetHeader(cut.get(), query, reply.code);
  ldns_pkt_set_tc(cut.get(), true);
  Push(cut.get(), LDNS_SECTION_QUESTION, std::move(again));
  return PacketBytes(cut.get());
}

}  // namespace cellrun::net
