// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::cells {

// How a seccomp listener reaches the broker: the containerProcessState of the OCI runtime
// specification (config-linux.md, `listenerPath`), with the cell's one-time token as its metadata.
// A cell's own init sends the same text.
struct Handover {
  std::string token;
  UniqueFd listener;
};

std::string EncodeHandover(const std::string& token);

// `fds` are the descriptors that came with it. EINVAL, with the field's name, for anything but one
// object of at most 64 KiB with `ociVersion`, `fds` (exactly one of them "seccompFd", as many as
// descriptors came), `pid` and `metadata`.
inline constexpr std::size_t kMaxHandoverBytes = 64 * 1024;
Result<Handover> DecodeHandover(std::string_view text, std::vector<UniqueFd> fds);

}  // namespace cellrun::cells
