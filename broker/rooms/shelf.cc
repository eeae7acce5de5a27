// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/shelf.h"

#include <fcntl.h>

#include "lib/sys/file.h"
#include "lib/sys/thread.h"
#include "lib/wire/control.h"

namespace cellrun::rooms {
namespace {

constexpr std::size_t kNameDigits = 32;  // 128 bits: nobody finds another script with these

Result<void> Write(const UniqueFd& directory, const std::string& name,
                   const std::string& contents) {
  constexpr mode_t kReadable = 0444;
  const UniqueFd file = TRY(sys::OpenAt(directory.get(), name.c_str(),
                                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kReadable));
  return sys::WriteAll(file, contents);
}

}  // namespace

std::string Shelf::Lease::path() const {
  return std::string(wire::kScriptDirectory) + "/" + name_;
}

Result<std::string> Shelf::Lease::Read() const {
  return sys::ReadWholeFileAt(shelf_->directory_.get(), name_.c_str(), kMaxBytes);
}

Result<std::shared_ptr<Shelf::Lease>> Shelf::Put(const std::string& contents,
                                                 const std::string& hash) {
  if (!directory_.valid()) return Error(ENOENT, "openat");
  const std::string name = hash.substr(0, kNameDigits);
  const std::lock_guard lock(mutex_);
  int& leases = leases_[name];
  if (leases == 0) {
    const sys::FileIdentity as_the_cell(uid_, gid_);
    const Result<void> written = Write(directory_, name, contents);
    if (!written.ok()) {
      (void)sys::UnlinkAt(directory_.get(), name.c_str(), 0);  // what there is of it
      leases_.erase(name);
      return written.error();
    }
  }
  ++leases;
  return std::make_shared<Lease>(shared_from_this(), name);
}

void Shelf::Drop(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = leases_.find(name);
  if (found == leases_.end() || --found->second > 0) return;
  leases_.erase(found);
  (void)sys::UnlinkAt(directory_.get(), name.c_str(), 0);  // it goes with the cell otherwise
}

}  // namespace cellrun::rooms
