// SPDX-License-Identifier: Apache-2.0
// What leaving a cell costs, beside a direct connection on the host's loopback and beside user-mode
// networks; and what other cells notice of one that floods. Times are taken inside.
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/wire/gateway.h"
#include "tests/bench/broker_process.h"
#include "tests/bench/idle_cell.h"
#include "tests/bench/runners.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

using nlohmann::json;

constexpr char kSink[] = "47001";
constexpr char kEcho[] = "47002";
constexpr char kInnerSink[] = "47003";
constexpr char kInnerEcho[] = "47004";
constexpr char kServer[] = "ADDRESS";  // what a runner replaces by where it finds the server

std::string Program(const Setting& setting) {
  return setting.cells + "/traffic";
}

// Everything runs; these rules over a deny.
std::string Profile(const Setting& setting, const std::string& name, const std::string& rules) {
  const std::string path = setting.prefix + "/../" + name + ".yaml";
  std::ofstream(path) << "cellrun: 1\nname: " << name
                      << "\nextends: [base]\ncommands: {default: allow}\n"
                         "network:\n  default: deny\n  rules: ["
                      << rules << "]\n";
  return path;
}

std::string Letting(const std::string& to) {
  return "{to: " + to + ", ports: [" + kSink + ", " + kEcho + "], then: allow}";
}

Words InCell(const Setting& setting, const std::string& profile, const Words& argv,
             const Words& flags = {}) {
  Words words = {setting.prefix + "/bin/cellrun",
                 "run",
                 "-w",
                 setting.work,
                 "-p",
                 profile,
                 "--read",
                 setting.cells};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back("--");
  words.insert(words.end(), argv.begin(), argv.end());
  return words;
}

Words At(const std::string& address, Words argv) {
  for (std::string& word : argv) {
    if (word == kServer) word = address;
  }
  return argv;
}

Words After(Words prefix, const Words& argv) {
  prefix.insert(prefix.end(), argv.begin(), argv.end());
  return prefix;
}

std::string DefaultGateway() {
  const Finished route = RunCommand({"ip", "-4", "route", "show", "default"});
  std::istringstream words(route.out);
  std::string word;
  while (words >> word && word != "via") {
  }
  return words >> word ? word : "";
}

// A namespace with a slirp4netns, as long as this lives.
class Slirp {
 public:
  Slirp()
      : namespace_({"unshare", "--user", "--map-root-user", "--net", "sh", "-c",
                    "echo up; read -r forever"}),
        slirp_({"slirp4netns", "--configure", "--mtu=65520", "--ready-fd=1",
                std::to_string(namespace_.pid()), "tap0"}) {}
  [[nodiscard]] Words Enter() const {
    return {"nsenter",  "--user",
            "--net",    "--preserve-credentials",
            "--target", std::to_string(namespace_.pid())};
  }

 private:
  IdleCell namespace_, slirp_;
};

bool Has(const std::string& program) {
  return RunCommand({"sh", "-c", "command -v " + program}).status == 0;
}

// The server's loopback as each of them reaches it.
struct Field {
  std::unique_ptr<Slirp> slirp;
  std::vector<Runner> runners;
};
Field Prepare(const Setting& setting, const std::string& profile) {
  Field field;
  field.runners = {{"bare", [](const Words& argv) { return At("127.0.0.1", argv); }},
                   {"cellrun", [&setting, profile](const Words& argv) {
                      return InCell(setting, profile, At(&wire::kHostAddress[0], argv));
                    }}};
  // Some of them lose connections and never end, or say much.
  const auto add = [&](const std::string& name, const std::string& address, Words prefix) {
    const Words limit = {"timeout", "--kill-after=1", "20"};
    prefix.insert(prefix.begin(), {"sh", "-c", "exec \"$@\" 2>/dev/null", "sh"});
    prefix.insert(prefix.end(), limit.begin(), limit.end());
    const Runner runner = {name,
                           [=](const Words& argv) { return After(prefix, At(address, argv)); }};
    const Finished tried =
        RunCommand(runner.wrap({Program(setting), "kept", kServer, kEcho, "10"}));
    if (tried.status == 0) return field.runners.push_back(runner);
    fprintf(stderr, "note: no figures for %s: it cannot run here\n", name.c_str());
  };
  if (Has("slirp4netns")) {
    field.slirp = std::make_unique<Slirp>();
    add("slirp4netns", "10.0.2.2", field.slirp->Enter());
  } else {
    fprintf(stderr, "note: no figures for slirp4netns: it is not installed\n");
  }
  const std::string gateway = DefaultGateway();
  if (Has("pasta") && !gateway.empty()) {
    Words pasta = {"pasta", "--config-net", "--quiet"};
    if (getuid() == 0)
      pasta.insert(pasta.end(), {"--runas", "0"});  // else it is nobody, and may not
    pasta.push_back("--");
    add("pasta", gateway, pasta);
  } else {
    fprintf(stderr,
            "note: no figures for pasta: not installed, or this host has no default route\n");
  }
  return field;
}

