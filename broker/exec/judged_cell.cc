// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/judged_cell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "lib/sys/file.h"
#include "lib/sys/filter.h"
#include "lib/sys/process.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "lib/sys/uapi.h"

extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*);

namespace cellrun::exec {
namespace {

constexpr unsigned long kBind = 4096, kRecursive = 16384, kRemount = 32, kReadOnly = 1,
                        kPrivate = 1UL << 18;

int StatusOf(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

[[noreturn]] void Die(const char* step) {
  dprintf(STDERR_FILENO, "cell: %s: %s\n", step, strerror(errno));  // NOLINT(concurrency-mt-unsafe)
  _exit(120);
}
void Must(bool good, const char* step) {
  if (!good) Die(step);
}
void MustWrite(const char* path, const std::string& text) {
  Must(sys::WriteExistingFile(path, text).ok(), path);
}

void MapSelf(uid_t uid, gid_t gid) {
  MustWrite("/proc/self/setgroups", "deny");
  MustWrite("/proc/self/uid_map", std::to_string(uid) + " " + std::to_string(uid) + " 1");
  MustWrite("/proc/self/gid_map", std::to_string(gid) + " " + std::to_string(gid) + " 1");
}

void BindReadOnly(const char* from, const char* to) {
  Must(mount(from, to, nullptr, kBind, nullptr) == 0, "bind");
  Must(mount(nullptr, to, nullptr, kBind | kRemount | kReadOnly, nullptr) == 0, "remount");
}

// Returns the shim, opened through a read-only mount.
UniqueFd BuildTree(const char* directory) {
  Must(mount(nullptr, "/", nullptr, kRecursive | kPrivate, nullptr) == 0, "private");
  BindReadOnly("/usr", "/usr");
  Must(mount("tmpfs", directory, "tmpfs", 0, "mode=0755") == 0, "tmpfs");
  Must(mount("proc", "/proc", "proc", 0, nullptr) == 0, "proc");
  Must(chdir(directory) == 0, "chdir");
  Must(close(open("shim", O_CREAT | O_RDWR | O_CLOEXEC, 0755)) == 0, "shim");
  BindReadOnly(CELLRUN_TEST_SHIM, "shim");
  Must(mkdir("kept", 0755) == 0 && mount("tmpfs", "kept", "tmpfs", 0, "mode=0755") == 0, "kept");
  Must(CopyFile("/usr/bin/true", "kept/true"), "kept");
  Must(mount(nullptr, "kept", nullptr, kBind | kRemount | kReadOnly, nullptr) == 0, "kept");
  Result<UniqueFd> shim = sys::OpenAt(AT_FDCWD, "shim", O_RDONLY);
  Must(shim.ok(), "open shim");
  return std::move(shim).value();
}

struct Plan {
  const char* directory;
  uid_t uid;
  gid_t gid;
  bool wait_killable;
  const UniqueFd& control;
  const UniqueFd& output;
  const std::function<int()>& body;
};

[[noreturn]] void RunInit(const Plan& plan) {
  Must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "death signal");
  Must(dup2(plan.output.get(), 1) == 1 && dup2(plan.output.get(), 2) == 2, "dup2");
  MapSelf(plan.uid, plan.gid);
  const UniqueFd shim = BuildTree(plan.directory);
  Must(sys::NoNewPrivileges().ok() && sys::DropCapabilities().ok(), "privileges");
  const std::vector<sock_filter> filter = sys::BuildFilter({});
  const auto flags = plan.wait_killable ? uapi::kSeccompWaitKillableRecv : 0;
  Result<UniqueFd> listener = sys::SeccompNewListener(filter, flags);
  Must(listener.ok(), "filter");
  const std::array fds = {listener->get(), shim.get()};
  Must(sys::SendMessage(plan.control, "ready", fds).ok(), "send");
  listener->Reset();
  Must(sys::ReceiveMessage(plan.control, 16).ok(), "wait");
  const pid_t main = fork();
  if (main == 0) _exit(plan.body());
  int status = 0;
  while (true) {  // as an init does
    const pid_t ended = waitpid(-1, &status, 0);
    if (ended == main) break;
    Must(ended > 0, "waitpid");
  }
  if (WIFSIGNALED(status)) dprintf(2, "cell: main killed by %d\n", WTERMSIG(status));
  _exit(StatusOf(status));
}

class TempDirectory {
 public:
  TempDirectory() { CHECK(mkdtemp(name_.data()) != nullptr); }
  ~TempDirectory() { (void)rmdir(name_.c_str()); }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  [[nodiscard]] const char* name() const { return name_.c_str(); }

