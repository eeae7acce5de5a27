// SPDX-License-Identifier: Apache-2.0
// Escaped text is valid UTF-8 without anything that acts, and two inputs never look the same.
#include "lib/base/text.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/check.h"

using namespace cellrun;

namespace {

void CheckShown(std::string_view shown) {
  CHECK(text::IsUtf8(shown));
  for (std::size_t at = 0; at < shown.size(); ++at) {
    const auto byte = static_cast<unsigned char>(shown[at]);
    CHECK(byte >= 0x20 && byte != 0x7f);
    // C1 controls, and the bidi and zero-width characters of U+2000 to U+206F.
    if (byte == 0xc2 && at + 1 < shown.size())
      CHECK(static_cast<unsigned char>(shown[at + 1]) >= 0xa0);
    CHECK(shown.substr(at, 3) != "\xe2\x80\xae" && shown.substr(at, 3) != "\xe2\x80\x8b");
    CHECK(shown.substr(at, 3) != "\xe2\x81\xa6" && shown.substr(at, 3) != "\xef\xbb\xbf");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string shown = text::Escape(bytes);
  CheckShown(shown);
  CheckShown(text::Quote(bytes));
  const std::string cut = text::EscapeShort(bytes, size / 2 + 1);
  CHECK(text::IsUtf8(cut));

  // Neighbours: one byte dropped, one doubled, two swapped.
  for (std::size_t at = 0; at < size && at < 16; ++at) {
    std::string other(bytes);
    other.erase(at, 1);
    CHECK(text::Escape(other) != shown);
    other = bytes;
    other.insert(at, 1, other[at]);
    CHECK(text::Escape(other) != shown);
    if (at + 1 < size && bytes[at] != bytes[at + 1]) {
      other = bytes;
      std::swap(other[at], other[at + 1]);
      CHECK(text::Escape(other) != shown);
    }
  }

  // Boundaries between arguments: the same bytes cut elsewhere look different.
  if (size >= 2) {
    const std::vector<std::string> one = {std::string(bytes)};
    const std::vector<std::string> two = {std::string(bytes.substr(0, size / 2)),
                                          std::string(bytes.substr(size / 2))};
    CHECK(text::QuoteArguments(one) != text::QuoteArguments(two));
  }
  return 0;
}
