// SPDX-License-Identifier: Apache-2.0
// 10,000 asks of 200 cells, each of which is a process that waits: what they cost the broker, how
// fast they are listed and answered, and whether anything is left of them.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/bench/api.h"
#include "tests/bench/broker_process.h"
#include "tests/bench/idle_cell.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kCells = 200;
constexpr std::size_t kOfEach = 50;
constexpr std::size_t kAsks = kCells * kOfEach;
constexpr std::chrono::seconds kPatience{120};
constexpr double kNoMore = 20;  // seconds

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Ends the program where it does not come true: the figures would be of something else.
void Await(const char* what, const std::function<bool()>& holds) {
  for (const auto begin = Clock::now(); !holds();) {
    if (Clock::now() - begin > kPatience) {
      fprintf(stderr, "bench: not in %ld s: %s\n", static_cast<long>(kPatience.count()), what);
      exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

std::string WriteProfile(const Setting& setting) {
  const std::string path = setting.prefix + "/../pending.yaml";
  std::ofstream(path) << "cellrun: 1\nname: pending\nextends: [base]\n"
                         "approvals: {timeout: 900s}\ncommands:\n  default: allow\n  rules:\n"
                         "    - {when: {exe: id}, then: ask, reason: says who somebody is}\n";
  return path;
}

// Asks so often for each line that it is told; no two alike.
IdleCell AskingCell(const Setting& setting, const std::string& profile) {
  const std::string script = "exec 2>/dev/null; echo up; while read -r turn; do for i in $(seq " +
                             std::to_string(kOfEach) +
                             "); do id \"$turn-$i\" </dev/null >/dev/null & done; done";
  return IdleCell({setting.prefix + "/bin/cellrun", "run", "-w", setting.work, "-p", profile, "--",
                   "bash", "-c", script});
}

std::size_t Descriptors(pid_t pid) {
  DIR* const directory = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  std::size_t count = 0;
  if (directory == nullptr) return 0;
  while (readdir(directory) != nullptr) ++count;  // NOLINT(concurrency-mt-unsafe): of our own
  closedir(directory);
  return count;
}

// Seconds of processor time.
double Used(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(std::min(text.rfind(") "), text.size())));
  std::string skipped;
  for (int i = 0; i < 12; ++i) fields >> skipped;  // ")", the state, and ten more
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// A process of a cell: one that has a number in a further pid namespace too.
bool IsInCell(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("NSpid:")) continue;
    std::istringstream numbers(line.substr(6));
    return std::distance(std::istream_iterator<long>(numbers), {}) > 1;
  }
  return false;
}

struct Crowd {
  explicit Crowd(const Setting& from) : setting(from), profile(WriteProfile(from)) {}

  // Until so many wait; the seconds that took.
  double Ask(const char* turn) {
    const auto begin = Clock::now();
    asks.clear();
    for (const IdleCell& cell : cells) cell.Tell(turn);
    // All of them, or as many as there are when no more come.
    auto last = begin;
    for (std::size_t before = 0; asks.size() < kAsks && Since(last) < kNoMore;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      asks = PendingAsks();
      if (asks.size() != before) last = Clock::now();
      before = asks.size();
    }
    return Since(begin);
  }
  [[nodiscard]] std::size_t Left() const {
    std::size_t left = 0;
    for (const json& ask : asks) left += IsInCell(ask["pid"].get<pid_t>()) ? 1U : 0U;
    return left;
  }

  const Setting& setting;
  const std::string profile;
  std::vector<IdleCell> cells;
  std::vector<json> asks;
};

double ListMs(const Setting& setting) {
  std::vector<double> times;
  for (int i = 0; i < 7; ++i) {
    const Finished list = RunCommand({setting.prefix + "/bin/cellrun", "approvals", "list"});
    times.push_back(list.seconds * 1e3);
  }
  return Median(times);
}

// `approvals watch` on a terminal of 80 by 24, from its start on.
struct Watched {
  double first_ms = 0;      // until it shows something of the list
  double broker_share = 0;  // of a processor, while nothing happens
  double watch_share = 0;
  long broker_kib = 0, watch_kib = 0;
};

void Drain(int terminal, std::chrono::milliseconds time) {
  std::array<char, 65536> bytes{};
  for (const auto end = Clock::now() + time; Clock::now() < end;) {
    pollfd polled{.fd = terminal, .events = POLLIN, .revents = 0};
    if (poll(&polled, 1, 20) > 0 && read(terminal, bytes.data(), bytes.size()) <= 0) return;
  }
}

Watched Watch(const Setting& setting, pid_t broker) {
  const std::string program = setting.prefix + "/bin/cellrun";
  winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  const auto begin = Clock::now();
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  if (pid == 0) {
    execle(
        program.c_str(), "cellrun", "approvals", "watch", nullptr,
        std::array<const char*, 4>{
            "TERM=xterm", "LANG=C.UTF-8",
            strdup((std::string("CELLRUN_RUNTIME_DIR=") + getenv("CELLRUN_RUNTIME_DIR")).c_str()),
            nullptr}
            .data());
    _exit(127);
  }
  Watched watched;
  std::string seen;
  std::array<char, 65536> bytes{};
  while (seen.find("id ") == std::string::npos && Since(begin) < 30) {
    pollfd polled{.fd = terminal, .events = POLLIN, .revents = 0};
    if (poll(&polled, 1, 100) <= 0) continue;
    const ssize_t got = read(terminal, bytes.data(), bytes.size());
    if (got <= 0) break;
    seen.append(bytes.data(), static_cast<std::size_t>(got));
  }
  watched.first_ms = Since(begin) * 1e3;
  constexpr std::chrono::seconds kIdle{3};
  Drain(terminal, std::chrono::seconds(1));
  const double broker_before = Used(broker);
  const double watch_before = Used(pid);
  Drain(terminal, kIdle);
  watched.broker_share = (Used(broker) - broker_before) / static_cast<double>(kIdle.count());
  watched.watch_share = (Used(pid) - watch_before) / static_cast<double>(kIdle.count());
  watched.broker_kib = ResidentKib(broker);
  watched.watch_kib = ResidentKib(pid);
  (void)!write(terminal, "q", 1);
  Drain(terminal, std::chrono::milliseconds(500));
  close(terminal);
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
  return watched;
}

// Seconds until every one is answered, from several clients.
double DenyAll(const std::vector<json>& asks) {
  constexpr std::size_t kClients = 4;
  const auto begin = Clock::now();
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      for (std::size_t at = next++; at < asks.size(); at = next++) (void)Answer(asks[at], "deny");
    });
  }
  for (std::thread& client : clients) client.join();
  return Since(begin);
}

}  // namespace

