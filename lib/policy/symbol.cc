// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/symbol.h"

#include <array>

namespace cellrun::policy {
namespace {

unsigned char Byte(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

}  // namespace

std::uint32_t NextSymbol(std::string_view text, std::size_t& at) {
  const unsigned char lead = Byte(text, at);
  ++at;
  if (lead < 0x80) return lead;
  const std::uint32_t stray = kStrayByte + lead;
  if (lead < 0xc2 || lead > 0xf4) return stray;
  const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  if (text.size() - at < more) return stray;
  std::uint32_t code = lead & (0x3fU >> more);
  for (std::size_t i = 0; i < more; ++i) {
    const unsigned char next = Byte(text, at + i);
    if ((next & 0xc0) != 0x80) return stray;
    code = (code << 6) | (next & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 4> kSmallest = {0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return stray;
  at += more;
  return code;
}

void AppendSymbol(std::uint32_t symbol, std::string& text) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte & 0xff); };
  const auto put_tail = [&](int shift) { put(0x80 | ((symbol >> shift) & 0x3f)); };
  if (symbol >= kStrayByte) {
    put(symbol - kStrayByte);
  } else if (symbol < 0x80) {
    put(symbol);
  } else if (symbol < 0x800) {
    put(0xc0 | (symbol >> 6));
    put_tail(0);
  } else if (symbol < 0x10000) {
    put(0xe0 | (symbol >> 12));
    put_tail(6);
    put_tail(0);
  } else {
    put(0xf0 | (symbol >> 18));
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

}  // namespace cellrun::policy
