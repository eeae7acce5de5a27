// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/remote_memory.h"

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "lib/sys/ptrace.h"
#include "lib/sys/seccomp.h"

namespace cellrun::notify {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::size_t kUnreadable = static_cast<std::size_t>(-1);
constexpr std::size_t kMaxCachedPages = 256;  // then the cache starts again
constexpr std::size_t kBatch = 64;            // pages of one process_vm_readv
constexpr std::size_t kKeepBytes = 2 * 1024;  // each cell has a thread that keeps them

constexpr std::uint64_t PageOf(std::uint64_t address) {
  return address & ~(kPageBytes - 1);
}
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast,performance-no-int-to-ptr)
void* RemotePointer(std::uint64_t address) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in another process
  return reinterpret_cast<void*>(address);
}

}  // namespace

void MemoryScratch::Trim() {
  pages.clear();
  if (bytes.capacity() > kKeepBytes) std::vector<char>().swap(bytes);
  if (pointers.capacity() * sizeof(std::uint64_t) > kKeepBytes) {
    std::vector<std::uint64_t>().swap(pointers);
  }
}

RemoteMemory::RemoteMemory(const Listener& listener, const seccomp_notif& notification,
                           MemoryScratch& scratch) noexcept
    : listener_(&listener),
      id_(notification.id),
      tid_(static_cast<pid_t>(notification.pid)),
      scratch_(scratch) {
  scratch_.pages.clear();
  scratch_.bytes.clear();
  scratch_.wanted.clear();
}
RemoteMemory::RemoteMemory(pid_t stopped_tracee, MemoryScratch& scratch) noexcept
    : tid_(stopped_tracee), scratch_(scratch) {
  scratch_.pages.clear();
  scratch_.bytes.clear();
  scratch_.wanted.clear();
}

Result<void> RemoteMemory::CheckValid() const {
  if (listener_ != nullptr && !sys::SeccompIdValid(listener_->fd(), id_)) {
    return Error(ESRCH, "ioctl(SECCOMP_IOCTL_NOTIF_ID_VALID)");
  }
  return {};
}

const MemoryScratch::Page* RemoteMemory::Find(std::uint64_t page) const {
  const auto found =
      std::lower_bound(scratch_.pages.begin(), scratch_.pages.end(), page,
                       [](const MemoryScratch::Page& a, std::uint64_t b) { return a.address < b; });
  if (found == scratch_.pages.end() || found->address != page) return nullptr;
  return &*found;
}

void RemoteMemory::Want(std::uint64_t address) {
  const std::uint64_t page = PageOf(address);
  if (!scratch_.wanted.empty() && scratch_.wanted.back() == page) return;
  if (Find(page) == nullptr) scratch_.wanted.push_back(page);
}

// One call for wanted[first, first + count); `fetched` says how many were settled: all, or those
// before the first unreadable page and that page itself.
Result<void> RemoteMemory::FetchRun(std::size_t first, std::size_t count, std::size_t* fetched) {
  std::array<iovec, kBatch> remote{};
  for (std::size_t i = 0; i < count; ++i) {
    remote[i] = {.iov_base = RemotePointer(scratch_.wanted[first + i]), .iov_len = kPageBytes};
  }
  const std::size_t offset = scratch_.bytes.size();
  scratch_.bytes.resize(offset + count * kPageBytes);
  const iovec local{.iov_base = scratch_.bytes.data() + offset, .iov_len = count * kPageBytes};
  const Result<std::size_t> bytes =
      sys::ProcessVmReadv(tid_, {&local, 1}, std::span(remote).first(count));
  if (!bytes.ok() && bytes.error().code() != EFAULT) return bytes.error();
  const std::size_t whole = bytes.ok() ? bytes.value() / kPageBytes : 0;
  for (std::size_t i = 0; i < whole; ++i) {
    scratch_.pages.push_back({scratch_.wanted[first + i], offset + i * kPageBytes});
  }
  *fetched = whole;
  if (whole < count) {
    scratch_.pages.push_back({scratch_.wanted[first + whole], kUnreadable});
    *fetched = whole + 1;
    scratch_.bytes.resize(offset + whole * kPageBytes);
  }
  return {};
}

Result<void> RemoteMemory::Fetch() {
  if (scratch_.wanted.empty()) return {};
  std::sort(scratch_.wanted.begin(), scratch_.wanted.end());
  scratch_.wanted.erase(std::unique(scratch_.wanted.begin(), scratch_.wanted.end()),
                        scratch_.wanted.end());
  if (scratch_.pages.size() + scratch_.wanted.size() > kMaxCachedPages) {
    scratch_.pages.clear();
    scratch_.bytes.clear();
  }
  for (std::size_t done = 0; done < scratch_.wanted.size();) {
    std::size_t fetched = 0;
    TRY(FetchRun(done, std::min(kBatch, scratch_.wanted.size() - done), &fetched));
    done += fetched;
  }
  scratch_.wanted.clear();
  std::sort(scratch_.pages.begin(), scratch_.pages.end(),
            [](const MemoryScratch::Page& a, const MemoryScratch::Page& b) {
              return a.address < b.address;
            });
  return {};
}

