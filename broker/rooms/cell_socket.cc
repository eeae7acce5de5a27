// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/cell_socket.h"

#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "broker/exec/task.h"
#include "lib/base/text.h"
#include "lib/explain/explanation.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

namespace cellrun::rooms {
namespace {

constexpr std::size_t kMaxMessageBytes = 8 * 1024;
constexpr std::size_t kMaxReasonBytes = 1024;
constexpr std::size_t kMaxConnections = 8;
constexpr int kPerSecond = 50;
constexpr std::chrono::seconds kPatience{5};

// What a cell is told of its policy: what decides, and not what else there is.
nlohmann::json ExplanationOf(const exec::Preview& preview) {
  const policy::Verdict& verdict = preview.verdict;
  nlohmann::json explanation = explain::ToJson(explain::Explanation{.verdict = verdict.action,
                                                                    .strategy = verdict.strategy,
                                                                    .rule = verdict.rule,
                                                                    .reason = verdict.reason,
                                                                    .message = verdict.message,
                                                                    .suggest = verdict.suggest,
                                                                    .trials = {},
                                                                    .change = ""});
  explanation["record"] = {{"kind", "exec"},
                           {"exe", text::Escape(preview.request.images[0].path)},
                           {"argv", nlohmann::json::array()},
                           {"cwd", text::Escape(preview.request.cwd)}};
  for (const std::string& argument : preview.request.argv)
    explanation["record"]["argv"].push_back(text::IsUtf8(argument) ? argument
                                                                   : text::Escape(argument));
  explanation["notes"] = nlohmann::json::array();
  if (!verdict.checks.empty())
    explanation["notes"].push_back("an external checker is heard first, and can deny it");
  const bool fixed = verdict.rule.layer == policy::Layer::kFloor ||
                     verdict.rule.layer == policy::Layer::kWorkspace;
  if (verdict.action == policy::Action::kDeny && !fixed)
    explanation["notes"].push_back("to ask a person: cellrun request --reason TEXT -- COMMAND");
  return explanation;
}

Error Described(const Error& error) {
  return error.context().empty() ? Error(error.code(), "", ErrnoText(error.code())) : error;
}

}  // namespace

CellSocket::CellSocket(Services services, UniqueFd socket)
    : services_(std::move(services)),
      socket_(std::move(socket)),
      self_(std::make_shared<CellSocket*>(this)) {
  if (socket_.valid()) Listen();
}

void CellSocket::Listen() {
  acceptable_ = services_.loop.WatchReadable(socket_, [this] { OnConnection(); });
}

void CellSocket::OnConnection() {
  if (this_second_++ == 0) {
    second_ = services_.loop.After(std::chrono::seconds(1), [this] {
      this_second_ = 0;
      if (acceptable_ == nullptr) Listen();
    });
  }
  // More have to wait until the second is over.
  if (this_second_ > kPerSecond) return acceptable_.reset();
  Result<UniqueFd> socket = sys::Accept(socket_, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (!socket.ok() || connections_.size() >= kMaxConnections) return;
  const std::uint64_t number = next_++;
  Connection& connection = connections_[number];
  connection.socket = std::move(*socket);
  connection.readable =
      services_.loop.WatchReadable(connection.socket, [this, number] { OnMessage(number); });
  connection.deadline =
      services_.loop.After(kPatience, [this, number] { connections_.erase(number); });
}

void CellSocket::OnMessage(std::uint64_t number) {
  Connection& connection = connections_.at(number);
  const Result<sys::Message> message =
      sys::ReceiveMessage(connection.socket, kMaxMessageBytes, MSG_DONTWAIT);
  if (!message.ok() && message.error().code() == EAGAIN) return;
  if (!message.ok() || message->bytes.empty()) {
    connections_.erase(number);
    return;
  }
  const Result<bool> taken = message->truncated || !message->fds.empty()
                                 ? Result<bool>(Error(EMSGSIZE, "", "message: too long"))
                                 : Take(number, message->bytes);
  if (!taken.ok()) return Refuse(number, taken.error());
  if (!*taken) return Answer(number, {{"ok", true}});
  const auto waits = connections_.find(number);
  if (waits != connections_.end()) waits->second.readable.reset();
}

void CellSocket::Answer(std::uint64_t number, const nlohmann::json& answer) {
  const auto found = connections_.find(number);
  if (found == connections_.end()) return;
  const std::string text = answer.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  (void)sys::SendMessage(found->second.socket, text, {});  // it may have gone
  connections_.erase(found);
}

void CellSocket::Refuse(std::uint64_t number, const Error& error) {
  Answer(number, {{"ok", false}, {"error", error.context()}, {"code", ErrnoName(error.code())}});
}

Result<bool> CellSocket::Take(std::uint64_t number, const std::string& message) {
  const nlohmann::json parsed = TRY(wire::ParseStrictJson(message));
  const std::string type = TRY(wire::MessageType(parsed));
  if (type == "propose") return Propose(connections_.at(number).socket, parsed);
  if (type == "why") return Why(number, parsed);
  return Error(EPERM, "", "type: a cell can only propose, and ask why");
}

Result<bool> CellSocket::Propose(const UniqueFd& socket, const nlohmann::json& message) {
  std::string reason;
  wire::ObjectReader reader(message, "propose");
  reader.Type("propose");
  reader.Text("reason", reason);
  TRY(reader.Finish());
  if (reason.size() > kMaxReasonBytes) return Error(E2BIG, "", "reason: too long");
  const ucred peer = TRY(sys::PeerCredentials(socket));
  services_.proposals->Add(peer.pid, TRY(exec::StartTime(peer.pid)), std::move(reason));
  return false;
}

// Without a command: what was denied last. With one: what it would meet.
Result<bool> CellSocket::Why(std::uint64_t number, const nlohmann::json& message) {
  exec::PreviewOrder order = services_.preview();
  wire::ObjectReader reader(message, "why");
  reader.Type("why");
  reader.MaybeText("path", order.path);
  reader.MaybeTexts("argv", order.argv);
  TRY(reader.Finish());
  if (order.path.empty() != order.argv.empty())
    return Error(EINVAL, "", "path and argv: both or none");
  if (order.path.empty()) {
    const std::string last = services_.last_denial();
    if (last.empty()) return Error(ENOENT, "", "nothing has been denied");
    Answer(number, {{"ok", true}, {"record", nlohmann::json::parse(last, nullptr, false)}});
    return true;
  }
  const ucred peer = TRY(sys::PeerCredentials(connections_.at(number).socket));
  order.pid = peer.pid;
  order.start_time = TRY(exec::StartTime(peer.pid));
  services_.pool.Do(
      [loop = &services_.loop, weak = std::weak_ptr(self_), number, order = std::move(order)] {
        auto preview = std::make_shared<Result<exec::Preview>>(exec::PreviewExec(order));
        loop->Post([weak, number, preview] {
          const auto self = weak.lock();
          if (!self) return;
          if (!preview->ok()) return (*self)->Refuse(number, Described(preview->error()));
          (*self)->Answer(number, {{"ok", true}, {"explanation", ExplanationOf(**preview)}});
        });
      });
  return true;
}

}  // namespace cellrun::rooms
