// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <deque>
#include <nlohmann/json.hpp>

#include "launcher/terminal/channel.h"
#include "launcher/terminal/output_filter.h"
#include "launcher/terminal/raw_mode.h"
#include "lib/sys/file.h"
#include "lib/sys/memory.h"
#include "lib/sys/process.h"
#include "lib/sys/terminal.h"

namespace cellrun::launcher {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using terminal::Channel;
using terminal::Endpoint;
using terminal::OutputFilter;

constexpr milliseconds kSecondTermWithin{2000};
constexpr milliseconds kAfterHangup{2000};
constexpr milliseconds kReportAfterEnd{
    10'000};  // of init, until the broker must have said what happened
constexpr milliseconds kRestAfter{100};
constexpr milliseconds kQuietAfterEnd{1000};  // somebody outside the cell still holds a stream open

class Session {
 public:
  Session(const LaunchConnection& connection, StartedCell& cell, terminal::Streams streams,
          const HeldSignals& signals, bool filter_output, std::uint64_t output_bytes)
      : connection_(connection),
        cell_(cell),
        signals_(signals.descriptor()),
        streams_(std::move(streams)),
        filter_output_(filter_output) {
    if (output_bytes > 0) budget_.left = output_bytes;
  }

  SessionResult Run() {
    (void)signal(SIGPIPE, SIG_IGN);  // a closed reader is seen as EPIPE and passed on
    ConnectPipes();
    while (!Finished()) Turn();
    Close();
    return std::move(result_);
  }

 private:
  // ---- Set-up.

  // Our copies of the user's streams: 0 and 1 themselves are then let go, so that the user's other
  // programs learn when the command has closed them.
  void ConnectPipes() {
    input_ = terminal::StandardEndpoint(STDIN_FILENO);
    output_ = terminal::StandardEndpoint(STDOUT_FILENO);
    output_is_terminal_ = sys::IsTerminal(output_.fd);
    if (streams_.ours[0].valid()) RelayInput(terminal::OwnEndpoint(std::move(streams_.ours[0])));
    if (streams_.ours[1].valid()) {
      channels_.emplace_back(terminal::OwnEndpoint(std::move(streams_.ours[1])), std::move(output_),
                             FilterFor(output_is_terminal_, output_filter_), &budget_);
    }
    if (streams_.ours[2].valid()) {
      channels_.emplace_back(terminal::OwnEndpoint(std::move(streams_.ours[2])),
                             terminal::StandardEndpoint(STDERR_FILENO),
                             FilterFor(isatty(STDERR_FILENO) == 1, error_filter_), &budget_);
    }
    if (!streams_.pty()) {
      input_.fd.Reset();
      output_.fd.Reset();
    }
    for (UniqueFd& given : streams_.given) given.Reset();
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int number : {STDIN_FILENO, STDOUT_FILENO}) (void)dup2(null.get(), number);
  }
  OutputFilter* FilterFor(bool is_terminal, OutputFilter& filter) {
    return is_terminal && filter_output_ ? &filter : nullptr;
  }

  void RelayInput(Endpoint sink) {
    struct stat facts {};
    if (fstat(input_.fd.get(), &facts) == 0 && S_ISREG(facts.st_mode)) {
      unread_ = UniqueFd(fcntl(streams_.given[0].get(), F_DUPFD_CLOEXEC, 3));
      input_file_ = UniqueFd(fcntl(input_.fd.get(), F_DUPFD_CLOEXEC, 3));
    }
    // A terminal's foreground job reads what was typed; the same terminal is asked for its size and
    // replies later.
    if (sys::IsTerminal(input_.fd))
      terminal_ = UniqueFd(fcntl(input_.fd.get(), F_DUPFD_CLOEXEC, 3));
    channels_.emplace_back(std::move(input_), std::move(sink));
    input_channel_ = &channels_.back();
  }

  void ConnectTerminal(UniqueFd master) {
    master_ = std::move(master);
    const auto copy = [&] {
      return terminal::OwnEndpoint(UniqueFd(fcntl(master_.get(), F_DUPFD_CLOEXEC, 3)));
    };
    const bool input_is_terminal = sys::IsTerminal(input_.fd);
    const UniqueFd& screen = input_is_terminal ? input_.fd : output_.fd;
    terminal_ = UniqueFd(fcntl(screen.get(), F_DUPFD_CLOEXEC, 3));
    if (input_is_terminal) {
      Result<terminal::RawMode> raw = terminal::RawMode::Enter(terminal_);
      if (raw.ok()) raw_.emplace(std::move(raw).value());
      if (raw_) terminal::CopyKeyboardSettings(raw_->before(), master_);
    }
    CopyWindowSize();
    channels_.emplace_back(std::move(input_), copy());
    input_channel_ = &channels_.back();
    constexpr char kEndOfInput[] = "\x04";
    if (!input_is_terminal) input_channel_->SetFarewell(&kEndOfInput[0]);
    channels_.emplace_back(copy(), std::move(output_),
                           FilterFor(output_is_terminal_, output_filter_), &budget_);
  }

  // ---- One round.

  [[nodiscard]] bool Finished() {
    if (!over_) return false;
    bool all_done = true;
    for (Channel& channel : channels_) all_done &= channel.done() || &channel == input_channel_;
    if (all_done) return true;
    return sys::MonotonicNow() > quiet_until_ && NothingToWrite();
  }
  [[nodiscard]] bool NothingToWrite() const {
    for (const Channel& channel : channels_) {
      if (&channel != input_channel_ && channel.unwritten() > 0) return false;
    }
    return true;
  }

  void Turn() {
    std::vector<pollfd> poll_set;
    poll_set.push_back(
        {.fd = over_ ? -1 : connection_.socket().get(), .events = POLLIN, .revents = 0});
    poll_set.push_back({.fd = signals_.get(), .events = POLLIN, .revents = 0});
    poll_set.push_back(
        {.fd = init_ended_ ? -1 : cell_.init.pidfd().get(), .events = POLLIN, .revents = 0});
    for (Channel& channel : channels_) channel.AddTo(poll_set);
    int ready = poll(poll_set.data(), poll_set.size(), Timeout());
    if (ready == 0 && rest_at_ && sys::MonotonicNow() > *rest_at_) {
      rest_at_.reset();
      ready = sys::PollAtRest(poll_set, Timeout());
    }
    if (ready < 0) return;  // EINTR: SIGSTOP and SIGCONT
    // Channels first: their slots belong to this poll, and messages may add channels.
    for (Channel& channel : channels_) {
      channel.Run(poll_set);
      if (over_ && channel.moved_since_asked()) quiet_until_ = sys::MonotonicNow() + kQuietAfterEnd;
    }
    if (budget_.ended && !std::exchange(result_.output_ended, true)) OnOutputEnd();
    if (poll_set[1].revents != 0) OnSignals();
    if (poll_set[0].revents != 0) OnBroker();
    if (poll_set[2].revents != 0 && !init_ended_) {
      init_ended_ = true;
      deadline_ = sys::MonotonicNow() + kReportAfterEnd;
    }
    if (deadline_ && sys::MonotonicNow() > *deadline_) OnDeadline();
  }
  [[nodiscard]] int Timeout() const {
    nanoseconds until = nanoseconds::max();
    if (deadline_) until = std::min(until, *deadline_);
    if (rest_at_) until = std::min(until, *rest_at_);
    if (over_) until = std::min(until, quiet_until_);
    if (until == nanoseconds::max()) return -1;
    const auto left = std::chrono::ceil<milliseconds>(until - sys::MonotonicNow());
    return static_cast<int>(std::max<milliseconds::rep>(left.count(), 0)) + 1;
  }

  void OnOutputEnd() {
    if (over_) return StopOutput();
    (void)connection_.Send(wire::EncodeOutputEnd());  // a dead broker is seen as such
    deadline_ = sys::MonotonicNow() + kReportAfterEnd;
  }
  void StopOutput() {
    for (Channel& channel : channels_) {
      if (channel.spent()) channel.StopReading();
    }
  }
  void OnDeadline() {
    deadline_.reset();
    if (over_) return;
    if (init_ended_) return Lose("the broker does not say how the cell ended");
    // SIGHUP was not enough; or the broker does not end what prints too much.
    EndCell(result_.output_ended ? SIGKILL : SIGHUP);
  }

  // ---- The broker.

  void OnBroker() {
    while (!over_) {
      Result<sys::Message> message = connection_.ReceiveNow();
      if (!message.ok() && message.error().code() == EAGAIN) return;
      if (!message.ok()) return Lose("the broker cannot be heard: " + message.error().ToString());
      if (message->bytes.empty()) return Lose("the broker ended; its cells end with it");
      const Result<void> handled = OnMessage(std::move(*message));
      if (!handled.ok())
        return Lose("the broker sent a message that is not understood: " +
                    handled.error().ToString());
    }
  }
  Result<void> OnMessage(sys::Message message) {
    const nlohmann::json json = TRY(wire::ParseStrictJson(message.bytes));
    const std::string type = TRY(wire::MessageType(json));
    if (type == "terminal" && streams_.pty() && message.fds.size() == 1 && !master_.valid()) {
      ConnectTerminal(std::move(message.fds[0]));
      return {};
    }
    if (type == "exit") {
      result_.report = TRY(wire::DecodeExitReport(json));
      BeOver();
      return {};
    }
    if (type == "refused") {
      const wire::Refusal refusal = TRY(wire::DecodeRefusal(json));
      Lose(refusal.cause.empty() ? refusal.what : refusal.what + ": " + refusal.cause);
      return {};
    }
    return Error(EPROTO, "message", "type: " + type);
  }
  void Lose(std::string why) {
    if (over_) return;
    result_.lost = std::move(why);
    (void)cell_.init.Kill();  // ESRCH: it has ended
    BeOver();
  }
  // The cell is dead: nobody writes any more, and what was written is passed on.
  void BeOver() {
    over_ = true;
    deadline_.reset();
    quiet_until_ = sys::MonotonicNow() + kQuietAfterEnd;
    if (input_channel_ != nullptr) input_channel_->StopReading();
    StopOutput();
  }

  // ---- The user.

  void OnSignals() {
    std::array<signalfd_siginfo, 8> arrived{};
    const ssize_t got = read(signals_.get(), arrived.data(), sizeof arrived);
    if (got <= 0) return;
    const auto count = static_cast<std::size_t>(got) / sizeof arrived[0];
    for (std::size_t i = 0; i < count; ++i) OnSignal(static_cast<int>(arrived.at(i).ssi_signo));
  }
  void OnSignal(int number) {
    switch (number) {
      case SIGWINCH:
        return CopyWindowSize();
      case SIGTSTP:
        return StopOurselves();
      case SIGCONT:
        // Stopped by SIGSTOP, and the shell has used the terminal meanwhile.
        if (raw_) raw_->Resume();
        return CopyWindowSize();
      case SIGHUP:
        deadline_ = sys::MonotonicNow() + kAfterHangup;
        break;
      case SIGTERM: {
        const nanoseconds now = sys::MonotonicNow();
        if (last_term_ && now - *last_term_ < kSecondTermWithin) return EndCell(SIGTERM);
        last_term_ = now;
        break;
      }
      default:
        break;
    }
    Forward(number);
  }
  void Forward(int number) {
    if (!over_)
      (void)connection_.Send(wire::EncodeSignal(number));  // a dead broker is seen as such
  }
  void EndCell(int number) {
    if (over_) return;
    result_.ended_by_signal = number;
    (void)cell_.init.Kill();  // the broker reports the end
  }
  // SIGSTOP for the command: it leads a session of its own, where the kernel ignores SIGTSTP.
  void StopOurselves() {
    if (raw_) {
      raw_->Suspend();
    } else {
      Forward(SIGSTOP);
    }
    (void)raise(SIGSTOP);
    if (raw_) {
      raw_->Resume();
      CopyWindowSize();
    } else {
      Forward(SIGCONT);
    }
  }
  void CopyWindowSize() {
    if (!master_.valid()) return;
    const Result<winsize> size = sys::GetWindowSize(terminal_);
    if (size.ok() && size->ws_row != 0)
      (void)sys::SetWindowSize(master_, *size);  // the kernel then signals the foreground group
  }

  // ---- The end.

  void Close() {
    (void)cell_.init.Kill();  // ESRCH: it has ended
    (void)cell_.init.Wait();
    PutBackUnread();
    channels_.clear();
    if (terminal_.valid() && output_filter_.saw_query()) terminal::DropPendingReplies(terminal_);
    raw_.reset();
  }
  // What was read ahead of the command belongs to whoever reads this file next.
  void PutBackUnread() {
    int in_pipe = 0;
    if (!unread_.valid() || ioctl(unread_.get(), FIONREAD, &in_pipe) != 0) return;
    const off_t unread = in_pipe + static_cast<off_t>(input_channel_->unwritten());
    if (unread > 0) (void)lseek(input_file_.get(), -unread, SEEK_CUR);
  }

  const LaunchConnection& connection_;
  StartedCell& cell_;
  const UniqueFd& signals_;
  terminal::Streams streams_;
  const bool filter_output_;
  bool output_is_terminal_ = false;

  Endpoint input_, output_;
  UniqueFd unread_, input_file_;  // a regular file as input: the pipe's other end, and the file
  UniqueFd terminal_, master_;
  std::optional<terminal::RawMode> raw_;
  OutputFilter output_filter_, error_filter_;
  terminal::OutputBudget budget_;
  std::deque<Channel> channels_;  // does not move them
  Channel* input_channel_ = nullptr;

  std::optional<nanoseconds> deadline_, last_term_;
  // When what starting needed is let go of: a short command is over before, a long one mostly
  // waits.
  std::optional<nanoseconds> rest_at_ = sys::MonotonicNow() + kRestAfter;
  nanoseconds quiet_until_{0};
  bool over_ = false;
  bool init_ended_ = false;
  SessionResult result_;
};

}  // namespace

SessionResult RunSession(const LaunchConnection& connection, StartedCell& cell,
                         terminal::Streams streams, const HeldSignals& signals, bool filter_output,
                         std::uint64_t output_bytes) {
  return Session(connection, cell, std::move(streams), signals, filter_output, output_bytes).Run();
}

}  // namespace cellrun::launcher
