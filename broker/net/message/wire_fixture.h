// SPDX-License-Identifier: Apache-2.0
// DNS messages put together byte by byte, so that tests do not rest on the code that they test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cellrun::net::wire_fixture {

inline std::string Word16(std::size_t number) {
  return {static_cast<char>(number >> 8 & 0xFF), static_cast<char>(number & 0xFF)};
}
inline std::string Number32(std::size_t number) {
  return Word16(number >> 16 & 0xFFFF) + Word16(number & 0xFFFF);
}
// Labels with their lengths in front, and the root.
inline std::string Name(std::string_view dotted) {
  std::string wire;
  while (!dotted.empty()) {
    const std::size_t dot = std::min(dotted.find('.'), dotted.size());
    wire += static_cast<char>(dot);
    wire += dotted.substr(0, dot);
    dotted.remove_prefix(std::min(dot + 1, dotted.size()));
  }
  return wire + '\0';
}
struct Counts {
  std::size_t questions = 1, answers = 0, authority = 0, additional = 0;
};
inline std::string Header(std::size_t id, std::size_t flags, Counts counts) {
  return Word16(id) + Word16(flags) + Word16(counts.questions) + Word16(counts.answers) +
         Word16(counts.authority) + Word16(counts.additional);
}
inline std::string Question(const std::string& wire_name, std::size_t type,
                            std::size_t dns_class = 1) {
  return wire_name + Word16(type) + Word16(dns_class);
}
inline std::string ResourceRecord(const std::string& wire_name, std::size_t type,
                                  std::string_view data, std::size_t ttl = 60,
                                  std::size_t dns_class = 1) {
  return wire_name + Word16(type) + Word16(dns_class) + Number32(ttl) + Word16(data.size()) +
         std::string(data);
}
inline constexpr std::size_t kRecursionDesired = 0x0100, kResponse = 0x8180;
// A query as stub resolvers send it.
inline std::string Ask(std::string_view name, std::size_t type, std::size_t id = 0x1234) {
  return Header(id, kRecursionDesired, {}) + Question(Name(name), type);
}
inline std::string WithEdns(std::string query, std::size_t udp_bytes, std::size_t version = 0) {
  query[11] = 1;
  return query + ResourceRecord(std::string(1, '\0'), 41, "", version << 16, udp_bytes);
}

// What an answer's header says.
inline std::size_t WordAt(std::string_view message, std::size_t at) {
  return static_cast<std::size_t>(static_cast<std::uint8_t>(message.at(at))) << 8 |
         static_cast<std::uint8_t>(message.at(at + 1));
}
inline std::size_t Code(std::string_view message) {
  return WordAt(message, 2) & 0xF;
}
inline std::size_t Answers(std::string_view message) {
  return WordAt(message, 6);
}

}  // namespace cellrun::net::wire_fixture
