// SPDX-License-Identifier: Apache-2.0
// What a proxy answers, in any pieces: at most one end, never more read than is the proxy's, and
// the same outcome whatever the pieces are.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/net/proxy/dialogue.h"
#include "lib/base/check.h"

using namespace cellrun;

namespace {

struct End {
  net::Dialogue::State state;
  int code;
  std::size_t taken;
  bool operator==(const End&) const = default;
};

End Talk(const char* url, std::string_view reply, std::size_t piece) {
  const std::shared_ptr<net::Proxy> proxy = net::ParseProxy(url);
  CHECK(proxy != nullptr && net::SetCredentials(*proxy, "user:password").ok());
  const auto dialogue = net::Dialogue::Make(proxy, "git.example.com", 443);
  std::size_t taken = 0;
  while (dialogue->state() == net::Dialogue::State::kTalks && taken < reply.size()) {
    CHECK(dialogue->wants() > 0);
    const std::size_t bytes = std::min({piece, dialogue->wants(), reply.size() - taken});
    dialogue->Feed(reply.substr(taken, bytes));
    taken += bytes;
  }
  const bool failed = dialogue->state() == net::Dialogue::State::kFailed;
  CHECK(failed == (dialogue->code() != 0));
  CHECK(taken <= net::Dialogue::kMaxReplyBytes + 512);
  return {dialogue->state(), dialogue->code(), taken};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view reply(reinterpret_cast<const char*>(data), size);
  for (const char* url : {"http://proxy.example:3128", "socks5://proxy.example:1080"}) {
    const End whole = Talk(url, reply, 512), bytes = Talk(url, reply, 1);
    CHECK(whole.state == bytes.state && whole.code == bytes.code);
  }
  return 0;
}
