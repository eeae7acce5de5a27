// SPDX-License-Identifier: Apache-2.0
#include "broker/net/proxy/dialogue.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "broker/net/address/address.h"

namespace cellrun::net {
namespace {

constexpr int kNotUnderstood = EHOSTUNREACH;  // what connect(2) has for a way that is none

std::string Base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const bool padding = i + k > bytes.size();
      text += padding ? '=' : kDigits[group >> (18 - 6 * k) & 63];
    }
  }
  return text;
}

std::string Octet(std::size_t value) {
  return std::string(1, static_cast<char>(value));
}

// ---- HTTP

// A byte at a time: what stands behind the empty line is the program's.
class HttpDialogue : public Dialogue {
 public:
  HttpDialogue(const Proxy& proxy, const std::string& host, std::uint16_t port) {
    const bool six = host.find(':') != std::string::npos;
    const std::string to = (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
    std::string request = "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n";
    if (!proxy.user.empty()) {
      request += "Proxy-Authorization: Basic " + Base64(proxy.user + ":" + proxy.password) + "\r\n";
    }
    Say(request + "\r\n");
  }
  [[nodiscard]] std::size_t wants() const override { return 1; }

 private:
  void Take(std::string_view untrusted) override {
    for (const char c : untrusted) {
      if (state() != State::kTalks) return;
      TakeByte(c);
    }
  }
  void TakeByte(char c) {
    // A lone CR or LF is where readers differ.
    if ((c == '\n') != after_cr_) return Fail(kNotUnderstood);
    after_cr_ = c == '\r';
    if (after_cr_) return;
    if (c != '\n') {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && c != '\t') || byte == 0x7f) return Fail(kNotUnderstood);
      line_ += c;
      return;
    }
    if (status_ == 0) return TakeStatus();
    if (!line_.empty()) {
      if (!IsField(line_)) return Fail(kNotUnderstood);
      return line_.clear();
    }
    if (status_ / 100 == 2) return Open();
    Fail(CodeOf(status_));
  }
  // "HTTP/1.1 200 Connection established"
  void TakeStatus() {
    const auto digit = [this](std::size_t at) { return line_[at] >= '0' && line_[at] <= '9'; };
    constexpr std::size_t kShortest = 12;
    const bool whole = line_.size() >= kShortest &&
                       (line_.starts_with("HTTP/1.1 ") || line_.starts_with("HTTP/1.0 ")) &&
                       digit(9) && digit(10) && digit(11) &&
                       (line_.size() == kShortest || line_[kShortest] == ' ');
    if (!whole) return Fail(kNotUnderstood);
    status_ = (line_[9] - '0') * 100 + (line_[10] - '0') * 10 + (line_[11] - '0');
    if (status_ < 200) return Fail(kNotUnderstood);  // nothing was to be continued or upgraded
    line_.clear();
  }
  // Begins with a token and a colon: a line that continues the one before has none.
  static bool IsField(std::string_view line) {
    constexpr std::string_view kToken =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const std::size_t end = line.find_first_not_of(kToken);
    return end != 0 && end != std::string_view::npos && line[end] == ':';
  }
  static int CodeOf(int status) {
    switch (status) {
      case 401:
      case 403:
      case 407:
      case 451:
        return EACCES;
      case 408:
      case 504:
        return ETIMEDOUT;
      default:
        return EHOSTUNREACH;
    }
  }

  std::string line_;
  bool after_cr_ = false;
  int status_ = 0;
};

// ---- SOCKS5

class SocksDialogue : public Dialogue {
 public:
  SocksDialogue(std::shared_ptr<const Proxy> proxy, std::string host, std::uint16_t port)
      : proxy_(std::move(proxy)), host_(std::move(host)), port_(port) {
    using namespace std::string_literals;
    Say(proxy_->user.empty() ? "\x05\x01\x00"s : "\x05\x02\x00\x02"s);
  }
  [[nodiscard]] std::size_t wants() const override { return wanted_ - have_.size(); }

