// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lib/wire/launch.h"

namespace cellrun::launcher {

// MS_PRIVATE; <sys/mount.h> cannot be included beside <linux/mount.h>. A clone of a mount that gets
// the host's mount events would show later host mounts inside the cell.
inline constexpr std::uint64_t kPrivatePropagation = 1U << 18;

// MOUNT_ATTR_* of a bind: nosuid always, nodev unless it is a device.
std::uint64_t BindAttributes(const wire::MountStep& step);

}  // namespace cellrun::launcher
