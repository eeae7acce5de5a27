// SPDX-License-Identifier: Apache-2.0
// A containerProcessState, which comes over a socket, is exact or refused. First byte: how many
// descriptors come with it.
#include "broker/cells/handover.h"

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"

using namespace cellrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  std::vector<UniqueFd> fds;
  for (int i = 0; i < data[0] % 4; ++i) fds.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::size_t count = fds.size();
  const auto handover = cells::DecodeHandover(text, std::move(fds));
  if (!handover.ok()) {
    CHECK(!handover.error().ToString().empty());
    return 0;
  }
  CHECK(count > 0);
  CHECK(handover.value().listener.valid());
  CHECK(text.find("seccompFd") != std::string_view::npos ||
        text.find("\\u") != std::string_view::npos);
  return 0;
}