struct Spread {
  double median = -1, worst = -1;  // seconds
};
Spread SpreadOf(const Finished& finished) {
  std::istringstream out(finished.out);
  Spread spread;
  if (finished.status == 0 && out >> spread.median >> spread.worst)
    return {.median = spread.median / 1e9, .worst = spread.worst / 1e9};
  return {};
}

// Seconds that all processors together have worked.
double Busy() {
  std::ifstream file("/proc/stat");
  std::string word;
  file >> word;
  double ticks = 0, all = 0;
  for (int column = 0; column < 8 && file >> ticks; ++column) {
    const bool idle = column == 3 || column == 4;
    if (!idle) all += ticks;
  }
  return all / static_cast<double>(sysconf(_SC_CLK_TCK));
}

class Rows {
 public:
  explicit Rows(const Setting& setting) : setting_(setting) {}

  // The median of one operation.
  void Operation(const char* name, const Words& argv, int rounds = 9) {
    Add(name, rounds, [argv, this](const Runner& by) {
      return SpreadOf(RunCommand(by.wrap(argv), setting_.work)).median;
    });
  }
  // All of it, divided.
  void Total(const char* name, const Words& argv, double count, int rounds = 7) {
    Add(name, rounds, [argv, count, this](const Runner& by) {
      const Finished finished = RunCommand(by.wrap(argv), setting_.work);
      return finished.status == 0 ? strtod(finished.out.c_str(), nullptr) / 1e9 / count : -1.0;
    });
  }
  // The processors' time of it, divided.
  void Work(const char* name, const Words& argv, double count, int rounds = 7) {
    Add(name, rounds, [argv, count, this](const Runner& by) {
      const double before = Busy();
      const Finished finished = RunCommand(by.wrap(argv), setting_.work);
      return finished.status == 0 ? (Busy() - before) / count : -1.0;
    });
  }
  [[nodiscard]] json Compare(const std::vector<Runner>& runners, const char* heading) const {
    return CompareRunners(setting_, runners, heading, jobs_);
  }

 private:
  void Add(const char* name, int rounds, std::function<double(const Runner&)> seconds) {
    jobs_.push_back({.name = name,
                     .seconds = std::move(seconds),
                     .unit = 1e6,
                     .unit_name = "µs",
                     .rounds = rounds});
  }
  const Setting& setting_;
  std::vector<Job> jobs_;
};

json Outgoing(const Setting& setting, const std::string& profile) {
  const std::string program = Program(setting);
  const Field field = Prepare(setting, profile);
  constexpr double kMegabytes = 500;
  const auto stream = [&](const char* connections) -> Words {
    return {program, "stream", kServer, kSink, connections, "500000000"};
  };
  Rows rows(setting);
  rows.Operation("a connect", {program, "connect", kServer, kEcho, "1000"});
  rows.Operation("a request on a new one", {program, "request", kServer, kEcho, "1000"});
  rows.Operation("a request on a kept one", {program, "kept", kServer, kEcho, "5000"});
  rows.Total("connects from 4 threads, each", {program, "storm", kServer, kEcho, "4", "8000"},
             8000);
  rows.Total("1 stream, a megabyte", stream("1"), kMegabytes);
  rows.Total("8 streams, a megabyte", stream("8"), kMegabytes);
  rows.Total("1000 streams, a megabyte", stream("1000"), kMegabytes, 5);
  rows.Work("CPU of 1 stream, a megabyte", stream("1"), kMegabytes);
  return rows.Compare(field.runners, "leaving");
}

