// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::cells {

// The broker's one inotify instance, made at start: instances are counted per user, and a cell of
// the same user could use them up (hardening 10). Only on the loop's thread.
class InotifyHub {
 public:
  // `watch` is what Subscription::watch() says; `name` the entry that changed, "" when events were
  // lost (queue overflow) or the directory itself went: look at all.
  using OnChange = std::function<void(int watch, const std::string& name)>;

  static Result<std::unique_ptr<InotifyHub>> Make(loop::Loop& loop);

  // Hears nothing more when it goes. The watch itself is kept for the next, within bounds.
  class Subscription {
   public:
    Subscription(InotifyHub& hub, int watch, std::uint64_t id)
        : hub_(hub), watch_(watch), id_(id) {}
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription();
    [[nodiscard]] int watch() const { return watch_; }

   private:
    InotifyHub& hub_;
    int watch_;
    std::uint64_t id_;
  };

  // Entries made, moved, removed, written or changed in mode in a directory held open. The hub must
  // outlive the subscription.
  Result<std::unique_ptr<Subscription>> Watch(const UniqueFd& directory, OnChange on_change);

 private:
  InotifyHub(loop::Loop& loop, UniqueFd fd);
  void OnReadable();
  void Notify(int watch, const std::string& name);
  void Retire(int watch);

  UniqueFd fd_;
  std::map<int, std::map<std::uint64_t, std::shared_ptr<OnChange>>>
      subscribers_;         // by watch descriptor: one per inode
  std::deque<int> unused_;  // watches without a subscriber, the longest unused first
  std::uint64_t next_id_ = 1;
  std::unique_ptr<loop::Loop::Watch> readable_;
};

}  // namespace cellrun::cells
