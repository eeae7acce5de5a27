// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// One function per system call: CLOEXEC is set, EINTR is retried where the manual makes that safe,
// the operation is named, what is returned is owned. A raw `int` directory descriptor may be
// AT_FDCWD.
namespace cellrun::sys {

Result<UniqueFd> OpenAt(int directory, const char* path, int flags, mode_t mode = 0);
Result<UniqueFd> OpenAt2(int directory, const char* path, open_how how);
Result<UniqueFd> Duplicate(const UniqueFd& fd);            // fcntl F_DUPFD_CLOEXEC
Result<void> DuplicateTo(const UniqueFd& fd, int number);  // dup2: the copy survives exec
Result<struct stat> Fstat(const UniqueFd& fd);
Result<struct stat> FstatAt(int directory, const char* path, int flags);
Result<struct statx> Statx(int directory, const char* path, int flags, unsigned mask);
Result<struct statvfs> Fstatvfs(const UniqueFd& fd);
Result<struct statfs> Fstatfs(const UniqueFd& fd);
Result<std::string> ReadLinkAt(int directory, const char* path);
Result<std::size_t> Read(const UniqueFd& fd, std::span<char> buffer);  // 0: end of file
Result<std::size_t> Pread(const UniqueFd& fd, std::span<char> buffer, off_t offset);
Result<std::size_t> Write(const UniqueFd& fd, std::string_view bytes);  // may be short
Result<void> WriteAll(const UniqueFd& fd, std::string_view bytes);
Result<void> MkdirAt(int directory, const char* path, mode_t mode);
Result<void> SymlinkAt(const char* target, int directory, const char* path);
Result<void> UnlinkAt(int directory, const char* path, int flags);
Result<void> RenameAt2(int old_directory, const char* old_path, int new_directory,
                       const char* new_path, unsigned flags);
Result<void> Fchmod(const UniqueFd& fd, mode_t mode);
Result<void> Fchown(const UniqueFd& fd, uid_t uid, gid_t gid);
Result<void> Ftruncate(const UniqueFd& fd, off_t bytes);
Result<void> Fsync(const UniqueFd& fd);
Result<bool> FlockExclusiveNow(const UniqueFd& fd);  // false: somebody else holds it
Result<void> SetNonBlocking(const UniqueFd& fd, bool on);
Result<void> SetCloseOnExec(const UniqueFd& fd, bool on);
struct Pipe {
  UniqueFd read, write;
};
Result<Pipe> Pipe2(int flags);
// Bytes moved; 0: end of file. EAGAIN is an error.
Result<std::size_t> Splice(const UniqueFd& from, const UniqueFd& to, std::size_t bytes,
                           unsigned flags);

// The whole file, or EFBIG when it is longer than `limit_bytes`. By name: a regular file (EINVAL
// otherwise), so that no FIFO or device keeps the caller waiting.
Result<std::string> ReadWholeFile(const UniqueFd& fd, std::size_t limit_bytes);
Result<std::string> ReadWholeFileAt(int directory, const char* path, std::size_t limit_bytes);
// An existing file (procfs, sysfs) written by one write(2).
Result<void> WriteExistingFile(const char* path, std::string_view bytes);

}  // namespace cellrun::sys
