// SPDX-License-Identifier: Apache-2.0
// What init says.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "broker/cells/cell.h"
#include "broker/cells/handover.h"
#include "broker/cells/init_orders.h"
#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/wire/control.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kMaxControlBytes = 16 * 1024;

}  // namespace

void Cell::OnControl() {
  for (;;) {
    Result<sys::Message> message = sys::ReceiveMessage(control_, kMaxControlBytes, MSG_DONTWAIT);
    if (!message.ok()) {
      if (message.error().code() == EAGAIN || finished_) return;
      return End("control socket: " + message.error().ToString());
    }
    if (message->bytes.empty()) {
      control_watch_.reset();
      // Every holder of init's end is gone. Where the launcher never got as far as init, nothing
      // else will say so.
      if (!init_.valid()) Finish();
      return;
    }
    OnMessage(std::move(*message));
    if (control_watch_ == nullptr && !finished_) return;
  }
}

void Cell::OnMessage(sys::Message message) {
  wire::ControlHeader header{};
  if (message.bytes.size() < sizeof header) return End("init sent a broken message");
  memcpy(&header, message.bytes.data(), sizeof header);
  // A socket for which the broker has no descriptor is lost on the way.
  const bool lost = message.truncated && header.type == wire::kSocket && message.fds.empty();
  if (message.truncated && !lost) return End("init sent a broken message");
  const std::string payload = message.bytes.substr(sizeof header);
  if (header.payload_bytes != payload.size()) return End("init sent a broken message");
  switch (header.type) {
    case wire::kGatewayBuilt:
      if (!setup_.plan.gateway || !gateway_.empty() || egress_ != nullptr || message.fds.empty())
        return End("init sent a broken message");
      gateway_ = std::move(message.fds);
      return;
    case wire::kCellBuilt:
      if (message.fds.size() != FdsOfABuiltCell() || shim_.valid())
        return End("init sent a broken message");
      if (!setup_.plan.gateway) {
        resolver_sockets_.streams = std::move(message.fds.back());
        message.fds.pop_back();
        resolver_sockets_.datagrams = std::move(message.fds.back());
        message.fds.pop_back();
      }
      if (!setup_.plan.cgroup.empty()) network_witness_ = std::move(message.fds[6]);
      shim_ = std::move(message.fds[0]);
      denials_ = std::move(message.fds[1]);
      scripts_ = std::move(message.fds[4]);
      broker_ = std::move(message.fds[5]);
      if (setup_.plan.gateway) {
        Result<UniqueFd> user = sys::Duplicate(message.fds[2]);
        if (!user.ok()) return End("gateway: " + user.error().ToString());
        user_namespace_ = std::move(*user);
      }
      guards_->Enter({.user = std::move(message.fds[2]), .mount = std::move(message.fds[3])});
      return StartSupervisor();
    case wire::kListener: {
      Result<Handover> handover = DecodeHandover(payload, std::move(message.fds));
      const Result<void> adopted =
          handover.ok() ? AdoptListener(handover->token, std::move(handover->listener))
                        : Result<void>(handover.error());
      if (!adopted.ok()) End("listener: " + adopted.error().ToString());
      return;
    }
    case wire::kSpawned:
      if (header.id == kMainOrder) main_pid_ = header.a;
      for (const int signal : std::exchange(early_signals_, {})) Signal(signal);
      answer_deadline_.reset();
      report_.started = true;
      return;
    case wire::kTerminal:
      if (message.fds.size() == 1) callbacks_.on_terminal(std::move(message.fds[0]));
      return;
    case wire::kExecFailed:
      if (header.id == kMainOrder) OnExecFailed(header.b, header.c);
      return;
    case wire::kExited:
      if (header.id == kMainOrder) OnExited(header.a, header.b);
      return;
    case wire::kStopped:
      return;
    case wire::kSocket: {
      if (inbound_ == nullptr || message.fds.size() > 1) return End("init sent a broken message");
      const bool made = message.fds.size() == 1;
      const int code = lost ? EMFILE : EPROTO;
      return inbound_->Give(header.b, made ? Result<UniqueFd>(std::move(message.fds[0]))
                                           : Error(header.a != 0 ? header.a : code, "socket"));
    }
    case wire::kInitFailed:
      return End("init: " + text::EscapeShort(payload, 200) + ": " + ErrnoText(header.a));
    default:
      return End("init sent a message of unknown type");
  }
}

// As wire::kCellBuilt says.
std::size_t Cell::FdsOfABuiltCell() const {
  return 6U + (setup_.plan.cgroup.empty() ? 0U : 1U) + (setup_.plan.gateway ? 0U : 2U);
}

void Cell::OnExecFailed(int code, int step) {
  constexpr const char* kSteps[] = {"",    "working directory ", "streams", "terminal", "limits",
                                    "fork"};
  if (step == wire::kStepExec) {
    report_.exec_error = code;
    return;
  }
  const bool known = step > 0 && static_cast<std::size_t>(step) < std::size(kSteps);
  const std::string where =
      step == wire::kStepWorkingDirectory ? text::Escape(setup_.request.working_directory) : "";
  End("starting the command: " + (known ? kSteps[step] + where : "unknown step") + ": " +
      ErrnoText(code));
}

void Cell::OnExited(int pid, int status) {
  if (pid != main_pid_ || ended_) return;
  report_.wait_status = status;
  report_.lost.clear();
  ended_ = true;
}

}  // namespace cellrun::cells