 private:
  std::string name_ = "/tmp/cellrun-exec-XXXXXX";
};

std::string Contents(const UniqueFd& file) {
  std::string text;
  std::array<char, 4096> chunk{};
  while (true) {
    const Result<std::size_t> bytes = sys::Pread(file, chunk, static_cast<off_t>(text.size()));
    if (!bytes.ok() || bytes.value() == 0) return text;
    text.append(chunk.data(), bytes.value());
  }
}

}  // namespace

policy::Verdict FakePolicy::Decide(const policy::ExecRequest& request) const {
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  return decide_ ? decide_(request) : Allow();
}
bool FakePolicy::NeedsHash(const policy::ExecImage&) const {
  return wants_hash;
}
std::vector<policy::ExecRequest> FakePolicy::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

policy::Verdict Allow() {
  policy::Verdict verdict;
  verdict.action = policy::Action::kAllow;
  verdict.rule = {.name = "test", .layer = policy::Layer::kProfile, .at = {"test.yaml", 7, 3}};
  return verdict;
}
policy::Verdict Deny(int error) {
  policy::Verdict verdict = Allow();
  verdict.action = policy::Action::kDeny;
  verdict.reason = "publishes code";
  verdict.suggest = "do not";
  verdict.error = error;
  return verdict;
}
FakePolicy::Decider DenyNamed(std::string name, int error) {
  return [name = std::move(name), error](const policy::ExecRequest& request) {
    for (const policy::ExecImage& image : request.images) {
      if (image.path.ends_with(name)) return Deny(error);
    }
    return Allow();
  };
}

std::uint64_t FakeJournal::Append(journal::Record record) {
  const std::lock_guard lock(mutex_);
  if (refuses) return 0;
  records_.push_back(std::move(record));
  return records_.size();
}
void FakeJournal::SetResult(std::uint64_t seq, std::string result) {
  const std::lock_guard lock(mutex_);
  CHECK(seq > 0 && seq <= records_.size());
  records_[seq - 1].result = std::move(result);
}
std::vector<journal::Record> FakeJournal::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}
journal::Record FakeJournal::Last(const std::string& path) const {
  const std::vector<journal::Record> all = records();
  for (auto record = all.rbegin(); record != all.rend(); ++record) {
    if (record->path == path) return *record;
  }
  ADD_FAILURE() << "no record of " << path;
  return {};
}
std::size_t FakeJournal::CountResult(const std::string& result) const {
  std::size_t count = 0;
  for (const journal::Record& record : records()) count += record.result == result ? 1U : 0U;
  return count;
}

int JudgedCell::Run(const std::function<int()>& body) {
  const TempDirectory directory;
  auto [ours, theirs] = sys::SocketPair(SOCK_SEQPACKET).value();
  const UniqueFd captured(memfd_create("output", MFD_CLOEXEC));
  const Plan plan{directory.name(), geteuid(), getegid(), wait_killable, theirs, captured, body};
  clone_args arguments{};
  arguments.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC;
  arguments.exit_signal = SIGCHLD;
  const pid_t init = sys::Clone3(arguments).value();
  if (init == 0) {
    ours.Reset();
    RunInit(plan);
  }
  theirs.Reset();
  sys::ChildProcess child(init, sys::PidfdOpen(init).value());
  Result<sys::Message> ready = sys::ReceiveMessage(ours, 64);
  if (!ready.ok() || ready->fds.size() != 2) {
    ADD_FAILURE() << "the cell did not start: " << Contents(captured);
    return -1;
  }
  policy = std::make_shared<FakePolicy>(decide);
  policy->wants_hash = wants_hash;
  policy->profile_value = profile;
  policy->uniform = uniform;
  journal.refuses = journal_refuses;
  notify::CellFacts facts;
  facts.cell_id = "cell";
  facts.policy = policy;
  facts.journal = &journal;
  if (!without_shim) facts.shim = std::move(ready->fds[1]);
  facts.init_pid = init;
  facts.host_uid = facts.inside_uid = geteuid();
  facts.host_gid = getegid();
  facts.user = "tester";
  facts.observe = observe;
  facts.denials = std::move(denial_file);
  if (equip) equip(facts);
  supervisor_ = notify::Supervisor::Start(
                    std::move(ready->fds[0]), std::move(facts),
                    on_end ? on_end : [](const std::optional<Error>&) {})
                    .value();
  CHECK(sys::SendMessage(ours, "go", {}).ok());
  if (outside) outside(*supervisor_, init);
  if (stop_early) Finish();
  const int status = StatusOf(child.Wait().value());
  if (!on_end) Finish();
  output = Contents(captured);
  return status;
}

void JudgedCell::Finish() {
  if (supervisor_ == nullptr) return;
  counters = supervisor_->counters();
  denials = supervisor_->denials();
  supervisor_.reset();
}

namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): as execv(3) is declared
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}
int Reap(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -ECHILD;
  return StatusOf(status);
}

}  // namespace

int InChild(const std::function<int()>& attempt) {
  // The errno of a failed exec comes back through shared memory: exit statuses are taken.
  auto* error = static_cast<int*>(
      mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  *error = 0;
  const pid_t child = fork();
  if (child == 0) {
    const int status = attempt();
    if (status < 0) *error = -status;
    _exit(status < 0 ? 119 : status);
  }
  const int status = Reap(child);
  const int failed = *error;
  munmap(error, sizeof(int));
  return failed != 0 ? -failed : status;
}
int Spawn(const std::vector<std::string>& argv, const std::string& path) {
  return InChild([&] {
    execv(path.empty() ? argv[0].c_str() : path.c_str(), Pointers(argv).data());
    return -errno;
  });
}
int ExecErrno(const std::vector<std::string>& argv, const std::string& path) {
  return -Spawn(argv, path);
}
int SpawnShared(const std::vector<std::string>& argv) {
  pid_t child = -1;
  const int failed =
      posix_spawn(&child, argv[0].c_str(), nullptr, nullptr, Pointers(argv).data(), environ);
  return failed != 0 ? -failed : Reap(child);
}

bool CopyFile(const char* from, const char* to) {
  const Result<UniqueFd> source = sys::OpenAt(AT_FDCWD, from, O_RDONLY);
  const Result<UniqueFd> target = sys::OpenAt(AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  return source.ok() && target.ok() && sys::WriteAll(*target, Contents(*source)).ok();
}
bool WriteScript(const char* path, const std::string& text) {
  const Result<UniqueFd> target = sys::OpenAt(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  return target.ok() && sys::WriteAll(*target, text).ok();
}

}  // namespace cellrun::exec
