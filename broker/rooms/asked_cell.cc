// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/asked_cell.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <utility>

namespace cellrun::rooms {
namespace {

constexpr std::chrono::seconds kPatience{30};

}  // namespace

approvals::Decision Approved(std::vector<std::string> argv) {
  approvals::Decision decision;
  decision.state = approvals::State::kApproved;
  decision.argv = std::move(argv);
  decision.by = "tester";
  return decision;
}

approvals::Queue::Submission FakeQueue::Submit(approvals::PackedAsk packed, Decided decided) {
  const approvals::Ask ask = *packed;
  const std::lock_guard lock(mutex_);
  if (denies && denies(ask)) {
    loop_.Post([decided = std::move(decided)] { decided({}); });
    return {.refusal = std::nullopt, .id = "0", .waiter = 0, .left = ask.timeout};
  }
  asks_.push_back(ask);
  const std::uint64_t number = asks_.size();
  if (at_once) {
    loop_.Post([decided = std::move(decided), decision = at_once(ask)] { decided(decision); });
  } else {
    waiting_[number] = std::move(decided);
  }
  changed_.notify_all();
  return {.refusal = std::nullopt,
          .id = "7f3a" + std::to_string(number),
          .waiter = number,
          .left = ask.timeout};
}
void FakeQueue::Withdraw(std::uint64_t waiter) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(waiter);
  changed_.notify_all();
}

approvals::Ask FakeQueue::Next() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return asks_.size() > given_; })) {
    ADD_FAILURE() << "nothing was asked";
    return {};
  }
  return asks_[given_++];
}
void FakeQueue::Answer(approvals::Decision decision) {
  std::size_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = given_;
  }
  loop_.Post([this, number, decision = std::move(decision)] {
    Decided decided;
    {
      const std::lock_guard lock(mutex_);
      const auto found = waiting_.find(number);
      if (found == waiting_.end()) return;
      decided = std::move(found->second);
      waiting_.erase(found);
      changed_.notify_all();
    }
    decided(decision);
  });
}
void FakeQueue::Approve() {
  std::vector<std::string> argv;
  {
    const std::lock_guard lock(mutex_);
    argv = asks_[given_ - 1].argv;
  }
  Answer(Approved(std::move(argv)));
}
void FakeQueue::Deny(std::string reason) {
  approvals::Decision decision;
  decision.reason = std::move(reason);
  Answer(std::move(decision));
}
std::size_t FakeQueue::pending() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}
void FakeQueue::AwaitPending(std::size_t count) {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return waiting_.size() == count; }));
}

AskedCell::AskedCell() : thread_([this] { loop.Run(); }) {
  cell.on_end = [](const std::optional<Error>&) {};
}
AskedCell::~AskedCell() {
  loop.Post([this] { loop.Stop(); });
  thread_.join();
}

void AskedCell::AskFor(std::string name) {
  cell.decide = [this, name = std::move(name)](const policy::ExecRequest& request) {
    policy::Verdict verdict = exec::Allow();
    for (const policy::ExecImage& image : request.images) {
      if (image.path.ends_with(name)) verdict.action = policy::Action::kAsk;
    }
    if (verdict.action == policy::Action::kAsk) {
      verdict.reason = "publishes code";
      if (!rewrite.empty()) verdict.rewrite = &rewrite;
    }
    return verdict;
  };
}

int AskedCell::Run(const std::function<int()>& body,
                   const std::function<void(pid_t init)>& outside) {
  std::unique_ptr<Rooms> rooms;
  const auto on_loop = [&](const std::function<void()>& work) {
    std::promise<void> done;
    loop.Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  };
  cell.profile.approval_timeout.value = timeout;
  cell.profile.approvals_pending.value = 64;
  cell.equip = [&](notify::CellFacts& facts) {
    on_loop([&] {
      rooms = std::make_unique<Rooms>(
          Rooms::Services{.loop = loop, .pool = pool, .journal = cell.journal, .approvals = queue},
          "cell", std::make_shared<Shelf>(UniqueFd(), 0, 0));
      facts.admit = rooms->Door();
    });
  };
  cell.outside = [&](notify::Supervisor&, pid_t init) {
    if (outside) outside(init);
  };
  const int status = cell.Run(body);
  on_loop([] {});  // ends of files that lie there already
  on_loop([&] {
    rooms_left = rooms->size();
    rooms.reset();
  });
  cell.Finish();
  return status;
}

void Await(const char* what, const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "never: " << what;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace cellrun::rooms
