// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/build.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <string>

#include "launcher/cell/cell.h"
#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

constexpr int kFailed = 125;

class Build {
 public:
  explicit Build(UniqueFd broker) : broker_(std::move(broker)) {}

  int Run() {
    Result<sys::Message> order = sys::ReceiveMessage(broker_, wire::kMaxLaunchBytes);
    std::vector<UniqueFd> cgroups;
    if (order.ok() && order->bytes == wire::EncodeCgroups()) {
      cgroups = std::move(order->fds);
      order = sys::ReceiveMessage(broker_, wire::kMaxLaunchBytes);
    }
    if (!order.ok() || order->bytes.empty()) return kFailed;  // the broker has changed its mind
    if (order->fds.empty() || order->truncated || !wire::IsPlan(order->bytes))
      return Refuse({"the broker's order is not understood", "", ""});
    const UniqueFd control = std::move(order->fds[0]);
    order->fds.erase(order->fds.begin());
    const Result<std::string> shim_path = wire::LibexecPath("cellrun-shim");
    if (!shim_path.ok()) return Refuse({"no cellrun-shim", shim_path.error().ToString(), ""});
    const Result<UniqueFd> shim = sys::OpenAt(AT_FDCWD, shim_path->c_str(), O_RDONLY);
    if (!shim.ok()) return Refuse({"no cellrun-shim", shim.error().ToString(), ""});
    const Result<wire::CellPlan> plan = wire::TakePlan(*order);
    if (!plan.ok()) return Refuse({"the broker's order is not understood", "", ""});

    Result<UniqueFd> cgroup = UniqueFd();
    if (!plan->cgroup.empty())
      cgroup = sys::OpenAt(AT_FDCWD, plan->cgroup.c_str(), O_RDONLY | O_DIRECTORY);
    if (!cgroup.ok()) return Refuse({"no cgroup for the cell", cgroup.error().ToString(), ""});

    Outcome<StartedCell> started = StartCell(control, *shim, *cgroup);
    if (const ErrorForm* failed = std::get_if<ErrorForm>(&started)) return Refuse(*failed);
    StartedCell& cell = std::get<StartedCell>(started);
    if (const auto failed = EnterCgroups(cell, cgroups)) return Refuse(*failed);
    const Result<void> sent = ForwardPlan(cell, *order);
    if (!sent.ok()) return Refuse({"cannot build the cell", sent.error().ToString(), ""});
    if (const auto failed = GivePlan(cell, *plan)) return Refuse(*failed);
    if (!SayStarted(cell, *plan)) return kFailed;
    const Outcome<std::vector<std::string>> finished = FinishCell(*plan, cell);
    if (const ErrorForm* failed = std::get_if<ErrorForm>(&finished)) return Refuse(*failed);
    return Stay(cell);
  }

 private:
  int Refuse(const ErrorForm& error) {
    (void)sys::SendMessage(
        broker_,
        wire::Encode(wire::Refusal{
            .status = kFailed, .what = error.what, .cause = error.cause, .suggest = error.suggest}),
        {});  // a broker that is gone needs no answer
    return kFailed;
  }

  bool SayStarted(const StartedCell& cell, const wire::CellPlan& plan) {
    const int pidfd = cell.init.pidfd().get();
    const wire::Started message{.pid = cell.init.pid(), .lost_layers = FindLostLayers(plan)};
    return sys::SendMessage(broker_, wire::Encode(message), std::span(&pidfd, 1)).ok();
  }

  // Init's parent: reaps it. The broker's end of file ends it, by the owner's destructor.
  int Stay(const StartedCell& cell) {
    std::array<pollfd, 2> polled = {
        pollfd{.fd = broker_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = cell.init.pidfd().get(), .events = POLLIN, .revents = 0}};
    while (poll(polled.data(), polled.size(), -1) < 0 && errno == EINTR) {
    }
    return 0;
  }

  UniqueFd broker_;
};

}  // namespace

int BuildForBroker() {
  const UniqueFd socket(fcntl(wire::kBuildFd, F_DUPFD_CLOEXEC, wire::kBuildFd + 1));
  if (!socket.valid()) return kFailed;  // somebody tries the word by hand
  (void)close(wire::kBuildFd);
  return Build(UniqueFd(fcntl(socket.get(), F_DUPFD_CLOEXEC, wire::kBuildFd))).Run();
}

}  // namespace cellrun::launcher
