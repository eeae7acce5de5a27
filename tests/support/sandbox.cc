// SPDX-License-Identifier: Apache-2.0
#include "tests/support/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/support/remains.h"
#include "tests/support/time_factor.h"

namespace cellrun::test {
namespace {

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

// Runs `attempt` in a child: what it tries cannot be undone.
bool WorksInChild(int (*attempt)()) {
  const pid_t pid = fork();
  if (pid == 0) _exit(attempt() == 0 ? 0 : 1);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0;
}

}  // namespace

std::string MissingReason(Feature feature) {
  switch (feature) {
    case Feature::kUserNamespaces:
      return WorksInChild([] { return unshare(CLONE_NEWUSER); })
                 ? ""
                 : "user namespaces cannot be made here";
    case Feature::kLandlock:
      return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0
                 ? ""
                 : "the kernel has no Landlock";
    case Feature::kOverlayTmpfs:
      return WorksInChild([] { return unshare(CLONE_NEWUSER | CLONE_NEWNS); })
                 ? ""
                 : "mount namespaces cannot be made here";
    case Feature::kProcChildren:
      return access("/proc/self/task", R_OK) == 0 ? "" : "/proc is not mounted";
  }
  return "unknown feature";
}

void Sandbox::SetUp() {
  scratch_ = Variable("CELLRUN_TEST_SCRATCH");
  ASSERT_FALSE(scratch_.empty()) << "run through tests/support/run_in_lane (./dev test)";
  ASSERT_FALSE(Variable("CELLRUN_TEST_ROOT").empty());
  workspace_ = scratch_ + "/work";
  for (const char* name : {"/run", "/state", "/config"}) {
    ASSERT_EQ(mkdir((scratch_ + name).c_str(), 0700), 0) << name << errno;
  }
  ASSERT_EQ(mkdir(workspace_.c_str(), 0755), 0);
}

// Cgroups that its broker has noted; a killed one leaves them to the next, which never comes here.
void Sandbox::RemoveCgroups() const {
  std::error_code code;
  for (const auto& note :
       std::filesystem::directory_iterator(RuntimeDirectory() + "/cgroups", code)) {
    const std::filesystem::path cgroup = std::filesystem::read_symlink(note.path(), code);
    if (!sockets_may_stay_) ADD_FAILURE() << "left behind: cgroup " << cgroup;
    (void)rmdir(cgroup.c_str());  // it may be in a mount namespace that is gone
  }
}

void Sandbox::TearDown() {
  if (scratch_.empty()) return;
  if (BrokerPid() != 0) {
    const Outcome stop = Cellrun({"broker", "stop", "--force"});
    EXPECT_EQ(stop.status, 0) << "broker stop --force: " << stop;
  }
  const auto left = WaitForNoDescendants(std::chrono::seconds(10));
  for (const auto& process : left) ADD_FAILURE() << "left behind: process " << process;
  for (const auto& mount : MountsMentioning(scratch_)) {
    ADD_FAILURE() << "left behind: mount " << mount;
  }
  RemoveCgroups();
  if (!sockets_may_stay_) {
    for (const auto& socket : SocketsBelow(RuntimeDirectory())) {
      ADD_FAILURE() << "left behind: socket " << socket;
    }
  }
}

Command Sandbox::CellrunCommand(const Words& arguments, const Options& options) const {
  Command command;
  command.argv = {Prefix() + "/bin/cellrun"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.environment = InheritedEnvironment();
  for (const char* name :
       {"CELLRUN_TEST_LANE", "CELLRUN_TEST_SCRATCH", "CELLRUN_TEST_ROOT", "CELLRUN_TEST_AGENTS"}) {
    command.environment.erase(name);
  }
  command.environment["CELLRUN_RUNTIME_DIR"] = RuntimeDirectory();
  command.environment["CELLRUN_STATE_DIR"] = Path("state");
  command.environment["CELLRUN_CONFIG_DIR"] = Path("config");
  for (const auto& [name, value] : options.environment) command.environment[name] = value;
  command.directory = options.directory.empty() ? workspace_ : options.directory;
  command.input = options.input;
  command.hold_input = options.hold_input;
  command.stdin_fd = options.stdin_fd;
  command.stdout_fd = options.stdout_fd;
  command.stderr_fd = options.stderr_fd;
  command.in_child = options.in_child;
  command.time_limit = options.time_limit;
  return command;
}

Words Sandbox::RunArguments(const Words& argv, const Options& options) const {
  Words arguments = {"run"};
  if (!options.profile.empty()) {
    arguments.emplace_back("--profile");
    arguments.push_back(options.profile);
  }
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), argv.begin(), argv.end());
  return arguments;
}

