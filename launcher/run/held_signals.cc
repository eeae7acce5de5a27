// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/held_signals.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <array>

#include "lib/sys/process.h"

namespace cellrun::launcher {
namespace {

constexpr std::array kHandledSignals = {SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1,
                                        SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};

}  // namespace

HeldSignals::HeldSignals() {
  sigemptyset(&handled_);
  for (const int number : kHandledSignals) {
    struct sigaction now {};
    // What nohup or a shell told us to ignore stays ignored.
    if (sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) continue;
    sigaddset(&handled_, number);
  }
  (void)sigprocmask(SIG_BLOCK, &handled_, nullptr);
  descriptor_ = UniqueFd(signalfd(-1, &handled_, SFD_CLOEXEC | SFD_NONBLOCK));
}

void HeldSignals::Await(const UniqueFd& fd) const {
  pollfd both[2] = {{.fd = fd.get(), .events = POLLIN, .revents = 0},
                    {.fd = descriptor_.get(), .events = POLLIN, .revents = 0}};
  (void)poll(&both[0], 2, -1);
  if (both[0].revents != 0 || both[1].revents == 0) return;
  const auto deadline = sys::MonotonicNow() + kPatience;
  while (both[0].revents == 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    if (left.count() <= 0) break;
    if (poll(&both[0], 1, static_cast<int>(left.count())) < 0) continue;
  }
  if (both[0].revents != 0) return;
  (void)sigprocmask(SIG_UNBLOCK, &handled_, nullptr);  // the default action takes place here
  (void)sigprocmask(SIG_BLOCK, &handled_, nullptr);    // it was one that does nothing
}

}  // namespace cellrun::launcher
