// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ldns/ldns.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

// Between the files that use ldns.
namespace cellrun::net {

struct FreePacket {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;

inline constexpr std::size_t kHeaderBytes = 12;

// Big-endian.
inline std::uint16_t Word(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[at]) << 8 |
                                    static_cast<std::uint8_t>(bytes[at + 1]));
}
inline void SetWord(std::string* bytes, std::size_t at, std::size_t word) {
  (*bytes)[at] = static_cast<char>(word >> 8 & 0xFF);
  (*bytes)[at + 1] = static_cast<char>(word & 0xFF);
}

// Where the first question ends; 0 if it is cut off, too long or has a compression pointer, which
// nothing before it could be meant by (and which ldns would follow 65,535 times).
std::size_t EndOfQuestion(std::string_view message);

// A name in wire form without pointers: "git.example.com" in lower case, "." for the root, "" if it
// is no host name (a label with a dot, a NUL, …).
std::string NameFromWire(std::string_view wire);

Packet ParsePacket(std::string_view bytes);
std::string PacketBytes(const ldns_pkt* packet);

}  // namespace cellrun::net
