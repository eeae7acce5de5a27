// SPDX-License-Identifier: Apache-2.0
// Constants of kernels newer than the headers of Debian 12 (6.1). A feature is probed by calling
// it, never by version.
#pragma once

#include <linux/landlock.h>
#include <linux/seccomp.h>

#include <cstdint>

namespace cellrun::uapi {

// seccomp(2). WAIT_KILLABLE_RECV: 5.19. SET_FLAGS and SYNC_WAKE_UP: 6.6.
inline constexpr unsigned long kSeccompWaitKillableRecv = 1UL << 5;
inline constexpr unsigned long kSeccompNotifSetFlags = 0x40082104UL;  // SECCOMP_IOW(4, __u64)
inline constexpr std::uint64_t kSeccompNotifSyncWakeUp = 1;

// Landlock. The header of 6.1 ends at ABI 2. Scopes: ABI 6 (6.12).
struct LandlockRulesetAttr {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};
inline constexpr std::uint64_t kLandlockScopeAbstractUnixSocket = 1;
inline constexpr std::uint64_t kLandlockScopeSignal = 2;

// socket(7), 6.5.
inline constexpr int kSoPeerPidfd = 77;

// execveat(2), 6.14: judge only, do not execute.
inline constexpr int kAtExecveCheck = 0x10000;

}  // namespace cellrun::uapi
