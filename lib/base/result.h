// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "lib/base/check.h"

namespace cellrun {

// Why an operation failed: an errno, the operation (a literal, usually a system call's name) and,
// optionally, what it was for. Every cellrun error ends as an errno for the cell, an HTTP status or
// an exit code, so errno is the code. Making one without context does not allocate and is safe
// between clone and exec; With() allocates.
class Error {
 public:
  // `code` is an errno > 0; `operation` must have static storage duration.
  Error(int code, const char* operation) noexcept : code_(code), operation_(operation) {}
  Error(int code, const char* operation, std::string context)
      : code_(code), operation_(operation), context_(std::move(context)) {}

  [[nodiscard]] int code() const noexcept { return code_; }
  [[nodiscard]] const char* operation() const noexcept { return operation_; }
  [[nodiscard]] const std::string& context() const noexcept { return context_; }

  // Adds purpose in front of what is already known: outermost first.
  [[nodiscard]] Error With(std::string_view purpose) && {
    context_ = context_.empty() ? std::string(purpose) : std::string(purpose) + ": " + context_;
    return std::move(*this);
  }
  // "CONTEXT: OPERATION: Text of errno".
  [[nodiscard]] std::string ToString() const;

 private:
  int code_;
  const char* operation_;
  std::string context_;
};

// The error of a system call that has just failed.
inline Error ErrnoError(const char* operation) noexcept {
  return Error(errno, operation);
}

// strerror(3) without its shared buffer.
std::string ErrnoText(int code);
// "EACCES" for EACCES; "errno 4095" for a number without a name.
std::string ErrnoName(int code);
// The reverse; 0 for an unknown name.
int ErrnoFromName(std::string_view name);

// A value or an Error. It cannot be dropped, and the value cannot be reached without looking.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  template <typename U = T>
  requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error>)
      // NOLINTNEXTLINE(google-explicit-constructor): return value; reads best
      Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): return error; reads best
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  [[nodiscard]] T& value() & {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  [[nodiscard]] T value_or(T other) && {
    return ok() ? std::move(*this).value() : std::move(other);
  }
  [[nodiscard]] const Error& error() const& {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  [[nodiscard]] Error&& error() && {
    CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }

  // Adds purpose to an error; a value passes through.
  [[nodiscard]] Result With(std::string_view purpose) && {
    if (!ok()) return std::move(*this).error().With(purpose);
    return std::move(*this);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() noexcept : error_(0, "") {}
  // NOLINTNEXTLINE(google-explicit-constructor): return error; reads best
  Result(Error error) noexcept : error_(std::move(error)), ok_(false) {}

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  void value() const { CHECK(ok_); }
  [[nodiscard]] const Error& error() const& {
    CHECK(!ok_);
    return error_;
  }
  [[nodiscard]] Error&& error() && {
    CHECK(!ok_);
    return std::move(error_);
  }
  [[nodiscard]] Result With(std::string_view purpose) && {
    if (!ok_) return std::move(error_).With(purpose);
    return std::move(*this);
  }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace cellrun

// TRY(expression): the value, or return the error from the enclosing function, which must return a
// Result.
#define TRY(...) CELLRUN_TRY_NAMED(__COUNTER__, __VA_ARGS__)
#define CELLRUN_TRY_NAMED(number, ...) CELLRUN_TRY_BODY(number, __VA_ARGS__)
#define CELLRUN_TRY_BODY(number, ...)                                             \
  __extension__({                                                                 \
    auto try_result_##number = (__VA_ARGS__);                                     \
    if (!try_result_##number.ok()) return std::move(try_result_##number).error(); \
    std::move(try_result_##number).value();                                       \
  })
