// SPDX-License-Identifier: Apache-2.0
#include "lib/base/packing.h"

#include "lib/base/check.h"

namespace cellrun {
namespace {

constexpr unsigned kBitsOfByte = 7;
constexpr unsigned kMore = 0x80;
constexpr std::size_t kShortest = 4;  // of a text that may be worth a number

}  // namespace

// The sign is the last bit, so that small negative numbers are short too.
void Packer::PutNumber(std::int64_t number) {
  auto left = (static_cast<std::uint64_t>(number) << 1U) ^
              static_cast<std::uint64_t>(number >> 63);  // all ones for what is negative
  while (left >= kMore) {
    bytes_.push_back(static_cast<char>(left | kMore));
    left >>= kBitsOfByte;
  }
  bytes_.push_back(static_cast<char>(left));
}

std::int64_t Unpacker::GetNumber() {
  std::uint64_t number = 0;
  for (unsigned shift = 0;; shift += kBitsOfByte) {
    CHECK(!bytes_.empty() && shift < 64);
    const auto byte = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & (kMore - 1)) << shift;
    if (byte < kMore) break;
  }
  return static_cast<std::int64_t>(number >> 1U) ^ -static_cast<std::int64_t>(number & 1U);
}

// A length and the text, or -1 - N for the Nth text so far.
void Packer::Put(const std::string& text) {
  if (text.size() >= kShortest) {
    const auto [place, is_new] = known_.emplace(text, static_cast<std::int64_t>(known_.size()));
    if (!is_new) return PutNumber(-1 - place->second);
  }
  PutNumber(static_cast<std::int64_t>(text.size()));
  bytes_ += text;
}

void Unpacker::Get(std::string& text) {
  const std::int64_t length = GetNumber();
  if (length < 0) {
    text = known_.at(static_cast<std::size_t>(-1 - length));
    return;
  }
  CHECK(static_cast<std::size_t>(length) <= bytes_.size());
  const std::string_view found = bytes_.substr(0, static_cast<std::size_t>(length));
  bytes_.remove_prefix(found.size());
  if (found.size() >= kShortest) known_.push_back(found);
  text = found;
}

}  // namespace cellrun