Outcome Sandbox::Cellrun(const Words& arguments, const Options& options) {
  return RunCommand(CellrunCommand(arguments, options));
}

Outcome Sandbox::Run(const Words& argv, const Options& options) {
  return Cellrun(RunArguments(argv, options), options);
}

Process Sandbox::Start(const Words& argv, const Options& options) {
  return Process(CellrunCommand(RunArguments(argv, options), options));
}

Outcome Sandbox::Shell(const std::string& script, const Options& options) {
  return Run({"bash", "-c", script}, options);
}

Outcome Sandbox::Bare(const Words& argv, const Options& options) {
  Command command = CellrunCommand({}, options);
  command.argv = argv;
  return RunCommand(std::move(command));
}

std::vector<nlohmann::json> Sandbox::History(const Words& filters) {
  Words arguments = {"history", "-o", "jsonl"};
  arguments.insert(arguments.end(), filters.begin(), filters.end());
  const Outcome outcome = Cellrun(arguments);
  EXPECT_EQ(outcome.status, 0) << outcome;
  std::vector<nlohmann::json> records;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    records.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
    EXPECT_TRUE(records.back().is_object()) << "not a JSON object: " << line;
    if (!records.back().is_object() || !records.back().contains("of")) continue;
    const nlohmann::json later = std::move(records.back());
    records.pop_back();
    for (auto& record : records) {
      if (record["seq"] == later["of"]) record["result"] = later["result"];
    }
  }
  return records;
}

bool Sandbox::Until(const std::function<bool()>& holds, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit * TimeFactor();
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

pid_t Sandbox::StartBroker() {
  const Outcome outcome = Cellrun({"broker", "start"});
  EXPECT_EQ(outcome.status, 0) << outcome;
  const pid_t pid = BrokerPid();
  EXPECT_GT(pid, 0) << "no broker after `broker start`";
  return pid;
}

pid_t Sandbox::BrokerPid() const {
  for (const pid_t pid : DescendantsRunning("cellrun-broker")) {
    // One that has ended and waits to be reaped by us has no executable any more.
    return pid;
  }
  return 0;
}

std::string Sandbox::Path(const std::string& name) const {
  return scratch_ + "/" + name;
}

std::string Sandbox::Work(const std::string& name) const {
  return name.empty() ? workspace_ : workspace_ + "/" + name;
}

std::string Sandbox::Home(const std::string& name) const {
  return name.empty() ? scratch_ + "/home" : scratch_ + "/home/" + name;
}

std::string Sandbox::Prefix() {
  return Variable("CELLRUN_TEST_ROOT") + "/prefix";
}

std::string Sandbox::Data(const std::string& name) {
  return Variable("CELLRUN_TEST_ROOT") + "/data/" + name;
}

std::string Sandbox::Probe() {
  return Variable("CELLRUN_TEST_ROOT") + "/cells/probe";
}

Words Sandbox::ProbeFlags() {
  return {"--read", Variable("CELLRUN_TEST_ROOT") + "/cells"};
}

bool Sandbox::IsRootLane() {
  return geteuid() == 0;
}

std::string Sandbox::Write(const std::string& path, std::string_view content, mode_t mode) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  EXPECT_TRUE(file.good()) << "writing " << path;
  EXPECT_EQ(chmod(path.c_str(), mode), 0) << path;
  return path;
}

std::string Sandbox::Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Sandbox::Exists(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0;
}

std::string Sandbox::WriteProfile(std::string_view yaml) {
  return Write(Path("profiles/p" + std::to_string(++profiles_) + ".yaml"), yaml);
}

std::string Sandbox::OpenProfile() {
  return WriteProfile(
      "cellrun: 1\n"
      "name: open\n"
      "extends: [base]\n"
      "commands: {default: allow}\n");
}

}  // namespace cellrun::test
