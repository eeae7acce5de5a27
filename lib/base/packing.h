// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace cellrun {

// Values in a row of bytes, for what is kept long and looked at rarely: numbers take as many bytes
// as they need, and a text that comes again is a number. What is packed by calling a Packer with
// values is unpacked by calling an Unpacker with places for the same types, in the same order.
class Packer {
 public:
  template <typename... Values>
  void operator()(const Values&... values) {
    (Put(values), ...);
  }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::string Take() { return std::move(bytes_); }

 private:
  void Put(const std::string& text);
  template <typename T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) void Put(const T& number) {
    PutNumber(static_cast<std::int64_t>(number));
  }
  template <typename Clock, typename Duration>
  void Put(const std::chrono::time_point<Clock, Duration>& time) {
    PutNumber(time.time_since_epoch().count());
  }
  template <typename Rep, typename Period>
  void Put(const std::chrono::duration<Rep, Period>& time) {
    PutNumber(time.count());
  }
  template <typename T>
  void Put(const std::vector<T>& values) {
    PutNumber(static_cast<std::int64_t>(values.size()));
    for (const auto& value : values) Put(static_cast<const T&>(value));
  }
  template <typename T>
  requires(std::is_class_v<T>&& requires(Packer& p, const T& v) {
    PackFields(p, v);
  }) void Put(const T& value) {
    PackFields(*this, value);
  }
  void PutNumber(std::int64_t number);

  std::string bytes_;
  std::map<std::string, std::int64_t> known_;
};

// Of what a Packer of this process made.
class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}
  template <typename... Values>
  void operator()(Values&... values) {
    (Get(values), ...);
  }

 private:
  void Get(std::string& text);
  template <typename T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) void Get(T& number) {
    number = static_cast<T>(GetNumber());
  }
  template <typename Clock, typename Duration>
  void Get(std::chrono::time_point<Clock, Duration>& time) {
    time = std::chrono::time_point<Clock, Duration>(
        Duration(static_cast<typename Duration::rep>(GetNumber())));
  }
  template <typename Rep, typename Period>
  void Get(std::chrono::duration<Rep, Period>& time) {
    time = std::chrono::duration<Rep, Period>(static_cast<Rep>(GetNumber()));
  }
  template <typename T>
  void Get(std::vector<T>& values) {
    values.clear();
    const std::int64_t count = GetNumber();
    values.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      T value{};
      Get(value);
      values.push_back(std::move(value));
    }
  }
  template <typename T>
  requires(std::is_class_v<T>&& requires(Unpacker& u, T& v) {
    PackFields(u, v);
  }) void Get(T& value) {
    PackFields(*this, value);
  }
  std::int64_t GetNumber();

  std::string_view bytes_;
  std::vector<std::string_view> known_;
};

}  // namespace cellrun
