// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "broker/net/proxy/proxy.h"

namespace cellrun::net {

// What is said to a proxy before a connection is the program's: HTTP CONNECT (RFC 9110) or SOCKS5
// (RFC 1928, RFC 1929). No input or output of its own. It never takes a byte that belongs to the
// program, and what is not exactly an answer ends it.
class Dialogue {
 public:
  static constexpr std::size_t kMaxReplyBytes = 8192;

  // `host` is a name or an address, as it was judged.
  static std::unique_ptr<Dialogue> Make(std::shared_ptr<const Proxy> proxy, std::string host,
                                        std::uint16_t port);
  virtual ~Dialogue() = default;
  Dialogue(const Dialogue&) = delete;
  Dialogue& operator=(const Dialogue&) = delete;

  enum class State : std::uint8_t { kTalks, kOpen, kFailed };
  [[nodiscard]] State state() const { return state_; }
  // Of one that failed: what the program's connect fails with.
  [[nodiscard]] int code() const { return code_; }
  // What is to be sent now; taken by this.
  std::string TakeOutput() { return std::exchange(output_, {}); }
  // How many bytes may be read next, at least 1 while it talks.
  [[nodiscard]] virtual std::size_t wants() const = 0;
  // At most that many.
  void Feed(std::string_view untrusted);

 protected:
  Dialogue() = default;
  virtual void Take(std::string_view untrusted) = 0;
  void Say(const std::string& text) { output_ += text; }
  void Open() { state_ = State::kOpen; }
  void Fail(int code);

 private:
  State state_ = State::kTalks;
  int code_ = 0;
  std::size_t taken_ = 0;
  std::string output_;
};

}  // namespace cellrun::net