// Over a link that somebody has shaped to 1 Gbit/s (run.sh).
json Link(const Setting& setting) {
  const char* const address = getenv("CELLRUN_BENCH_LINK");  // NOLINT(concurrency-mt-unsafe)
  if (address == nullptr) {
    fprintf(stderr, "note: no figures for a shaped link: making one needs root\n");
    return nullptr;
  }
  const std::string profile = Profile(setting, "link", Letting(address));
  const std::vector<Runner> runners = {
      {"bare", [=](const Words& argv) { return At(address, argv); }},
      {"cellrun",
       [&, profile](const Words& argv) { return InCell(setting, profile, At(address, argv)); }}};
  Rows rows(setting);
  rows.Total("1 stream, a megabyte", {Program(setting), "stream", kServer, kSink, "1", "150000000"},
             150, 5);
  return rows.Compare(runners, "over 1 Gbit/s");
}

// The host connects to what runs in a cell; `bare` to the same program outside.
json Inbound(const Setting& setting) {
  const std::string program = Program(setting);
  const std::string profile = Profile(setting, "inbound", "");
  const IdleCell outside({program, "serve", "127.0.0.1", kInnerSink, kInnerEcho});
  const auto publish = [](const char* outer, const char* inner) {
    return std::string("127.0.0.1:") + outer + ":" + inner;
  };
  const IdleCell inside(InCell(
      setting, profile, {program, "serve", "0.0.0.0", kInnerSink, kInnerEcho},
      {"--publish", publish("47103", kInnerSink), "--publish", publish("47104", kInnerEcho)}));
  const auto through = [](const char* sink, const char* echo) {
    return [=](Words argv) {
      for (std::string& word : argv) {
        if (word == kSink) word = sink;
        if (word == kEcho) word = echo;
      }
      return At("127.0.0.1", argv);
    };
  };
  const std::vector<Runner> runners = {{"bare", through(kInnerSink, kInnerEcho)},
                                       {"cellrun", through("47103", "47104")}};
  Rows rows(setting);
  rows.Operation("a request on a new one", {program, "request", kServer, kEcho, "1000"});
  rows.Operation("a request on a kept one", {program, "kept", kServer, kEcho, "5000"});
  rows.Total("1 stream, a megabyte", {program, "stream", kServer, kSink, "1", "500000000"}, 500);
  return rows.Compare(runners, "into a published port");
}

json Start(const Setting& setting, const std::string& profile) {
  const auto run = [&](const std::string& with) {
    return [&setting, argv = InCell(setting, with, {"/bin/true"})] {
      const Finished finished = RunCommand(argv, setting.work);
      return finished.status == 0 ? finished.seconds : -1;
    };
  };
  const auto standings =
      Compare(setting.rounds > 0 ? setting.rounds : 100,
              {{"without", run(Profile(setting, "closed", ""))}, {"with", run(profile)}});
  const double without = standings[0].median_seconds * 1e3;
  const double with = standings[1].median_seconds * 1e3;
  printf("start without a gateway %.2f ms, with one %.2f ms: %.2f ms more, %.2f ×\n", without, with,
         with - without, standings[1].ratio);
  return {{"without_ms", without}, {"with_ms", with}, {"ratio", standings[1].ratio}};
}

json Held(const Setting& setting, const std::string& profile) {
  constexpr long kCount = 2000;
  const std::string program = Program(setting);
  const auto hold = [&](const std::string& count) {
    return IdleCell(
        InCell(setting, profile, {program, "hold", &wire::kHostAddress[0], kEcho, count}));
  };
  { const IdleCell first = hold("10"); }
  const pid_t broker = BrokerPid(setting);
  const long before = ResidentKib(broker);
  const IdleCell holding = hold(std::to_string(kCount));
  const long during = ResidentKib(broker);
  const double each = static_cast<double>(during - before) / kCount;
  printf("%ld idle connections: %.1f KiB of the broker each (%ld KiB before)\n", kCount, each,
         before);
  return {{"count", kCount}, {"kib_each", each}, {"before_kib", before}};
}

