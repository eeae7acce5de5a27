// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <optional>
#include <span>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// seccomp_unotify(2), the supervisor's side.
namespace cellrun::sys {

// Installs a filter on the calling thread, whose listener this is. Needs no_new_privs. `flags`
// beside NEW_LISTENER. EBUSY: a filter above has a listener already.
Result<UniqueFd> SeccompNewListener(std::span<const sock_filter> program, unsigned long flags);

// Waits for a notification. Nothing: the caller died or was interrupted before it could be
// delivered (ENOENT), or a signal interrupted the wait (EINTR).
Result<std::optional<seccomp_notif>> SeccompReceive(const UniqueFd& listener);
// ENOENT: the caller no longer waits.
Result<void> SeccompContinue(const UniqueFd& listener, std::uint64_t id);
Result<void> SeccompReplyError(const UniqueFd& listener, std::uint64_t id,
                               int code);  // an errno > 0
Result<void> SeccompReplyValue(const UniqueFd& listener, std::uint64_t id, std::int64_t value);
bool SeccompIdValid(const UniqueFd& listener, std::uint64_t id);
// A copy of `fd` in the caller, at a number that the kernel picks, with O_CLOEXEC; the number.
Result<int> SeccompAddFd(const UniqueFd& listener, std::uint64_t id, const UniqueFd& fd);
// The same, and that number is what the call returns (SECCOMP_ADDFD_FLAG_SEND, 5.14). Takes until
// the caller has got a processor.
Result<int> SeccompReplyFd(const UniqueFd& listener, std::uint64_t id, const UniqueFd& fd);
// 6.6: wake the supervisor on the caller's core and the other way round. ENOTTY or EINVAL before.
Result<void> SeccompSyncWakeUp(const UniqueFd& listener);

}  // namespace cellrun::sys