 private:
  enum class Step : std::uint8_t { kMethod, kAccess, kHead, kLength, kRest };

  void Take(std::string_view untrusted) override {
    have_ += untrusted;
    if (have_.size() < wanted_) return;
    const std::string got = std::exchange(have_, {});
    const auto byte = [&got](std::size_t at) { return static_cast<unsigned char>(got[at]); };
    switch (step_) {
      case Step::kMethod:
        if (byte(0) != 5) return Fail(kNotUnderstood);
        if (byte(1) == 0) return Request();
        if (byte(1) == 2 && !proxy_->user.empty()) return Authenticate();
        return Fail(EACCES);
      case Step::kAccess:
        return byte(1) == 0 ? Request() : Fail(EACCES);
      case Step::kHead:
        if (byte(0) != 5 || byte(2) != 0) return Fail(kNotUnderstood);
        if (byte(1) != 0) return Fail(CodeOf(byte(1)));
        return TakeKind(byte(3));
      case Step::kLength:
        return Expect(Step::kRest, byte(0) + kPortBytes);
      case Step::kRest:
        return Open();  // where the proxy has bound, nobody needs
    }
  }
  void Expect(Step step, std::size_t bytes) {
    step_ = step;
    wanted_ = bytes;
  }
  void Authenticate() {
    Say(Octet(1) + Octet(proxy_->user.size()) + proxy_->user + Octet(proxy_->password.size()) +
        proxy_->password);
    Expect(Step::kAccess, 2);
  }
  void Request() {
    using namespace std::string_literals;
    std::string request = "\x05\x01\x00"s;
    if (const auto address = ParseAddress(host_)) {
      request += Octet(address->ipv6 ? 4 : 1);
      request.append(reinterpret_cast<const char*>(address->bytes.data()), address->ipv6 ? 16 : 4);
    } else {
      request += Octet(3) + Octet(host_.size()) + host_;
    }
    Say(request + Octet(port_ >> 8) + Octet(port_ & 255));
    Expect(Step::kHead, 4);
  }
  void TakeKind(unsigned char kind) {
    if (kind == 1) return Expect(Step::kRest, 4 + kPortBytes);
    if (kind == 4) return Expect(Step::kRest, 16 + kPortBytes);
    if (kind == 3) return Expect(Step::kLength, 1);
    Fail(kNotUnderstood);
  }
  static int CodeOf(unsigned char reply) {
    constexpr std::array kCodes = {0,           EHOSTUNREACH, EACCES,
                                   ENETUNREACH, EHOSTUNREACH, ECONNREFUSED,
                                   ETIMEDOUT,   EHOSTUNREACH, EHOSTUNREACH};
    return reply < kCodes.size() ? kCodes.at(reply) : kNotUnderstood;
  }

  static constexpr std::size_t kPortBytes = 2;
  const std::shared_ptr<const Proxy> proxy_;
  const std::string host_;
  const std::uint16_t port_;
  Step step_ = Step::kMethod;
  std::size_t wanted_ = 2;
  std::string have_;
};

}  // namespace

std::unique_ptr<Dialogue> Dialogue::Make(std::shared_ptr<const Proxy> proxy, std::string host,
                                         std::uint16_t port) {
  if (proxy->kind == Proxy::Kind::kHttp) return std::make_unique<HttpDialogue>(*proxy, host, port);
  return std::make_unique<SocksDialogue>(std::move(proxy), std::move(host), port);
}

void Dialogue::Feed(std::string_view untrusted) {
  if (state_ != State::kTalks) return;
  taken_ += untrusted.size();
  if (taken_ > kMaxReplyBytes || untrusted.size() > wants()) return Fail(kNotUnderstood);
  Take(untrusted);
}

void Dialogue::Fail(int code) {
  state_ = State::kFailed;
  code_ = code;
}

}  // namespace cellrun::net
