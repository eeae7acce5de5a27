// SPDX-License-Identifier: Apache-2.0
#include "broker/run/output_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "broker/run/redactor.h"
#include "lib/sys/file.h"

namespace cellrun::run {

struct OutputRelay::Shared {
  std::mutex mutex;
  loop::Loop* loop = nullptr;  // null: nobody waits any more
  std::function<void()> done;
  int running = 0;
  std::vector<std::string> secrets;

  ~Shared() {
    for (std::string& secret : secrets) explicit_bzero(secret.data(), secret.size());
  }
  void End() {
    const std::lock_guard lock(mutex);
    if (--running == 0 && loop != nullptr) loop->Post(done);
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

void Pump(const UniqueFd& in, const UniqueFd& out, Redactor& redactor) {
  std::array<char, 65536> bytes{};
  for (;;) {
    const Result<std::size_t> got = sys::Read(in, bytes);
    if (!got.ok() || *got == 0) break;
    const bool passed = WriteAll(out, redactor.Take({bytes.data(), *got}));
    explicit_bzero(bytes.data(), *got);
    if (!passed) return;  // the command's next write ends it, as if it had written there itself
  }
  (void)WriteAll(out, redactor.Finish());
}

}  // namespace

OutputRelay::OutputRelay(loop::Loop& loop, std::vector<std::string> secrets,
                         std::function<void()> done)
    : shared_(std::make_shared<Shared>()) {
  shared_->loop = &loop;
  shared_->done = std::move(done);
  shared_->secrets = std::move(secrets);
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
        Pump(in, to, redactor);
        in.Reset();
        to.Reset();
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
