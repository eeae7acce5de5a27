// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "broker/notify/listener.h"
#include "lib/base/result.h"

namespace cellrun::notify {

// The kernel's own limits for execve: MAX_ARG_STRLEN, and a quarter of the default stack limit for
// everything together (pointers included).
inline constexpr std::size_t kMaxArgumentBytes = 128 * 1024;
inline constexpr std::size_t kMaxArgumentsBytes = 2 * 1024 * 1024;

// What a thread keeps between notifications, so that the hot path does not allocate.
struct MemoryScratch {
  struct Page {
    std::uint64_t address = 0;
    std::size_t offset = 0;  // in bytes; kUnreadable: the task has no such page
  };
  std::vector<char> bytes;
  std::vector<Page> pages;  // sorted by address
  std::vector<std::uint64_t> wanted;
  std::vector<std::uint64_t> pointers;

  void Trim();  // gives large buffers back
};

// Reads the memory of a task, and is the only class that can. For a task that waits for an answer
// reading ends with ID_VALID (ReadPath alone leaves that to what follows: an error that is answered
// to an id that is gone goes nowhere). As long as the id is valid the task has not moved since it
// was received, so its number cannot have been given to another. What is read may still change
// before the kernel reads it again: that is what verification is for.
class RemoteMemory {
 public:
  struct Arguments {
    std::vector<std::string> argv;  // never empty: like the kernel, no argument means one empty one
    std::vector<std::string> env;
  };

  // A task that waits for an answer to `notification`.
  RemoteMemory(const Listener& listener, const seccomp_notif& notification,
               MemoryScratch& scratch) noexcept;
  // A tracee of the calling thread, while it is stopped.
  RemoteMemory(pid_t stopped_tracee, MemoryScratch& scratch) noexcept;

  // What starts at these addresses will be asked for next: one system call for all of it. 0 is no
  // address; what cannot be read shows when it is asked for.
  void Prefetch(std::initializer_list<std::uint64_t> addresses);

  // EFAULT: unreadable. ENAMETOOLONG: PATH_MAX or longer. ESRCH: the task is gone or moved on.
  // EPERM: the broker may not read it. The same for all below.
  [[nodiscard]] Result<std::string> ReadPath(std::uint64_t address);
  // E2BIG: over one of the limits above.
  [[nodiscard]] Result<Arguments> ReadArguments(std::uint64_t argv, std::uint64_t env);
  // Exactly buffer.size() bytes.
  [[nodiscard]] Result<void> Read(std::uint64_t address, std::span<char> buffer);
  // As many bytes as can be read from there, at least one.
  [[nodiscard]] Result<std::size_t> ReadSome(std::uint64_t address, std::span<char> buffer);

 private:
  Result<void> CheckValid() const;
  Result<void> Fetch();  // scratch_.wanted, as far as it is not there yet
  Result<void> FetchRun(std::size_t first, std::size_t count, std::size_t* fetched);
  const MemoryScratch::Page* Find(std::uint64_t page) const;
  Result<std::span<const char>> PageFrom(std::uint64_t address);
  Result<void> AppendString(std::uint64_t address, std::size_t limit, int too_long,
                            std::string* out);
  Result<std::uint64_t> ReadPointer(std::uint64_t address);
  Result<void> ReadPointers(std::uint64_t address, std::size_t* budget);
  Result<std::vector<std::string>> ReadStrings(std::uint64_t array, std::size_t* budget);
  void Want(std::uint64_t address);

  const Listener* listener_ = nullptr;  // null: a stopped tracee
  std::uint64_t id_ = 0;
  pid_t tid_;
  MemoryScratch& scratch_;
};

}  // namespace cellrun::notify
