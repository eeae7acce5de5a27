// SPDX-License-Identifier: Apache-2.0
#include "broker/net/resolver/stream.h"

#include <array>
#include <cerrno>
#include <utility>

#include "lib/sys/internet.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kLengthBytes = 2;
constexpr std::size_t kReadBytes = 4096;

std::size_t LengthAt(std::string_view bytes) {
  return static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[0])) << 8 |
         static_cast<std::uint8_t>(bytes[1]);
}

std::string WithLength(const std::string& message) {
  std::string framed(kLengthBytes, '\0');
  framed[0] = static_cast<char>(message.size() >> 8 & 0xFF);
  framed[1] = static_cast<char>(message.size() & 0xFF);
  return framed + message;
}

}  // namespace

Stream::Stream(loop::Loop& loop, UniqueFd socket, Answerer& answerer, TokenBucket& queries,
               std::function<void(const Stream*)> ended)
    : loop_(loop),
      socket_(std::move(socket)),
      answerer_(answerer),
      queries_(queries),
      ended_(std::move(ended)) {
  watch_ = loop_.WatchReadable(socket_, [this] { Take(); });
  Expect();
}

void Stream::Expect() {
  deadline_ = loop_.After(answerer_.limits().stream_idle, [this] { EndEarly(); });
}

void Stream::EndEarly() {
  ++answerer_.counters().streams_closed;
  End();
}

void Stream::End() {
  const auto ended = ended_;  // survives this
  ended(this);
}

void Stream::Take() {
  std::array<char, kReadBytes> buffer{};
  const Result<std::size_t> count = sys::ReceiveBytes(socket_, buffer);
  if (!count.ok() && count.error().code() == EAGAIN) return;
  if (!count.ok() || *count == 0) return End();
  received_.append(buffer.data(), *count);
  if (!AnswerAll()) EndEarly();
}

bool Stream::AnswerAll() {
  std::string_view rest = received_;
  while (rest.size() >= kLengthBytes) {
    const std::size_t length = LengthAt(rest);
    if (length > kMaxQueryBytes) return false;
    if (rest.size() < kLengthBytes + length) break;
    if (!queries_.Take(TokenBucket::Clock::now())) return false;
    const std::string answer =
        answerer_.Answer(rest.substr(kLengthBytes, length), Answerer::Transport::kStream);
    if (answer.empty()) return false;
    const std::string framed = WithLength(answer);
    const Result<std::size_t> sent = sys::SendBytes(socket_, framed);
    if (!sent.ok() || *sent != framed.size()) return false;
    rest.remove_prefix(kLengthBytes + length);
    Expect();
  }
  received_ = rest;
  return true;
}

}  // namespace cellrun::net
