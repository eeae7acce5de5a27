// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

namespace cellrun::net {

// A proxy through which connections leave. Its password is overwritten when it goes.
struct Proxy {
  enum class Kind : std::uint8_t { kHttp, kSocks5 };
  Kind kind = Kind::kHttp;
  std::string host;  // a name, an address, or `host`
  std::uint16_t port = 0;
  std::string user, password;

  Proxy() = default;
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  ~Proxy();
};

// "http://HOST:PORT", "socks5://[::1]:1080", as network.upstream-proxy has it. Nothing for any
// other text.
std::shared_ptr<Proxy> ParseProxy(std::string_view url);
// "USER:PASSWORD", each at most 255 bytes without control characters. EINVAL; the value is in no
// message.
Result<void> SetCredentials(Proxy& proxy, std::string_view value);

// A proxy whose credentials may still be being read. Thread-safe.
class ProxyAccess {
 public:
  using Known = std::shared_ptr<const Proxy>;
  using Taken = std::function<void(Result<Known>)>;
  // `taken` comes once, on the thread that knows: perhaps at once.
  void Take(Taken taken);
  // Once.
  void Set(const Result<Known>& proxy);

 private:
  std::mutex mutex_;
  std::optional<Result<Known>> known_;  // guarded by mutex_, as the rest
  std::vector<Taken> waiting_;
};

}  // namespace cellrun::net
