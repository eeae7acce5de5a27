// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <array>
#include <string>

#include "launcher/broker/broker_verbs.h"
#include "launcher/client/error_form.h"
#include "launcher/output/rows.h"
#include "lib/sys/file.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::broker {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;

int Fail(const std::string& what, const Error& error) {
  const bool missing = error.code() == ENOENT;
  launcher::PrintError({what, missing ? "no broker has run yet" : error.ToString(), ""});
  return kFailed;
}

// Prints what is there from `offset` on; false when nobody reads any more.
Result<bool> PrintFrom(const UniqueFd& log, off_t* offset) {
  std::array<char, 65536> buffer{};
  while (true) {
    const std::size_t size = TRY(sys::Pread(log, buffer, *offset));
    if (size == 0) return true;
    if (!output::Print({buffer.data(), size})) return false;
    *offset += static_cast<off_t>(size);
  }
}

// The log at `path` and how far it was printed. It is renamed when it has grown large, and a new
// one begins.
class Tail {
 public:
  explicit Tail(std::string path) : path_(std::move(path)) {}

  Result<bool> Print() {
    const auto now = sys::FstatAt(AT_FDCWD, path_.c_str(), AT_SYMLINK_NOFOLLOW);
    if (file_.valid()) {
      if (!TRY(PrintFrom(file_, &offset_))) return false;
      const bool same = now.ok() && now->st_dev == device_ && now->st_ino == inode_;
      if (same || !now.ok()) return true;
    }
    file_ = TRY(sys::OpenAt(AT_FDCWD, path_.c_str(), O_RDONLY | O_NOFOLLOW).With(path_));
    const struct stat facts = TRY(sys::Fstat(file_));
    device_ = facts.st_dev;
    inode_ = facts.st_ino;
    offset_ = 0;
    return PrintFrom(file_, &offset_);
  }

 private:
  std::string path_;
  UniqueFd file_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  off_t offset_ = 0;
};

Result<bool> WaitForChange(const UniqueFd& watch) {
  pollfd wait{.fd = watch.get(), .events = POLLIN, .revents = 0};
  if (poll(&wait, 1, -1) < 0) {
    if (errno == EINTR) return true;
    return ErrnoError("poll");
  }
  std::array<char, 4096> events{};  // which one does not matter
  (void)TRY(sys::Read(watch, events));
  return true;
}

Result<bool> Follow(Tail* tail, const std::string& directory) {
  const UniqueFd watch(inotify_init1(IN_CLOEXEC));
  if (!watch.valid()) return ErrnoError("inotify_init1");
  if (inotify_add_watch(watch.get(), directory.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return ErrnoError("inotify_add_watch");
  }
  // The watch comes first: what is written between the two is then not missed.
  while (TRY(tail->Print())) (void)TRY(WaitForChange(watch));
  return true;
}

}  // namespace

int Logs(bool follow) {
  const auto directory = wire::StateDirectory();
  if (!directory.ok()) return Fail("no state directory", directory.error());
  Tail tail(*directory + "/broker.log");
  const auto printed = follow ? Follow(&tail, *directory) : tail.Print();
  if (!printed.ok()) return Fail("cannot read the broker's log", printed.error());
  return *printed ? kDone : kFailed;
}

}  // namespace cellrun::broker
