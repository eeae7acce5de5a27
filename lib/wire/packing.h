// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "lib/base/result.h"

// Structs as bytes, for what is read on the way to every command: a function that names the fields
// once serves both directions.
//
//   template <typename Archive, typename Thing>
//   void Fields(Archive& archive, Thing& thing) { archive.Text(thing.name); archive.Flag(thing.on);
//   }
//
// Numbers in native order and full width, a text after its length, a list after its count. Only
// between programs of one build.
namespace cellrun::wire {

class Packer {
 public:
  template <typename T>
  void Number(const T& value) {
    static_assert(std::is_integral_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Flag(const bool& value) { bytes_ += value ? '\1' : '\0'; }
  template <typename Enum>
  void Choice(const Enum& value, Enum /*last*/) {
    bytes_ += static_cast<char>(value);
  }
  void Text(const std::string& text) {
    Number(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
  }
  template <typename Item, typename Each>
  void List(const std::vector<Item>& items, Each each) {
    Number(static_cast<std::uint32_t>(items.size()));
    for (const Item& item : items) each(*this, item);
  }

  [[nodiscard]] std::string Take() && { return std::move(bytes_); }
  void Reserve(std::size_t size) { bytes_.reserve(size); }

 private:
  std::string bytes_;
};

// Reads what a Packer wrote. Everything after the first thing that is wrong is left as it was;
// Finish() says so.
class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : left_(bytes), size_(bytes.size()) {}

  template <typename T>
  void Number(T& value) {
    static_assert(std::is_integral_v<T>);
    if (!Has(sizeof value)) return;
    memcpy(&value, left_.data(), sizeof value);
    left_.remove_prefix(sizeof value);
  }
  void Flag(bool& value) {
    std::uint8_t byte = 0;
    Number(byte);
    if (byte > 1) return Fail("is no flag");
    if (ok_) value = byte == 1;
  }
  template <typename Enum>
  void Choice(Enum& value, Enum last) {
    std::uint8_t byte = 0;
    Number(byte);
    if (byte > static_cast<std::uint8_t>(last)) return Fail("is not one of the known values");
    if (ok_) value = static_cast<Enum>(byte);
  }
  void Text(std::string& text) {
    std::uint32_t size = 0;
    Number(size);
    if (!Has(size)) return;
    text = left_.substr(0, size);
    left_.remove_prefix(size);
  }
  template <typename Item, typename Each>
  void List(std::vector<Item>& items, Each each) {
    std::uint32_t count = 0;
    Number(count);
    // Not more than could be there: an item is at least a byte.
    if (!Has(count)) return;
    items.reserve(count);
    for (std::uint32_t i = 0; i < count && ok_; ++i) each(*this, items.emplace_back());
  }

  void Fail(const char* problem) {
    if (!ok_) return;
    ok_ = false;
    problem_ = problem;
  }
  // EINVAL: cut short, something behind the end, or a value that cannot be.
  [[nodiscard]] Result<void> Finish() const {
    if (ok_ && left_.empty()) return {};
    return Error(EINVAL, "",
                 "byte " + std::to_string(size_ - left_.size()) + ": " +
                     (ok_ ? "something follows the end" : problem_));
  }

 private:
  bool Has(std::size_t bytes) {
    if (ok_ && left_.size() < bytes) Fail("is cut short");
    return ok_;
  }

  std::string_view left_;
  const std::size_t size_;
  bool ok_ = true;
  const char* problem_ = "";
};

}  // namespace cellrun::wire
