// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/watch.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <vector>

#include "launcher/client/error_form.h"
#include "launcher/watch/broker_link.h"
#include "launcher/watch/curses_screen.h"
#include "launcher/watch/model.h"
#include "lib/base/unique_fd.h"

namespace cellrun::watch {
namespace {

using std::chrono::steady_clock;

constexpr int kFailed = 1;
constexpr int kKilledBase = 128;
constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

// The signals of a person at a terminal, read from a descriptor.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int number : kSignals) sigaddset(&set_, number);
    KeepStops();
    (void)sigprocmask(SIG_BLOCK, &set_, &before_);
    descriptor_ = UniqueFd(signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  [[nodiscard]] int fd() const { return descriptor_.get(); }
  std::optional<int> Next() const {
    signalfd_siginfo info{};
    const bool got = read(descriptor_.get(), &info, sizeof(info)) == sizeof(info);
    return got ? std::optional<int>(static_cast<int>(info.ssi_signo)) : std::nullopt;
  }
  // As the shell expects it; returns when the process goes on.
  void Stop() const {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    struct sigaction standard {};
    struct sigaction ours {};
    standard.sa_handler = SIG_DFL;
    (void)sigaction(SIGTSTP, &standard, &ours);
    (void)raise(SIGTSTP);
    (void)sigprocmask(SIG_UNBLOCK, &stop, nullptr);  // stops here
    (void)sigprocmask(SIG_BLOCK, &stop, nullptr);
    (void)sigaction(SIGTSTP, &ours, nullptr);
  }

 private:
  // With the default action ncurses ignores SIGTSTP while it draws, and setting a signal to be
  // ignored discards one that is pending (signal(7), POSIX 2.4.3): Ctrl-Z would be lost. It leaves
  // any other action alone (_nc_signal_handler in lib_tstp.c).
  void KeepStops() {
    struct sigaction action {};
    (void)sigaction(SIGTSTP, nullptr, &action);
    if (action.sa_handler == SIG_IGN) {
      sigdelset(&set_, SIGTSTP);  // whoever started us wants no stops
    } else {
      action.sa_handler = [](int) {};  // never runs: it is blocked
      (void)sigaction(SIGTSTP, &action, nullptr);
    }
  }

  sigset_t set_{}, before_{};
  UniqueFd descriptor_;
};

class View {
 public:
  View(const Options& options, CursesScreen& screen, const Signals& signals, Charset charset)
      : screen_(screen),
        signals_(signals),
        size_(screen.Resize()),
        model_(charset, size_.first, size_.second, steady_clock::now()),
        link_(options.api_socket, model_) {}

  int Run() {
    while (!status_) {
      const Moment now = steady_clock::now();
      link_.Tick(now);
      model_.Tick(now);
      if (!CarryOrders(now)) break;
      screen_.Draw(model_.Draw(now));
      Await();
    }
    return status_.value_or(0);
  }

 private:
  // False: the person leaves.
  bool CarryOrders(Moment now) {
    for (std::vector<Order> orders = model_.TakeOrders(); !orders.empty();
         orders = model_.TakeOrders()) {
      for (Order& order : orders) {
        if (order.kind == Order::Kind::kQuit) return false;
        link_.Carry(std::move(order), now);
      }
    }
    return true;
  }

  void Await() {
    std::vector<pollfd> set = {{STDIN_FILENO, POLLIN, 0}, {signals_.fd(), POLLIN, 0}};
    link_.AppendTo(set);
    const Moment now = steady_clock::now();
    const Moment next = std::min(model_.NextTick(now), link_.NextTick(now));
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
    if (poll(set.data(), set.size(), static_cast<int>(std::clamp<std::int64_t>(wait, 0, 60'000))) <=
        0) {
      return;
    }
    // Signals first: what was typed before a resize was typed at another screen.
    if (set[1].revents != 0) TakeSignals();
    link_.Handle(set, steady_clock::now());
    if ((set[0].revents & POLLIN) != 0) {
      TakeKeys();
    } else if (set[0].revents != 0) {
      status_ = kKilledBase + SIGHUP;  // the terminal is gone
    }
  }

  void TakeKeys() {
    bool any = false;
    while (const auto key = screen_.Read()) {
      any = true;
      if (key->kind == Key::Kind::kRedraw) {
        screen_.Repaint();
      } else {
        model_.Press(*key, steady_clock::now());
      }
    }
    // Readable without a key: a part of one, or the end of the terminal.
    if (any) {
      empty_reads_ = 0;
    } else if (++empty_reads_ > kMaxEmptyReads) {
      status_ = kKilledBase + SIGHUP;
    }
  }

  void TakeSignals() {
    while (const auto number = signals_.Next()) {
      switch (*number) {
        case SIGWINCH:
          TakeSize();
          break;
        case SIGTSTP:
          screen_.Suspend();
          signals_.Stop();
          [[fallthrough]];
        case SIGCONT:
          screen_.Resume();
          TakeSize();
          model_.Resumed(steady_clock::now());
          break;
        default:
          status_ = kKilledBase + *number;
      }
    }
  }

  void TakeSize() {
    size_ = screen_.Resize();
    model_.Resize(size_.first, size_.second, steady_clock::now());
  }

  static constexpr int kMaxEmptyReads = 100;
  CursesScreen& screen_;
  const Signals& signals_;
  std::pair<std::size_t, std::size_t> size_;
  Model model_;
  BrokerLink link_;
  int empty_reads_ = 0;
  std::optional<int> status_;
};

bool WantsColor(const std::string& when) {
  const char* no_color = getenv("NO_COLOR");
  if (when == "auto") return no_color == nullptr || *no_color == '\0';
  return when == "always";
}

}  // namespace

int Watch(const Options& options) {
  const Signals signals;  // before the terminal changes
  std::string problem;
  const Charset charset = ChooseCharset();
  auto screen = CursesScreen::Open(charset, WantsColor(options.color), problem);
  if (!screen) {
    launcher::PrintError(
        {"cannot show the approvals on this terminal", problem, "cellrun approvals list"});
    return kFailed;
  }
  const int status = View(options, *screen, signals, charset).Run();
  return status;
}

}  // namespace cellrun::watch