json MeasurePending(const Setting& setting) {
  Crowd crowd(setting);
  RunCommand(setting.InCell({"/bin/true"}), setting.work);
  const pid_t broker = BrokerPid(setting);
  const auto settle = [] { std::this_thread::sleep_for(std::chrono::seconds(3)); };
  json all = json::object();
  const auto show = [&](const char* what, const char* key, double value, const char* unit) {
    printf("  %-58s %10.1f %s\n", what, value, unit);
    fflush(stdout);
    all[key] = value;
  };
  const auto resident = [&] { return static_cast<double>(ResidentKib(broker)); };
  printf("%zu asks of %zu cells\n", kAsks, kCells);
  settle();
  const std::size_t descriptors = Descriptors(broker);
  show("broker (RSS), no cell", "idle_kib", resident(), "KiB");
  while (crowd.cells.size() < kCells) crowd.cells.push_back(AskingCell(setting, crowd.profile));
  settle();
  const std::size_t of_cells = Descriptors(broker);
  const double with_cells = resident();
  show("broker, 200 cells", "cells_kib", with_cells, "KiB");
  show("all of them ask", "ask_s", crowd.Ask("first"), "s");
  settle();
  const double with_asks = resident();
  show("asks that wait", "asks", static_cast<double>(crowd.asks.size()), "");
  show("broker, with them", "asks_kib", with_asks, "KiB");
  show("for each ask", "ask_kib", (with_asks - with_cells) / static_cast<double>(crowd.asks.size()),
       "KiB");
  show("approvals list", "list_ms", ListMs(setting), "ms");
  show("broker, after lists", "listed_kib", resident(), "KiB");
  const Watched watched = Watch(setting, broker);
  show("approvals watch, until it shows some", "watch_first_ms", watched.first_ms, "ms");
  show("broker, while watch is open", "watched_kib", static_cast<double>(watched.broker_kib),
       "KiB");
  show("watch itself", "watch_kib", static_cast<double>(watched.watch_kib), "KiB");
  show("broker's share of a processor meanwhile", "watched_share", watched.broker_share * 100, "%");
  show("watch's share", "watch_share", watched.watch_share * 100, "%");
  const auto one = Clock::now();
  const Finished approved =
      RunCommand({setting.prefix + "/bin/cellrun", "approve",
                  crowd.asks[crowd.asks.size() / 2]["id"].get<std::string>()});
  show("cellrun approve, of one", "approve_ms", Since(one) * 1e3, "ms");
  if (approved.status != 0) fprintf(stderr, "bench: it was not approved\n");
  show("all others are denied", "deny_s", DenyAll(crowd.asks), "s");
  Await("an empty queue", [] { return !AnythingIsAsked(); });
  Await("no process that waits", [&] { return crowd.Left() == 0; });
  Await("as many descriptors as before the asks", [&] { return Descriptors(broker) <= of_cells; });
  settle();
  show("broker, all denied", "denied_kib", resident(), "KiB");

  show("all of them ask again", "again_s", crowd.Ask("second"), "s");
  settle();
  show("asks that wait", "again", static_cast<double>(crowd.asks.size()), "");
  show("broker, with them", "again_kib", resident(), "KiB");
  const auto stop = Clock::now();
  for (const IdleCell& cell : crowd.cells) cell.Terminate();
  crowd.cells.clear();
  show("all cells end at once", "end_s", Since(stop), "s");
  Await("an empty queue", [] { return !AnythingIsAsked(); });
  Await("no process of a cell", [&] { return crowd.Left() == 0; });
  Await("as many descriptors as before the cells",
        [&] { return Descriptors(broker) <= descriptors; });
  settle();
  show("broker, no cell again", "ended_kib", resident(), "KiB");
  return all;
}

}  // namespace cellrun::bench
