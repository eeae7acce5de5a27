// SPDX-License-Identifier: Apache-2.0
#include "broker/run/output_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "broker/run/redactor.h"
#include "lib/sys/file.h"

namespace cellrun::run {

struct OutputRelay::Shared : std::enable_shared_from_this<Shared> {
  std::mutex mutex;
  loop::Loop* loop = nullptr;  // null: nobody waits any more
  Callbacks callbacks;
  int running = 0;
  std::vector<std::string> secrets;
  std::uint64_t left = UINT64_MAX;
  bool exceeded = false;

  ~Shared() {
    for (std::string& secret : secrets) explicit_bzero(secret.data(), secret.size());
  }
  void End() {
    const std::lock_guard lock(mutex);
    if (--running == 0) Tell(&Callbacks::done);
  }
  // How many of these may be passed on.
  std::size_t Take(std::size_t bytes) {
    const std::lock_guard lock(mutex);
    const std::uint64_t taken = std::min<std::uint64_t>(bytes, left);
    left -= taken;
    return taken;
  }
  void Exceed() {
    const std::lock_guard lock(mutex);
    if (!std::exchange(exceeded, true)) Tell(&Callbacks::exceeded);
  }

 private:
  // The relay may go, on the loop's thread, before this is heard there.
  void Tell(std::function<void()> Callbacks::*what) {
    if (loop == nullptr) return;
    loop->Post([self = shared_from_this(), what] {
      if (self->loop == nullptr) return;
      const std::function<void()> call = self->callbacks.*what;
      if (call) call();
    });
  }
};

namespace {

// No more than what a pipe takes without waiting once it says that it takes something.
constexpr std::size_t kPiece = 4096;

bool WriteAll(const UniqueFd& out, std::string_view text) {
  while (!text.empty()) {
    pollfd polled{.fd = out.get(), .events = POLLOUT, .revents = 0};
    (void)poll(&polled, 1, -1);
    const ssize_t written = write(out.get(), text.data(), std::min(text.size(), kPiece));
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (written <= 0) return false;  // nobody reads
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// False: there was more than may come out.
template <typename Take>
bool Pump(const UniqueFd& in, const UniqueFd& out, Redactor& redactor, Take take) {
  std::array<char, 65536> bytes{};
  for (;;) {
    const Result<std::size_t> got = sys::Read(in, bytes);
    if (!got.ok() || *got == 0) break;
    const std::size_t allowed = take(*got);
    const bool passed = WriteAll(out, redactor.Take({bytes.data(), allowed}));
    explicit_bzero(bytes.data(), *got);
    if (!passed)
      return true;  // the command's next write ends it, as if it had written there itself
    if (allowed == *got) continue;
    (void)WriteAll(out, redactor.Finish());
    return false;
  }
  (void)WriteAll(out, redactor.Finish());
  return true;
}

}  // namespace

OutputRelay::OutputRelay(loop::Loop& loop, Rules rules, Callbacks callbacks)
    : shared_(std::make_shared<Shared>()) {
  shared_->loop = &loop;
  shared_->callbacks = std::move(callbacks);
  shared_->secrets = std::move(rules.secrets);
  shared_->left = rules.most_bytes;
}

OutputRelay::~OutputRelay() {
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
}

Result<UniqueFd> OutputRelay::Add(UniqueFd out) {
  sys::Pipe pipe = TRY(sys::Pipe2(O_CLOEXEC));
  {
    const std::lock_guard lock(shared_->mutex);
    ++shared_->running;
  }
  try {
    std::thread([shared = shared_, in = std::move(pipe.read), to = std::move(out)]() mutable {
      {
        Redactor redactor(shared->secrets);
        const bool whole =
            Pump(in, to, redactor, [&shared](std::size_t bytes) { return shared->Take(bytes); });
        to.Reset();
        if (!whole) shared->Exceed();  // before the command sees that nobody reads
        in.Reset();
      }
      shared->End();
    }).detach();
  } catch (const std::system_error& error) {
    const std::lock_guard lock(shared_->mutex);
    --shared_->running;
    return Error(error.code().value(), "pthread_create");
  }
  return std::move(pipe.write);
}

}  // namespace cellrun::run
