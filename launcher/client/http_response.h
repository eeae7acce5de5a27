// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lib/base/result.h"

namespace cellrun::client {

// Takes one HTTP/1.1 response as it arrives. Only what the broker sends is understood: a length,
// chunks, or the end of the connection as the body's end. Anything else is EPROTO.
class ResponseParser {
 public:
  // Appends to `body` what of `bytes` belongs to the body.
  Result<void> Put(std::string_view bytes, std::string& body);
  // The connection ended; ECONNRESET if the response was not complete.
  Result<void> End();
  [[nodiscard]] bool done() const { return state_ == State::kDone; }
  [[nodiscard]] int status() const { return status_; }  // 0 until the head is complete
  [[nodiscard]] const std::string& content_type() const { return content_type_; }

 private:
  enum class State : std::uint8_t { kHead, kLength, kToEnd, kChunkSize, kChunk, kChunkEnd, kDone };
  Result<bool> Advance(std::string& body);
  Result<void> ReadHead(std::string_view head);
  Result<void> ReadField(std::string_view line);
  Result<bool> ReadChunkSize();
  bool TakeBody(std::string& body, State then);

  State state_ = State::kHead;
  State body_state_ = State::kToEnd;
  std::string input_;
  std::uint64_t left_ = 0;
  int status_ = 0;
  std::string content_type_;
};

// Cuts a stream of bytes into lines; one longer than the limit stops it.
class LineSplitter {
 public:
  using Line = std::function<bool(std::string_view)>;
  explicit LineSplitter(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  bool Put(std::string_view bytes, const Line& line);  // false: stop
  void End(const Line& line);                          // a last line without a newline
  [[nodiscard]] bool overflowed() const { return overflowed_; }

 private:
  const std::size_t max_bytes_;
  std::string rest_;
  bool overflowed_ = false;
};

}  // namespace cellrun::client
