// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "lib/wire/launch.h"

namespace cellrun::wire {
namespace {

Error Malformed(const char* what) {
  return Error(EINVAL, "message", what);
}

void Append(std::string& block, const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    block.append(text.c_str());  // up to a NUL inside
    block.push_back('\0');
  }
}
// The next string, without its NUL; `block` moves behind it.
Result<std::string> TakeString(std::string_view& block) {
  const std::size_t end = block.find('\0');
  if (end == std::string_view::npos) return Malformed("strings: fewer than announced");
  std::string text(block.substr(0, end));
  block.remove_prefix(end + 1);
  return text;
}

}  // namespace

std::string PackStrings(const std::vector<std::string>& strings) {
  std::string block;
  Append(block, strings);
  return block;
}
Result<std::vector<std::string>> UnpackStrings(std::string_view block, std::size_t count) {
  // Every string has its NUL: a count beyond the block is refused before anything is reserved for
  // it.
  if (count > block.size()) return Malformed("strings: fewer than announced");
  std::vector<std::string> strings;
  strings.reserve(count);
  for (std::size_t i = 0; i < count; ++i) strings.push_back(TRY(TakeString(block)));
  if (!block.empty()) return Malformed("strings: more than announced");
  return strings;
}

std::string PackArguments(const RunRequest& request) {
  std::string block;
  Append(block, request.argv);
  Append(block, request.environment);
  return block;
}
Result<void> UnpackArguments(std::string_view block, RunRequest& request) {
  for (std::string& text : request.argv) text = TRY(TakeString(block));
  for (std::string& text : request.environment) text = TRY(TakeString(block));
  if (!block.empty()) return Malformed("strings: more than announced");
  return {};
}

std::string PackDocuments(const std::vector<policy::Source>& documents) {
  std::string block;
  for (const policy::Source& source : documents) {
    const std::uint64_t bytes = source.text.size();
    block.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
    block.append(source.text);
  }
  return block;
}
Result<void> UnpackDocuments(std::string_view block, std::vector<policy::Source>& documents) {
  for (policy::Source& source : documents) {
    std::uint64_t bytes = 0;
    if (block.size() < sizeof bytes) return Malformed("documents: fewer than announced");
    memcpy(&bytes, block.data(), sizeof bytes);
    block.remove_prefix(sizeof bytes);
    if (block.size() < bytes) return Malformed("documents: cut off");
    source.text = block.substr(0, bytes);
    block.remove_prefix(bytes);
  }
  if (!block.empty()) return Malformed("documents: more than announced");
  return {};
}

}  // namespace cellrun::wire