// What is readable from `address` to the end of its page.
Result<std::span<const char>> RemoteMemory::PageFrom(std::uint64_t address) {
  const MemoryScratch::Page* page = Find(PageOf(address));
  if (page == nullptr) {
    scratch_.wanted.clear();
    Want(address);
    TRY(Fetch());
    page = Find(PageOf(address));
  }
  if (page == nullptr || page->offset == kUnreadable) return Error(EFAULT, "process_vm_readv");
  const std::uint64_t inside = address - PageOf(address);
  return std::span<const char>(scratch_.bytes.data() + page->offset + inside, kPageBytes - inside);
}

Result<void> RemoteMemory::AppendString(std::uint64_t address, std::size_t limit, int too_long,
                                        std::string* out) {
  for (;;) {
    const std::span<const char> part = TRY(PageFrom(address));
    const void* end = memchr(part.data(), 0, part.size());
    const std::size_t bytes =
        end == nullptr ? part.size()
                       : static_cast<std::size_t>(static_cast<const char*>(end) - part.data());
    // The NUL counts, as it does for the kernel.
    if (out->size() + bytes >= limit) return Error(too_long, "process_vm_readv");
    out->append(part.data(), bytes);
    if (end != nullptr) return {};
    address += part.size();
  }
}

void RemoteMemory::Prefetch(std::initializer_list<std::uint64_t> addresses) {
  scratch_.wanted.clear();
  for (const std::uint64_t address : addresses) {
    if (address != 0) Want(address);
  }
  (void)Fetch();  // whoever asks for it is told the same
}

Result<std::string> RemoteMemory::ReadPath(std::uint64_t address) {
  std::string path;
  TRY(AppendString(address, PATH_MAX, ENAMETOOLONG, &path));
  return path;
}

Result<std::uint64_t> RemoteMemory::ReadPointer(std::uint64_t address) {
  std::array<char, sizeof(std::uint64_t)> raw{};
  for (std::size_t have = 0; have < raw.size();) {
    const std::span<const char> part = TRY(PageFrom(address + have));
    const std::size_t bytes = std::min(part.size(), raw.size() - have);
    memcpy(raw.data() + have, part.data(), bytes);
    have += bytes;
  }
  std::uint64_t pointer = 0;
  memcpy(&pointer, raw.data(), sizeof pointer);
  return pointer;
}

Result<void> RemoteMemory::ReadPointers(std::uint64_t address, std::size_t* budget) {
  scratch_.pointers.clear();
  if (address == 0) return {};  // the kernel takes a null array as an empty one
  for (;; address += sizeof(std::uint64_t)) {
    const std::uint64_t pointer = TRY(ReadPointer(address));
    if (pointer == 0) return {};
    // Each costs its pointer and at least a NUL.
    if (*budget < sizeof(std::uint64_t) + 1) return Error(E2BIG, "process_vm_readv");
    *budget -= sizeof(std::uint64_t);
    scratch_.pointers.push_back(pointer);
  }
}

Result<std::vector<std::string>> RemoteMemory::ReadStrings(std::uint64_t array,
                                                           std::size_t* budget) {
  TRY(ReadPointers(array, budget));
  std::vector<std::string> strings;
  strings.reserve(scratch_.pointers.size());
  for (std::size_t i = 0; i < scratch_.pointers.size(); ++i) {
    if (i % kBatch == 0) {
      scratch_.wanted.clear();
      const std::size_t end = std::min(i + kBatch, scratch_.pointers.size());
      for (std::size_t next = i; next < end; ++next) Want(scratch_.pointers[next]);
      TRY(Fetch());
    }
    std::string& text = strings.emplace_back();
    TRY(AppendString(scratch_.pointers[i], std::min(kMaxArgumentBytes, *budget), E2BIG, &text));
    *budget -= text.size() + 1;
  }
  return strings;
}

Result<RemoteMemory::Arguments> RemoteMemory::ReadArguments(std::uint64_t argv, std::uint64_t env) {
  scratch_.wanted.clear();
  if (argv != 0) Want(argv);
  if (env != 0) Want(env);
  TRY(Fetch());
  std::size_t budget = kMaxArgumentsBytes;
  Arguments arguments;
  arguments.argv = TRY(ReadStrings(argv, &budget));
  arguments.env = TRY(ReadStrings(env, &budget));
  if (arguments.argv.empty()) arguments.argv.emplace_back();
  TRY(CheckValid());
  return arguments;
}

Result<std::size_t> RemoteMemory::ReadSome(std::uint64_t address, std::span<char> buffer) {
  const iovec local{.iov_base = buffer.data(), .iov_len = buffer.size()};
  const iovec remote{.iov_base = RemotePointer(address), .iov_len = buffer.size()};
  const std::size_t bytes = TRY(sys::ProcessVmReadv(tid_, {&local, 1}, {&remote, 1}));
  if (bytes == 0) return Error(EFAULT, "process_vm_readv");
  TRY(CheckValid());
  return bytes;
}
Result<void> RemoteMemory::Read(std::uint64_t address, std::span<char> buffer) {
  if (TRY(ReadSome(address, buffer)) != buffer.size()) return Error(EFAULT, "process_vm_readv");
  return {};
}

}  // namespace cellrun::notify
