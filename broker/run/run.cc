// SPDX-License-Identifier: Apache-2.0
#include "broker/run/run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/log.h"
#include "lib/sys/file.h"
#include "lib/sys/memory.h"
#include "lib/sys/terminal.h"
#include "lib/wire/launch.h"

namespace cellrun::run {
namespace {

using wire::ControlHeader;

constexpr std::size_t kMaxPacket = sizeof(ControlHeader) + sizeof(wire::RunCommand);
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kSignalled = 128;
// For the keeper to come up and the command's process to be there.
constexpr std::chrono::seconds kStartLimit{20};

std::string Packet(std::uint32_t type, std::int32_t a = 0, std::int32_t b = 0,
                   const std::string& payload = "") {
  ControlHeader header{};
  header.type = type;
  header.a = a;
  header.b = b;
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  return bytes + payload;
}

// A side that does not read loses what it is told; its end of file follows.
void Tell(const UniqueFd& to, const std::string& packet, const UniqueFd* fd = nullptr) {
  const int number = fd != nullptr ? fd->get() : -1;
  (void)sys::SendMessage(to, packet,
                         fd != nullptr ? std::span(&number, 1) : std::span<const int>());
}

std::optional<ControlHeader> HeaderOf(const sys::Message& message) {
  ControlHeader header{};
  if (message.truncated || message.bytes.size() < sizeof header) return std::nullopt;
  memcpy(&header, message.bytes.data(), sizeof header);
  if (header.payload_bytes != message.bytes.size() - sizeof header) return std::nullopt;
  return header;
}

Result<wire::RunSurroundings> CheckOffer(const sys::Message& message) {
  const std::optional<ControlHeader> header = HeaderOf(message);
  wire::RunSurroundings with{};
  if (!header || header->type != wire::kRunOffer || header->payload_bytes != sizeof with)
    return Error(EPROTO, "offer");
  memcpy(&with, message.bytes.data() + sizeof *header, sizeof with);
  if (with.count > wire::kMaxRunDescriptors || message.fds.size() != std::size_t{1} + with.count)
    return Error(EPROTO, "offer");
  for (std::uint32_t i = 1; i < with.count; ++i) {
    if (with.numbers[i] <= with.numbers[i - 1]) return Error(EPROTO, "offer");
  }
  return with;
}

// Of descriptors that lead into another cell: a directory would be a way into the caller's tree.
bool MayCross(const UniqueFd& fd, unsigned number) {
  const Result<struct stat> facts = sys::Fstat(fd);
  if (!facts.ok()) return false;
  if (number > STDERR_FILENO) return S_ISFIFO(facts->st_mode) || S_ISREG(facts->st_mode);
  return !S_ISDIR(facts->st_mode) && !S_ISBLK(facts->st_mode);
}

// A pipe that is opened again by name (/dev/stdin, /dev/fd/63) is a question of who made it, which
// for the root's cells is another user. Nobody can name it but its holders.
void OpenToHolders(const UniqueFd& fd) {
  constexpr long kPipeFs = 0x50495045;
  constexpr mode_t kAll = 0666;
  struct statfs facts {};
  if (fstatfs(fd.get(), &facts) == 0 && facts.f_type == kPipeFs) (void)sys::Fchmod(fd, kAll);
}

// SIGSTOP leaves a process no time to say so, and only its parent is told.
bool IsStopped(pid_t pid) {
  constexpr std::size_t kMaxStatBytes = 4096;
  const Result<std::string> stat = sys::ReadWholeFileAt(
      AT_FDCWD, ("/proc/" + std::to_string(pid) + "/stat").c_str(), kMaxStatBytes);
  // The name before it may hold anything.
  const std::size_t at = stat.ok() ? stat->rfind(") ") : std::string::npos;
  return at != std::string::npos && at + 2 < stat->size() && (*stat)[at + 2] == 'T';
}

}  // namespace

Run::Run(loop::Loop& loop, loop::Janitor& janitor, Caller caller,
         std::function<void(const End& end)> ended)
    : loop_(loop),
      janitor_(janitor),
      ended_(std::move(ended)),
      shim_(std::move(caller.shim)),
      caller_pid_(caller.pid),
      relayed_(caller.relayed) {
  wire::ShimMessage message{};
  message.order = wire::kShimRun;
  if (relayed_) message.flags = wire::kShimNoTerminal;
  (void)sys::SetNonBlocking(shim_, true);
  Tell(shim_, {reinterpret_cast<const char*>(&message), sizeof message});
  shim_watch_ = loop_.WatchReadable(shim_, [this] { OnShim(); });
  LimitStart();
}

// A caller that is stopped offers its streams when it goes on.
void Run::LimitStart() {
  deadline_ = loop_.After(kStartLimit, [this] {
    if (granted_) return;
    if (!surroundings_ && IsStopped(caller_pid_)) return LimitStart();
    Refuse(kNotExecutable, "cellrun: the command could not be started in time\n");
  });
}

Run::~Run() {
  CloseElsewhere(std::move(given_));
}

// The last holder's close may block, as the cell chose what these are (SO_LINGER, a slow file
// system).
void Run::CloseElsewhere(std::vector<UniqueFd> fds) {
  if (fds.empty()) return;
  janitor_.Do(
      [held = std::make_shared<std::vector<UniqueFd>>(std::move(fds))]() { held->clear(); });
}

void Run::Start(Command command, Place place) {
  if (over_) return;
  command_ = std::move(command);
  place_ = std::move(place);
  OrderIfReady();
}

void Run::Refuse(int status, const std::string& text) {
  if (over_) return;
  Tell(shim_, Packet(wire::kRunFailed, status, 0, text.substr(0, wire::kMaxRunText)));
  Finish({.wait_status = status_, .why = text});
}

void Run::OnShim() {
  for (;;) {
    Result<sys::Message> message = sys::ReceiveMessage(shim_, kMaxPacket, MSG_DONTWAIT);
    if (!message.ok() && message.error().code() == EAGAIN) return;
    if (!message.ok() || message->bytes.empty()) {
      // Ended as the command did, or killed: its keeper sees the end of file, and kills what still
      // runs.
      return Finish({.wait_status = status_, .why = status_ ? "" : "its caller has gone"});
    }
    FromShim(*message);
    if (!surroundings_) TakeOffer(std::move(*message));
    if (over_) return;
  }
}

void Run::TakeOffer(sys::Message message) {
  const Result<wire::RunSurroundings> offer = CheckOffer(message);
  given_ = std::move(message.fds);
  if (!offer.ok()) return Refuse(kNotExecutable, "cellrun: its streams are not understood\n");
  surroundings_ = offer.value();
  OrderIfReady();
}

void Run::FromShim(const sys::Message& message) {
  const std::optional<ControlHeader> header = HeaderOf(message);
  if (!header || !ordered_ || status_) return;
  if (header->type == wire::kRunSignal && header->a == SIGCONT) stopped_ = held_ = false;
  if (header->type == wire::kRunSignal && header->a >= 1 && header->a <= 64)
    Tell(keeper_, Packet(wire::kRunSignal, header->a, header->b == 1 ? 1 : 0));
  if (header->type == wire::kRunForeground)
    Tell(keeper_, Packet(wire::kRunForeground, header->a != 0 ? 1 : 0));
}

void Run::OrderIfReady() {
  if (!place_ || !surroundings_ || ordered_) return;
  const Result<void> sent = SendOrder();
  if (!sent.ok())
    return Refuse(kNotExecutable, "cellrun: cannot start it: " + sent.error().ToString() + "\n");
  ordered_ = true;
  keeper_watch_ = loop_.WatchReadable(keeper_, [this] { OnKeeper(); });
}

// Outputs that are one and the same stay so. A terminal as input would be an output too.
Result<void> Run::ReplaceStreams() {
  if (!relayed_) return {};
  OutputRelay::Rules rules{.secrets = std::move(place_->secrets)};
  if (place_->output_bytes > 0) rules.most_bytes = place_->output_bytes;
  relay_ = std::make_unique<OutputRelay>(loop_, std::move(rules),
                                         OutputRelay::Callbacks{.done =
                                                                    [this] {
                                                                      relay_.reset();
                                                                      if (status_) TellEnd();
                                                                    },
                                                                .exceeded = place_->exceeded});
  std::optional<std::size_t> first;
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < surroundings_->count; ++i) {
    const std::uint8_t number = surroundings_->numbers[i];
    UniqueFd& fd = given_[1 + i];
    // Nothing but the streams: what comes out elsewhere would not be seen.
    if (number > STDERR_FILENO) break;
    if (number == STDIN_FILENO) {
      if (sys::IsTerminal(fd)) fd = TRY(sys::OpenAt(AT_FDCWD, "/dev/null", O_RDONLY));
    } else {
      const struct stat facts = TRY(sys::Fstat(fd));
      if (first && facts.st_dev == first_output_.st_dev && facts.st_ino == first_output_.st_ino) {
        fd = TRY(sys::Duplicate(given_[*first]));
      } else {
        fd = TRY(relay_->Add(std::move(fd)));
        if (!first) first_output_ = facts;
        first = first.value_or(1 + i);
      }
    }
    ++kept;
  }
  surroundings_->count = kept;
  if (!first) relay_.reset();
  return {};
}