// The median of the rounds' medians and p99, alone and beside the other cell.
json Beside(const char* name, int rounds, const std::function<Spread()>& measure,
            const std::function<IdleCell()>& disturb) {
  std::array<std::vector<double>, 4> values;
  for (int round = 0; round < rounds; ++round) {
    const Spread alone = measure();
    const IdleCell other = disturb();
    const Spread beside = measure();
    if (alone.median < 0 || beside.median < 0) {
      fprintf(stderr, "bench: %s failed\n", name);
      exit(1);
    }
    const std::array<double, 4> all = {alone.median, alone.worst, beside.median, beside.worst};
    for (std::size_t i = 0; i < all.size(); ++i) values.at(i).push_back(all.at(i) * 1e6);
  }
  json one = {{"name", name}};
  constexpr std::array<const char*, 4> kNames = {"alone_p50_us", "alone_p99_us", "beside_p50_us",
                                                 "beside_p99_us"};
  for (std::size_t i = 0; i < kNames.size(); ++i) one[kNames.at(i)] = Median(values.at(i));
  printf("  %-44s %6.0f %8.0f   %6.0f %8.0f µs\n", name, Median(values[0]), Median(values[1]),
         Median(values[2]), Median(values[3]));
  return one;
}

json Neighbours(const Setting& setting, const std::string& profile) {
  const std::string program = Program(setting);
  const std::string names =
      Profile(setting, "names", "{to: [git.example.com, '*.example.net'], then: allow}");
  const Words ask = {program, "ask", &wire::kGatewayAddress[0], "git.example.com", "3000"};
  const auto answers = [&] {
    return SpreadOf(RunCommand(InCell(setting, names, ask), setting.work));
  };
  const auto execs = [&] {
    return SpreadOf(
        RunCommand(InCell(setting, profile,
                          {setting.cells + "/pace", "1000", "1000", setting.cells + "/minimal"}),
                   setting.work));
  };
  const auto flood = [&] {
    return IdleCell(InCell(setting, names,
                           {program, "flood", &wire::kGatewayAddress[0], "example.net", "50000"}));
  };
  const auto pour = [&] {
    return IdleCell(InCell(setting, profile, {program, "pour", &wire::kHostAddress[0], kSink}));
  };
  const int rounds = setting.rounds > 0 ? setting.rounds : 5;
  printf("beside another cell                            alone: p50, p99   beside: p50, p99\n");
  json all = json::array();
  (void)answers();
  const pid_t broker = BrokerPid(setting);
  {
    const IdleCell once = flood();
    (void)answers();
  }
  const long before = ResidentKib(broker);
  all.push_back(Beside("a DNS answer, 50,000 queries a second", rounds, answers, flood));
  const long after = ResidentKib(broker);
  all.back()["broker_grew_kib"] = after - before;
  all.push_back(Beside("an exec, a relay at full speed", rounds, execs, pour));
  printf("the broker grew by %ld KiB in %d floods\n", after - before, rounds);
  return all;
}

}  // namespace

json MeasureNetwork(const Setting& setting) {
  const IdleCell server({Program(setting), "serve", "127.0.0.1", kSink, kEcho});
  return Outgoing(setting, Profile(setting, "out", Letting("host")));
}

json MeasureGateway(const Setting& setting) {
  const IdleCell server({Program(setting), "serve", "127.0.0.1", kSink, kEcho});
  const std::string profile = Profile(setting, "out", Letting("host"));
  json all;
  all["start"] = Start(setting, profile);
  all["link"] = Link(setting);
  all["inbound"] = Inbound(setting);
  all["held"] = Held(setting, profile);
  all["beside"] = Neighbours(setting, profile);
  return all;
}

}  // namespace cellrun::bench
