// SPDX-License-Identifier: Apache-2.0
// Whatever a cell makes the broker record becomes one line of valid, bounded JSON. Input: fields
// with NULs between.
#include "broker/journal/record.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "broker/journal/caps.h"
#include "broker/journal/encode.h"
#include "lib/base/check.h"
#include "lib/base/text.h"

using namespace cellrun;

namespace {

// Everything escaped sixfold, and the members around it.
constexpr std::size_t kMaxEncoded = 6 * (journal::kMaxArgvBytes + journal::kMaxDetailBytes +
                                         (journal::kMaxListItems + 16) * journal::kMaxPathBytes);

std::vector<std::string> Split(std::string_view bytes) {
  std::vector<std::string> parts;
  while (!bytes.empty()) {
    parts.emplace_back(bytes.substr(0, bytes.find('\0')));
    bytes.remove_prefix(std::min(bytes.size(), parts.back().size() + 1));
  }
  return parts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string> parts = Split({reinterpret_cast<const char*>(data), size});
  const auto part = [&](std::size_t i) { return i < parts.size() ? parts[i] : std::string(); };
  journal::Entry entry;
  entry.seq = size;
  journal::Record& record = entry.record;
  record.kind = static_cast<journal::Kind>(size % 7);
  record.cell = part(0);
  record.path = part(1);
  record.exe = part(2);
  record.cwd = part(3);
  record.name = part(4);
  record.to = part(5);
  record.reason = part(6);
  record.result = part(7);
  record.chain = {part(8), part(9)};
  record.redact = size % 2 == 0;
  if (parts.size() > 10) record.argv.assign(parts.begin() + 10, parts.end());
  entry.cuts = journal::ApplyCaps(record, "key");
  CHECK(record.argv.size() <= journal::kMaxArguments);
  CHECK(record.path.size() <= journal::kMaxPathBytes);
  const std::string line = journal::Encode(entry, "key");
  CHECK(line.size() <= kMaxEncoded);
  CHECK(text::IsUtf8(line));
  for (const char c : line) CHECK(static_cast<unsigned char>(c) >= 0x20);
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  CHECK(json.is_object());
  CHECK(json.value("seq", std::uint64_t{0}) == size || !json.contains("seq"));
  return 0;
}
