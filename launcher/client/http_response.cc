// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/http_response.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace cellrun::client {
namespace {

constexpr std::size_t kMaxHeadBytes = std::size_t{16} * 1024;
constexpr std::size_t kMaxChunkLine = 32;

Error Malformed(const char* what) {
  return Error(EPROTO, "reading the broker's answer", what);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

template <typename T>
bool ParseAll(std::string_view text, T& number, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<void> ResponseParser::Put(std::string_view bytes, std::string& body) {
  input_ += bytes;
  while (TRY(Advance(body))) {
  }
  return {};
}

Result<void> ResponseParser::End() {
  if (state_ == State::kToEnd) state_ = State::kDone;
  if (state_ == State::kDone) return {};
  return Error(ECONNRESET, "reading the broker's answer", "it ended before it was complete");
}

// Whether another step can be made with what has arrived.
Result<bool> ResponseParser::Advance(std::string& body) {
  switch (state_) {
    case State::kHead: {
      const std::size_t end = input_.find("\r\n\r\n");
      if (end == std::string::npos) {
        if (input_.size() > kMaxHeadBytes) return Malformed("its head is too long");
        return false;
      }
      TRY(ReadHead(std::string_view(input_).substr(0, end + 2)));
      input_.erase(0, end + 4);
      state_ = body_state_ == State::kLength && left_ == 0 ? State::kDone : body_state_;
      return true;
    }
    case State::kLength:
      return TakeBody(body, State::kDone);
    case State::kToEnd:
      body += std::exchange(input_, {});
      return false;
    case State::kChunkSize:
      return ReadChunkSize();
    case State::kChunk:
      return TakeBody(body, State::kChunkEnd);
    case State::kChunkEnd:
      if (input_.size() < 2) return false;
      if (!input_.starts_with("\r\n")) return Malformed("a chunk has no end");
      input_.erase(0, 2);
      state_ = left_ == UINT64_MAX ? State::kDone : State::kChunkSize;
      return true;
    case State::kDone:
      return false;
  }
  return false;
}

bool ResponseParser::TakeBody(std::string& body, State then) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input_.size()));
  body.append(input_, 0, size);
  input_.erase(0, size);
  left_ -= size;
  if (left_ > 0) return false;
  state_ = then;
  return true;
}

Result<bool> ResponseParser::ReadChunkSize() {
  const std::size_t end = input_.find("\r\n");
  if (end == std::string::npos) {
    if (input_.size() > kMaxChunkLine) return Malformed("a chunk has no size");
    return false;
  }
  if (!ParseAll(std::string_view(input_).substr(0, end), left_, 16) || left_ == UINT64_MAX) {
    return Malformed("a chunk has no size");
  }
  input_.erase(0, end + 2);
  state_ = State::kChunk;
  if (left_ == 0) {  // the last one: the empty line behind it ends the body
    left_ = UINT64_MAX;
    state_ = State::kChunkEnd;
  }
  return true;
}

Result<void> ResponseParser::ReadHead(std::string_view head) {
  const std::size_t first = head.find("\r\n");
  const std::string_view line = head.substr(0, first);
  if (!line.starts_with("HTTP/1.1 ") || line.size() < 12 ||
      !ParseAll(line.substr(9, 3), status_, 10) || status_ < 100) {
    return Malformed("it is not HTTP/1.1");
  }
  for (std::size_t begin = first + 2; begin < head.size();) {
    const std::size_t end = head.find("\r\n", begin);
    TRY(ReadField(head.substr(begin, end - begin)));
    begin = end + 2;
  }
  return {};
}

Result<void> ResponseParser::ReadField(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Malformed("a header line has no colon");
  const std::string name = Lower(line.substr(0, colon));
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (name == "content-type") content_type_ = std::string(value);
  if (name == "content-length") {
    if (!ParseAll(value, left_, 10)) return Malformed("its length is no number");
    body_state_ = State::kLength;
  }
  if (name == "transfer-encoding") {
    if (value != "chunked") return Malformed("its encoding is unknown");
    body_state_ = State::kChunkSize;
  }
  return {};
}

bool LineSplitter::Put(std::string_view bytes, const Line& line) {
  rest_ += bytes;
  std::size_t begin = 0;
  for (std::size_t end = rest_.find('\n'); end != std::string::npos;
       end = rest_.find('\n', begin)) {
    if (!line(std::string_view(rest_).substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  rest_.erase(0, begin);
  overflowed_ = rest_.size() > max_bytes_;
  return !overflowed_;
}

void LineSplitter::End(const Line& line) {
  if (!rest_.empty()) (void)line(std::exchange(rest_, {}));  // nothing follows that could stop
}

}  // namespace cellrun::client
