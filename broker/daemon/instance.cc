// SPDX-License-Identifier: Apache-2.0
#include "broker/daemon/instance.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::daemon {
namespace {

constexpr int kBacklog = 128;

Result<UniqueFd> ListenAt(const std::string& path, int type) {
  const Result<struct stat> old = sys::FstatAt(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW);
  if (old.ok()) {
    if (!S_ISSOCK(old->st_mode)) return Error(EEXIST, "", path + " is in the way and no socket");
    TRY(sys::UnlinkAt(AT_FDCWD, path.c_str(), 0).With(path));
  }
  UniqueFd socket = TRY(sys::UnixSocket(type | SOCK_NONBLOCK));
  TRY(sys::BindUnix(socket, path).With(path));
  TRY(sys::Listen(socket, kBacklog).With(path));
  return socket;
}

}  // namespace

Result<Instance> BecomeTheBroker() {
  Instance instance;
  instance.runtime_directory = TRY(wire::RuntimeDirectory());
  instance.state_directory = TRY(wire::StateDirectory());
  const std::string lock = instance.runtime_directory + "/broker.lock";
  instance.lock =
      TRY(sys::OpenAt(AT_FDCWD, lock.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600).With(lock));
  if (!TRY(sys::FlockExclusiveNow(instance.lock).With(lock))) {
    return Error(EBUSY, "", "another broker serves " + instance.runtime_directory);
  }
  TRY(sys::Ftruncate(instance.lock, 0));
  TRY(sys::WriteAll(instance.lock, std::to_string(getpid()) + "\n").With(lock));
  return instance;
}

Result<void> Instance::Listen() {
  api = TRY(ListenAt(runtime_directory + "/api.sock", SOCK_STREAM));
  listener = TRY(ListenAt(runtime_directory + "/listener.sock", SOCK_STREAM));
  // Last: who can connect here finds everything else in place.
  launch = TRY(ListenAt(runtime_directory + "/launch.sock", SOCK_SEQPACKET));
  return {};
}

}  // namespace cellrun::daemon
