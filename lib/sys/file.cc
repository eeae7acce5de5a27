// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "lib/sys/returned.h"

namespace cellrun::sys {
namespace {

template <typename Call>
auto Retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

Result<std::size_t> Count(ssize_t result, const char* operation) {
  if (result < 0) return ErrnoError(operation);
  return static_cast<std::size_t>(result);
}

}  // namespace

Result<UniqueFd> OpenAt(int directory, const char* path, int flags, mode_t mode) {
  return Own(Retry([&] { return openat(directory, path, flags | O_CLOEXEC, mode); }), "openat");
}
Result<UniqueFd> OpenAt2(int directory, const char* path, open_how how) {
  how.flags |= O_CLOEXEC;
  return Own(Retry([&] { return syscall(SYS_openat2, directory, path, &how, sizeof how); }),
             "openat2");
}
Result<UniqueFd> Duplicate(const UniqueFd& fd) {
  return Own(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3), "fcntl(F_DUPFD_CLOEXEC)");
}
Result<void> DuplicateTo(const UniqueFd& fd, int number) {
  if (fd.get() == number) return SetCloseOnExec(fd, false);
  return Check(Retry([&] { return dup2(fd.get(), number); }), "dup2");
}
Result<struct stat> Fstat(const UniqueFd& fd) {
  struct stat facts {};
  TRY(Check(fstat(fd.get(), &facts), "fstat"));
  return facts;
}
Result<struct stat> FstatAt(int directory, const char* path, int flags) {
  struct stat facts {};
  TRY(Check(fstatat(directory, path, &facts, flags), "fstatat"));
  return facts;
}
Result<struct statx> Statx(int directory, const char* path, int flags, unsigned mask) {
  struct statx facts {};
  TRY(Check(statx(directory, path, flags, mask, &facts), "statx"));
  return facts;
}
Result<struct statvfs> Fstatvfs(const UniqueFd& fd) {
  struct statvfs facts {};
  TRY(Check(fstatvfs(fd.get(), &facts), "fstatvfs"));
  return facts;
}
Result<struct statfs> Fstatfs(const UniqueFd& fd) {
  struct statfs facts {};
  TRY(Check(fstatfs(fd.get(), &facts), "fstatfs"));
  return facts;
}
Result<std::string> ReadLinkAt(int directory, const char* path) {
  std::array<char, PATH_MAX>
      target;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
  const ssize_t length = readlinkat(directory, path, target.data(), target.size());
  if (length < 0) return ErrnoError("readlinkat");
  if (static_cast<std::size_t>(length) == target.size()) return Error(ENAMETOOLONG, "readlinkat");
  return std::string(target.data(), static_cast<std::size_t>(length));
}
Result<std::size_t> Read(const UniqueFd& fd, std::span<char> buffer) {
  return Count(Retry([&] { return read(fd.get(), buffer.data(), buffer.size()); }), "read");
}
Result<std::size_t> Pread(const UniqueFd& fd, std::span<char> buffer, off_t offset) {
  return Count(Retry([&] { return pread(fd.get(), buffer.data(), buffer.size(), offset); }),
               "pread");
}
Result<std::size_t> Write(const UniqueFd& fd, std::string_view bytes) {
  return Count(Retry([&] { return write(fd.get(), bytes.data(), bytes.size()); }), "write");
}
Result<void> WriteAll(const UniqueFd& fd, std::string_view bytes) {
  while (!bytes.empty()) bytes.remove_prefix(TRY(Write(fd, bytes)));
  return {};
}
Result<void> MkdirAt(int directory, const char* path, mode_t mode) {
  return Check(mkdirat(directory, path, mode), "mkdirat");
}
Result<void> SymlinkAt(const char* target, int directory, const char* path) {
  return Check(symlinkat(target, directory, path), "symlinkat");
}
Result<void> UnlinkAt(int directory, const char* path, int flags) {
  return Check(unlinkat(directory, path, flags), "unlinkat");
}
Result<void> RenameAt2(int old_directory, const char* old_path, int new_directory,
                       const char* new_path, unsigned flags) {
  return Check(renameat2(old_directory, old_path, new_directory, new_path, flags), "renameat2");
}
Result<void> Fchmod(const UniqueFd& fd, mode_t mode) {
  return Check(fchmod(fd.get(), mode), "fchmod");
}
Result<void> Fchown(const UniqueFd& fd, uid_t uid, gid_t gid) {
  return Check(fchown(fd.get(), uid, gid), "fchown");
}
Result<void> Ftruncate(const UniqueFd& fd, off_t bytes) {
  return Check(Retry([&] { return ftruncate(fd.get(), bytes); }), "ftruncate");
}
Result<void> Fsync(const UniqueFd& fd) {
  return Check(Retry([&] { return fsync(fd.get()); }), "fsync");
}
Result<bool> FlockExclusiveNow(const UniqueFd& fd) {
  if (Retry([&] { return flock(fd.get(), LOCK_EX | LOCK_NB); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return ErrnoError("flock");
}
Result<void> SetNonBlocking(const UniqueFd& fd, bool on) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0) return ErrnoError("fcntl(F_GETFL)");
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return Check(fcntl(fd.get(), F_SETFL, wanted), "fcntl(F_SETFL)");
}
Result<void> SetCloseOnExec(const UniqueFd& fd, bool on) {
  return Check(fcntl(fd.get(), F_SETFD, on ? FD_CLOEXEC : 0), "fcntl(F_SETFD)");
}
Result<Pipe> Pipe2(int flags) {
  std::array<int, 2> fds{};
  TRY(Check(pipe2(fds.data(), flags | O_CLOEXEC), "pipe2"));
  return Pipe{.read = UniqueFd(fds[0]), .write = UniqueFd(fds[1])};
}
Result<std::size_t> Splice(const UniqueFd& from, const UniqueFd& to, std::size_t bytes,
                           unsigned flags) {
  return Count(Retry([&] { return splice(from.get(), nullptr, to.get(), nullptr, bytes, flags); }),
               "splice");
}

Result<std::string> ReadWholeFile(const UniqueFd& fd, std::size_t limit_bytes) {
  std::string bytes;
  std::array<char, 16384> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
  for (;;) {
    const std::size_t got = TRY(Read(fd, chunk));
    if (got == 0) return bytes;
    if (bytes.size() + got > limit_bytes) return Error(EFBIG, "read");
    bytes.append(chunk.data(), got);
  }
}
Result<std::string> ReadWholeFileAt(int directory, const char* path, std::size_t limit_bytes) {
  // Where a FIFO lies instead, a plain open waits for a writer.
  const UniqueFd fd = TRY(OpenAt(directory, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  if (!S_ISREG(TRY(Fstat(fd)).st_mode)) return Error(EINVAL, "read", "not a regular file");
  return ReadWholeFile(fd, limit_bytes);
}
Result<void> WriteExistingFile(const char* path, std::string_view bytes) {
  const UniqueFd fd = TRY(OpenAt(AT_FDCWD, path, O_WRONLY));
  if (TRY(Write(fd, bytes)) != bytes.size()) return Error(EIO, "write");
  return {};
}

}  // namespace cellrun::sys