Result<void> Run::SendOrder() {
  TRY(ReplaceStreams());
  wire::RunCommand order{};
  order.surroundings = *surroundings_;
  order.argument_count = static_cast<std::uint32_t>(command_.argv.size());
  order.environment_count = static_cast<std::uint32_t>(command_.environment.size());
  order.has_directory = place_->other_cell ? 0 : 1;
  std::string block = command_.program + '\0' + command_.directory + '\0' +
                      wire::PackStrings(command_.argv) + wire::PackStrings(command_.environment);
  if (block.size() > wire::kMaxBlockBytes) return Error(E2BIG, "execve");
  order.block_bytes = static_cast<std::uint32_t>(block.size());
  const UniqueFd strings = TRY(sys::MakeSealedMemfd("cellrun-command", block));
  if (relayed_) {
    explicit_bzero(block.data(), block.size());
    for (std::string& entry : command_.environment) explicit_bzero(entry.data(), entry.size());
  }

  std::vector<int> fds = {strings.get()};
  if (order.has_directory != 0) fds.push_back(given_[0].get());
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < surroundings_->count; ++i) {
    const std::uint8_t number = surroundings_->numbers[i];
    if (place_->other_cell && !MayCross(given_[1 + i], number)) {
      if (number <= STDERR_FILENO) return Error(EACCES, "", "one of its streams cannot be passed");
      continue;
    }
    if (place_->other_cell) OpenToHolders(given_[1 + i]);
    order.surroundings.numbers[kept++] = number;
    fds.push_back(given_[1 + i].get());
  }
  order.surroundings.count = kept;
  for (const int resource : place_->own_limits)
    order.surroundings.limits[resource] = {RLIM_INFINITY, RLIM_INFINITY};

  auto [ours, theirs] = TRY(sys::SocketPair(SOCK_SEQPACKET));
  TRY(sys::PassCredentials(ours));
  TRY(sys::SetNonBlocking(ours, true));
  const std::string payload(reinterpret_cast<const char*>(&order), sizeof order);
  TRY(sys::SendMessage(ours, Packet(wire::kRunOrder, 0, 0, payload), fds));
  TRY(place_->keep(std::move(theirs)));
  keeper_ = std::move(ours);
  CloseElsewhere(std::exchange(given_, {}));
  return {};
}

