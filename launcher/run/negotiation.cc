// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/negotiation.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "launcher/client/profile_lookup.h"
#include "lib/base/text.h"
#include "lib/base/version.h"
#include "lib/sys/file.h"
#include "lib/sys/memory.h"
#include "lib/sys/terminal.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

// The broker may leave (idle) between our connecting and its accepting.
constexpr int kMaxAttempts = 5;
// How long a broker of another build may take to leave.
constexpr std::chrono::milliseconds kHandOver{2000};

ErrorForm Broken(const Error& error) {
  return {"the conversation with the broker failed", error.ToString(), "cellrun broker logs"};
}

void CopyTerminalSize(wire::RunRequest& request) {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    winsize size{};
    if (ioctl(number, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) continue;
    request.rows = size.ws_row;
    request.columns = size.ws_col;
    return;
  }
}

class Negotiation {
 public:
  Negotiation(wire::RunRequest request, terminal::Streams streams)
      : request_(std::move(request)), streams_(std::move(streams)) {}

  Outcome<Planned> Run() {
    const Result<void> prepared = Prepare();
    if (!prepared.ok()) return Explain(prepared.error());
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      std::variant<LaunchConnection, ErrorForm> opened = LaunchConnection::Open();
      if (ErrorForm* failed = std::get_if<ErrorForm>(&opened)) return std::move(*failed);
      LaunchConnection& connection = std::get<LaunchConnection>(opened);
      // Both at once: the broker reads the request only if it likes our hello, and a round trip is
      // saved.
      Result<void> sent = connection.Send(wire::Encode(wire::Hello{&kVersion[0], &kBuildId[0], 0}));
      if (sent.ok()) sent = SendRequest(connection);
      if (!sent.ok() && sent.error().code() != EPIPE && sent.error().code() != ECONNRESET)
        return Explain(sent.error());
      // While the broker thinks. What is wrong with the request is said before what is wrong here.
      if (!cell_ && !by_root_) cell_.emplace(StartCell(control_, shim_));
      Result<sys::Message> hello = connection.Receive();
      if (!hello.ok()) return Broken(hello.error());
      if (hello->bytes.empty()) continue;  // it left
      if (std::optional<ErrorForm> refused = CheckHello(hello->bytes)) {
        if (HandsOver(connection)) continue;
        return *std::move(refused);
      }
      // The cgroup of a cell of root's comes with the hello.
      if (!cell_) {
        cell_.emplace(StartCell(control_, shim_,
                                hello->fds.empty() ? UniqueFd() : std::move(hello->fds.front())));
      }
      return AwaitPlan(std::move(connection));
    }
    return ErrorForm{"no broker",
                     "it left " + std::to_string(kMaxAttempts) + " times while we connected",
                     "cellrun broker logs"};
  }

 private:
  Result<void> Prepare() {
    shim_ = TRY(sys::OpenAt(AT_FDCWD, TRY(wire::LibexecPath("cellrun-shim")).c_str(), O_RDONLY)
                    .With("cellrun-shim"));
    auto [ours, init_end] = TRY(sys::SocketPair(SOCK_SEQPACKET));
    brokers_end_ = std::move(ours);
    control_ = std::move(init_end);
    const std::string strings = wire::PackArguments(request_);
    if (strings.size() > wire::kMaxStringsBytes)
      return Error(E2BIG, "execve", "arguments and environment");
    strings_ = TRY(sys::MakeSealedMemfd("strings", strings));
    documents_ = TRY(sys::MakeSealedMemfd("documents", wire::PackDocuments(request_.documents)));
    std::copy(streams_.kinds.begin(), streams_.kinds.end(), std::begin(request_.streams));
    CopyTerminalSize(request_);
    message_ = wire::Encode(request_);
    if (message_.size() > wire::kMaxLaunchBytes) return Error(E2BIG, "launch request");
    return {};
  }

  ErrorForm Explain(const Error& error) {
    if (error.code() != E2BIG) return Broken(error);
    return {"the request is too large", error.ToString(),
            "fewer or shorter arguments, variables or --read and --write"};
  }

  Result<void> SendRequest(const LaunchConnection& connection) {
    std::vector<int> fds = {brokers_end_.get(), strings_.get(), documents_.get()};
    AddGiven(fds);
    return connection.Send(message_, fds);
  }
  void AddGiven(std::vector<int>& fds) const {
    for (const UniqueFd& given : streams_.given) {
      if (given.valid()) fds.push_back(given.get());
    }
  }
  Result<void> AnswerRelay(const LaunchConnection& connection) {
    TRY(terminal::RelayOutputs(streams_));
    std::vector<int> fds;
    AddGiven(fds);
    return connection.Send(wire::EncodeStreams(), fds);
  }

  static std::optional<ErrorForm> CheckHello(const std::string& bytes) {
    const Result<nlohmann::json> json = wire::ParseStrictJson(bytes);
    if (!json.ok()) return Broken(json.error());
    const Result<wire::Hello> hello = wire::DecodeHello(*json);
    if (!hello.ok()) {
      const Result<wire::Refusal> refusal = wire::DecodeRefusal(*json);
      if (refusal.ok()) return ErrorForm{refusal->what, refusal->cause, refusal->suggest};
      return Broken(hello.error());
    }
    if (hello->version == &kVersion[0] && hello->build == &kBuildId[0]) return std::nullopt;
    return ErrorForm{"the running broker is of another version",
                     "it is cellrun " + hello->version + " (" + hello->build + "), this is " +
                         &kVersion[0] + " (" + &kBuildId[0] + ")",
                     "cellrun broker stop, which ends its cells, and run the command again"};
  }

  // Whether a broker of another build leaves by itself, having no cells; waits until it is gone.
  static bool HandsOver(const LaunchConnection& connection) {
    const Result<sys::Message> message = connection.ReceiveWithin(kHandOver);
    if (!message.ok()) return false;
    const Result<nlohmann::json> json = wire::ParseStrictJson(message->bytes);
    if (!json.ok() || wire::MessageType(*json).value_or("") != "draining") return false;
    const Result<sys::Message> end = connection.ReceiveWithin(kHandOver);
    return end.ok() && end->bytes.empty();
  }

  Outcome<Planned> AwaitPlan(LaunchConnection connection) {
    brokers_end_.Reset();
    for (;;) {
      const Result<sys::Message> message = connection.Receive();
      if (!message.ok()) return Broken(message.error());
      if (message->bytes == wire::EncodeCgroups()) {
        if (ErrorForm* failed = std::get_if<ErrorForm>(&*cell_)) return std::move(*failed);
        if (auto failed = EnterCgroups(std::get<StartedCell>(*cell_), message->fds))
          return *std::move(failed);
        continue;
      }
      if (message->bytes.empty())
        return ErrorForm{"the broker ended", "it closed the connection without a plan",
                         "cellrun broker logs"};
      if (wire::IsPlan(message->bytes)) {
        if (ErrorForm* failed = std::get_if<ErrorForm>(&*cell_)) return std::move(*failed);
        // To the child first, which reads it on its own core.
        const Result<void> sent = ForwardPlan(std::get<StartedCell>(*cell_), *message);
        if (!sent.ok()) return Broken(sent.error());
        Result<wire::CellPlan> plan = wire::TakePlan(*message);
        if (!plan.ok()) return Broken(plan.error());
        return Build(std::move(connection), std::move(plan).value());
      }
      const Result<nlohmann::json> json = wire::ParseStrictJson(message->bytes);
      const Result<std::string> type = json.ok() ? wire::MessageType(*json) : json.error();
      if (!type.ok()) return Broken(type.error());
      if (*type == "refused") {
        const Result<wire::Refusal> refusal = wire::DecodeRefusal(*json);
        if (!refusal.ok()) return Broken(refusal.error());
        return ErrorForm{refusal->what, refusal->cause, refusal->suggest};
      }
      Result<void> answered = Error(EPROTO, "message", "type: " + *type);
      if (*type == "need") answered = AnswerNeed(connection, *json);
      if (*type == "relay") answered = AnswerRelay(connection);
      if (!answered.ok() && answered.error().code() == ENOENT) return NoSuchBase(answered.error());
      if (!answered.ok()) return Broken(answered.error());
    }
  }

  Outcome<Planned> Build(LaunchConnection connection, wire::CellPlan plan) {
    StartedCell& cell = std::get<StartedCell>(*cell_);
    if (std::optional<ErrorForm> failed = GivePlan(cell, plan)) return *std::move(failed);
    return Planned{std::move(connection), std::move(plan), std::move(cell), std::move(streams_),
                   std::move(control_)};
  }

  [[nodiscard]] ErrorForm NoSuchBase(const Error& error) const {
    return {"the profile " + text::Quote(request_.profile) + " cannot be used",
            "it extends " + text::Escape(error.context()) + ", which is no profile here",
            "cellrun profile list"};
  }

  Result<void> AnswerNeed(const LaunchConnection& connection, const nlohmann::json& message) {
    const std::vector<std::string> wanted = TRY(wire::DecodeNeed(message));
    // A relative file is looked for beside the profile that was named.
    std::string base;
    for (const policy::Source& document : request_.documents) {
      if (document.layer == policy::Layer::kProfile) base = document.origin;
    }
    const std::vector<policy::Source> found = FindExtended(wanted, base);
    if (found.empty()) {
      std::string names;
      for (const std::string& name : wanted) names += (names.empty() ? "" : ", ") + name;
      return Error(ENOENT, "extends", names);
    }
    const UniqueFd memory = TRY(sys::MakeSealedMemfd("documents", wire::PackDocuments(found)));
    const int fd = memory.get();
    return connection.Send(wire::EncodeDocuments(found), std::span(&fd, 1));
  }

  wire::RunRequest request_;
  terminal::Streams streams_;
  std::string message_;
  std::optional<Outcome<StartedCell>> cell_;
  const bool by_root_ = geteuid() == 0;
  UniqueFd shim_, brokers_end_, control_, strings_, documents_;
};

}  // namespace

Outcome<Planned> Negotiate(wire::RunRequest request, terminal::Streams streams) {
  return Negotiation(std::move(request), std::move(streams)).Run();
}

}  // namespace cellrun::launcher
