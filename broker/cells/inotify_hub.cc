// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/inotify_hub.h"

#include <sys/inotify.h>

#include <array>
#include <cstring>
#include <vector>

#include "lib/sys/file.h"

namespace cellrun::cells {
namespace {

// Cells of one user mostly watch the same directories, and a watch that is made anew costs more
// than a cell's start should spend.
constexpr std::size_t kMaxUnused = 32;
constexpr std::uint32_t kEvents = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                  IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

Result<std::unique_ptr<InotifyHub>> InotifyHub::Make(loop::Loop& loop) {
  UniqueFd fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.valid()) return ErrnoError("inotify_init1");
  return std::unique_ptr<InotifyHub>(new InotifyHub(loop, std::move(fd)));
}

InotifyHub::InotifyHub(loop::Loop& loop, UniqueFd fd)
    : fd_(std::move(fd)), readable_(loop.WatchReadable(fd_, [this] { OnReadable(); })) {}

InotifyHub::Subscription::~Subscription() {
  const auto found = hub_.subscribers_.find(watch_);
  if (found == hub_.subscribers_.end()) return;
  found->second.erase(id_);
  if (!found->second.empty()) return;
  hub_.subscribers_.erase(found);
  hub_.Retire(watch_);
}

void InotifyHub::Retire(int watch) {
  unused_.push_back(watch);
  if (unused_.size() <= kMaxUnused) return;
  // EINVAL: the directory is gone and the watch with it.
  (void)inotify_rm_watch(fd_.get(), unused_.front());
  unused_.pop_front();
}

Result<std::unique_ptr<InotifyHub::Subscription>> InotifyHub::Watch(const UniqueFd& directory,
                                                                    OnChange on_change) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get());
  const int watch = inotify_add_watch(fd_.get(), path.c_str(), kEvents | IN_ONLYDIR);
  if (watch < 0) return ErrnoError("inotify_add_watch");
  std::erase(unused_, watch);  // the kernel has one for each inode and names it again
  const std::uint64_t id = next_id_++;
  subscribers_[watch].emplace(id, std::make_shared<OnChange>(std::move(on_change)));
  return std::make_unique<Subscription>(*this, watch, id);
}

void InotifyHub::OnReadable() {
  alignas(inotify_event) std::array<char, 16384>
      buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
  const Result<std::size_t> got = sys::Read(fd_, buffer);
  if (!got.ok()) return;  // EAGAIN: somebody was faster
  for (std::size_t at = 0; at + sizeof(inotify_event) <= *got;) {
    inotify_event event{};
    memcpy(&event, buffer.data() + at, sizeof event);
    const char* name = buffer.data() + at + sizeof event;
    at += sizeof event + event.len;
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      std::vector<int> all;
      for (const auto& [watch, subscribers] : subscribers_) all.push_back(watch);
      for (int watch : all) Notify(watch, "");
      continue;
    }
    Notify(event.wd, event.len > 0 ? std::string(name, strnlen(name, event.len)) : std::string());
    if ((event.mask & IN_IGNORED) == 0) continue;
    subscribers_.erase(event.wd);
    std::erase(unused_, event.wd);
  }
}

void InotifyHub::Notify(int watch, const std::string& name) {
  const auto found = subscribers_.find(watch);
  if (found == subscribers_.end()) return;
  // A handler may end subscriptions, its own included, or make new ones: call copies.
  std::vector<std::shared_ptr<OnChange>> handlers;
  for (const auto& [id, handler] : found->second) handlers.push_back(handler);
  for (const auto& handler : handlers) (*handler)(watch, name);
}

}  // namespace cellrun::cells