void Run::OnKeeper() {
  for (;;) {
    const Result<sys::Message> message = sys::ReceiveMessage(keeper_, kMaxPacket, MSG_DONTWAIT);
    if (!message.ok() && message.error().code() == EAGAIN) return;
    if (!message.ok() || message->bytes.empty()) {
      keeper_watch_.reset();
      if (!status_) Refuse(kNotExecutable, "cellrun: the command was lost\n");
      return;
    }
    FromKeeper(*message);
    if (over_ || keeper_watch_ == nullptr) return;
  }
}

void Run::FromKeeper(const sys::Message& message) {
  const std::optional<ControlHeader> header = HeaderOf(message);
  if (!header || status_) return;
  switch (header->type) {
    case wire::kRunReady:
      return OnReady(message.sender);
    case wire::kRunTerminal:
      if (message.fds.size() == 1) Tell(shim_, Packet(wire::kRunTerminal), message.fds.data());
      return;
    case wire::kRunStopped:
      // Ours, also where the caller goes on already.
      if (std::exchange(owed_, false)) return;
      stopped_ = true;
      return Tell(shim_, Packet(wire::kRunStopped, header->a));
    case wire::kRunEnded:
      return OnEnded(header->a);
    case wire::kRunFailed:
      return OnFailed(header->a, header->b);
    default:
      return;
  }
}

void Run::OnEnded(int status) {
  status_ = status;
  if (place_->explain) explanation_ = place_->explain(status);
  // Nothing that the command has left may print on; what it has printed goes out first.
  if (relay_ != nullptr) return place_->end();
  TellEnd();
}

void Run::TellEnd() {
  if (over_) return;
  if (explanation_.empty()) return Tell(shim_, Packet(wire::kRunEnded, *status_));
  const int status = *status_;
  Refuse(WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status), explanation_);
}

void Run::OnReady(pid_t pid) {
  if (granted_) return;
  const Result<void> granted =
      pid > 0 ? place_->grant(pid) : Result<void>(Error(ESRCH, "", "nobody is there to run it"));
  if (!granted.ok())
    return Refuse(kNotExecutable, "cellrun: cannot start it: " + granted.error().ToString() + "\n");
  granted_ = true;
  deadline_.reset();
  Tell(keeper_, Packet(wire::kRunGo));
  LookAtCaller();
}

// What was stopped so that nobody could tell. That it goes on is said by itself (SIGCONT).
void Run::LookAtCaller() {
  constexpr std::chrono::milliseconds kEvery{250};
  look_ = loop_.After(kEvery, [this] { LookAtCaller(); });
  if (stopped_ || held_ || !IsStopped(caller_pid_)) return;
  held_ = owed_ = true;
  Tell(keeper_, Packet(wire::kRunSignal, SIGSTOP, 1));
}

void Run::OnFailed(int code, int step) {
  constexpr std::array kSteps = {"execute it",          "enter its working directory",
                                 "connect its streams", "open its terminal",
                                 "set its limits",      "start a process"};
  const auto number = static_cast<std::size_t>(std::clamp(step, 0, 5));
  Refuse(code == ENOENT ? kNotFound : kNotExecutable,
         std::string("cellrun: cannot ") + kSteps.at(number) + ": " + ErrnoText(code) + "\n");
}

void Run::Finish(End end) {
  if (over_) return;
  over_ = true;
  shim_watch_.reset();
  keeper_watch_.reset();
  deadline_.reset();
  look_.reset();
  shim_.Reset();
  keeper_.Reset();
  loop_.Post([ended = std::move(ended_), end = std::move(end)] { ended(end); });
}

}  // namespace cellrun::run
