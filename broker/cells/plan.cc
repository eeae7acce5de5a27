// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/plan.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

#include "broker/cells/absent.h"
#include "broker/cells/below.h"
#include "broker/cells/plan_limits.h"
#include "lib/policy/syscalls.h"
#include "lib/policy/tool_rules.h"
#include "lib/sys/file.h"
#include "lib/wire/gateway.h"

namespace cellrun::cells {
namespace {

using wire::MountKind;
using wire::MountStep;

// `root: host`: what of the host's root a cell sees, read-only.
constexpr std::array kHostRoot = {"/usr",   "/bin",    "/sbin", "/lib", "/lib32",
                                  "/lib64", "/libx32", "/etc",  "/opt"};
// Secrets of the host below /etc: hidden whatever the profile says.
constexpr std::array kHostSecrets = {"/etc/shadow",      "/etc/shadow-", "/etc/gshadow",
                                     "/etc/gshadow-",    "/etc/sudoers", "/etc/sudoers.d",
                                     "/etc/ssl/private", "/etc/ssh",     "/etc/security/opasswd",
                                     "/etc/krb5.keytab", "/etc/cellrun"};
// What /proc tells about the host's kernel beyond the cell's own tasks, or lets a privileged writer
// do.
constexpr std::array kHiddenProc = {
    "/proc/acpi",   "/proc/kcore",       "/proc/keys",       "/proc/latency_stats",
    "/proc/scsi",   "/proc/sched_debug", "/proc/timer_list", "/proc/sysrq-trigger",
    "/proc/kmsg",   "/proc/kallsyms",    "/proc/config.gz",  "/proc/mtrr",
    "/proc/asound", "/proc/key-users",   "/proc/swaps"};
constexpr std::array kDevices = {"null", "zero", "full", "random", "urandom", "tty"};
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kSmallTmpfs = 64ULL << 20;
constexpr std::uint64_t kHomeTmpfs = 1ULL << 30;
// Of each kind, with the opt-in `userns`: a browser makes one or two for each of its pages.
constexpr std::uint64_t kNestedNamespaces = 256;

class PlanBuilder {
 public:
  explicit PlanBuilder(const PlanInput& input)
      : in_(input),
        fs_(input.profile.filesystem),
        by_root_(input.caller.uid == 0),
        nests_(policy::AllowsOptIn(input.profile, "userns")) {
    const auto& memory = input.profile.limits.memory_bytes;
    if (memory && !input.whole.Has("cgroup.memory")) most_tmpfs_ = memory->value;
  }

  Result<wire::CellPlan> Run() {
    Identity();
    TRY(RootFileSystem());
    ProcAndDevices();
    PrivateDirectories();
    SecretFiles();
    GeneratedFiles();
    TRY(Grants());
    Masks();
    NoExec();
    Landlock();
    TRY(PlanLimits(in_, plan_));
    Layers();
    return std::move(plan_);
  }

 private:
  MountStep& Add(MountKind kind, std::string to, std::string purpose = "") {
    MountStep& step = plan_.mounts.emplace_back();
    step.kind = kind;
    step.to = std::move(to);
    step.purpose = purpose.empty() ? step.to : std::move(purpose);
    return step;
  }

  void Identity() {
    plan_.namespaces = nests_ ? kNestedNamespaces : 0;
    plan_.gateway = in_.gateway;
    plan_.cgroup = in_.cgroup;
    plan_.id = in_.id;
    plan_.name = in_.name;
    plan_.profile = in_.profile.name.empty() ? in_.request.profile : in_.profile.name;
    plan_.hostname = in_.profile.hostname.value.empty() ? "cell" : in_.profile.hostname.value;
    plan_.host_uid = in_.cell_uid;
    plan_.host_gid = by_root_ ? in_.cell_uid : in_.caller.gid;
    plan_.inside_uid = by_root_ ? kRootCellInsideUid : in_.caller.uid;
    plan_.inside_gid = by_root_ ? kRootCellInsideUid : in_.caller.gid;
  }
  [[nodiscard]] std::string InsideUser() const { return by_root_ ? "cell" : in_.caller.user; }

  Result<void> RootFileSystem() {
    const std::string base = fs_.root.value == "host" ? "" : fs_.root.value;
    if (base.empty()) {
      for (const char* name : kHostRoot) TRY(AddRootEntry("", name));
      return {};
    }
    // A directory as root: everything in it but the mount points that the cell has of its own.
    UniqueFd directory = TRY(sys::OpenAt(AT_FDCWD, base.c_str(), O_RDONLY | O_DIRECTORY)
                                 .With("filesystem.root " + base));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory.get()), closedir);
    if (stream == nullptr) return ErrnoError("fdopendir");
    (void)directory.Release();
    constexpr std::array kOwn = {".", "..", "proc", "dev", "sys", "tmp", "run", "var"};
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = readdir(stream.get())) {
      const std::string name(&entry->d_name[0]);
      if (std::find(kOwn.begin(), kOwn.end(), name) == kOwn.end())
        TRY(AddRootEntry(base, "/" + name));
    }
    return {};
  }

  Result<void> AddRootEntry(const std::string& base, const std::string& name) {
    const std::string path = base + name;
    const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!facts.ok()) {
      if (facts.error().code() == ENOENT) return {};  // not every host has /lib32
      return Error(facts.error()).With(path);
    }
    if (S_ISLNK(facts->st_mode)) {
      Add(MountKind::kSymlink, name).text = TRY(sys::ReadLinkAt(AT_FDCWD, path.c_str()).With(path));
      return {};
    }
    if (!S_ISDIR(facts->st_mode)) return {};
    MountStep& step = Add(MountKind::kBind, name);
    step.from = path;
    step.read_only = true;
    return {};
  }

  void ProcAndDevices() {
    Proc();
    Add(MountKind::kDirectory, "/dev");
    for (const char* name : kDevices) {
      MountStep& step = Add(MountKind::kBind, std::string("/dev/") + name);
      step.from = step.to;
      step.devices = true;
      step.no_exec = true;
    }
    Add(MountKind::kDevpts, "/dev/pts");
    AddSymlink("/dev/ptmx", "pts/ptmx");
    AddSymlink("/dev/fd", "/proc/self/fd");
    AddSymlink("/dev/stdin", "/proc/self/fd/0");
    AddSymlink("/dev/stdout", "/proc/self/fd/1");
    AddSymlink("/dev/stderr", "/proc/self/fd/2");
    AddTmpfs("/dev/shm", fs_.tmp_bytes.value, 01777);
  }
  // A nested pid namespace needs a procfs of its own. The kernel mounts one only where a whole one
  // is in sight, and read-only where that one is: so nothing covers a part of this one, and neither
  // /proc/PID/mem nor anything else below any /proc can be written.
  void Proc() {
    Add(MountKind::kProc, "/proc").read_only = nests_;
    if (nests_) return;
    for (const char* path : kHiddenProc) Add(MountKind::kMask, path);
    for (const char* path : {"/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"}) ReadOnlyPin(path);
  }
  void AddSymlink(const std::string& to, const std::string& target) {
    Add(MountKind::kSymlink, to).text = target;
  }
  void AddTmpfs(const std::string& to, std::uint64_t bytes, std::uint32_t mode) {
    MountStep& step = Add(MountKind::kTmpfs, to);
    step.bytes = std::min(bytes, most_tmpfs_);
    step.mode = mode;
    writable_.push_back(to);
  }
  void ReadOnlyPin(const std::string& to) {
    MountStep& step = Add(MountKind::kPin, to);
    step.read_only = true;
    step.optional = true;
  }

  void PrivateDirectories() {
    AddTmpfs("/tmp", fs_.tmp_bytes.value, 01777);
    AddTmpfs("/var/tmp", fs_.tmp_bytes.value, 01777);
    AddTmpfs("/run", kSmallTmpfs, 0755);
    Add(MountKind::kDirectory, "/run/lock").mode = 01777;
    AddSymlink("/var/run", "/run");
    AddSymlink("/var/lock", "/run/lock");
    Add(MountKind::kCellrun, "/run/cellrun");
    if (!in_.tools.empty()) {
      MountStep& tools = Add(MountKind::kBind, &policy::kToolsDirectory[0], "tools");
      tools.from = in_.tools;
      tools.read_only = true;
    }
    if (in_.profile.filesystem.home.value.empty()) {
      AddTmpfs(in_.request.home, kHomeTmpfs, 0700);
    } else {
      AddHostBind(in_.profile.filesystem.home.value, in_.request.home, true, "filesystem.home");
    }
  }

  void SecretFiles() {
    if (in_.secrets.empty()) return;
    std::uint64_t bytes = kPage;
    for (const SecretFile& secret : in_.secrets) bytes += secret.contents.size() + 2 * kPage;
    MountStep& place = Add(MountKind::kTmpfs, kSecretsDirectory);
    place.bytes = bytes;
    place.mode = 0700;
    place.no_exec = true;
    for (const SecretFile& secret : in_.secrets) {
      MountStep& step =
          Add(MountKind::kFile, kSecretsDirectory + ("/" + secret.name), "a secret's file");
      step.text = secret.contents;
      step.mode = 0400;
    }
  }

  // /etc/passwd and its like name nobody but the cell's user. A resolv.conf that is a link leads
  // below /run, where nothing is.
  void GeneratedFiles() {
    const std::string uid = std::to_string(plan_.inside_uid);
    const std::string gid = std::to_string(plan_.inside_gid);
    const std::string user = InsideUser();
    const std::string group = by_root_ ? "cell" : in_.caller.group;
    AddFile("/etc/passwd", user + ":x:" + uid + ":" + gid + "::" + in_.request.home +
                               ":/bin/bash\n" +
                               (plan_.inside_uid == 0 ? "" : "root:x:0:0:root:/root:/bin/sh\n") +
                               "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
    AddFile("/etc/group", group + ":x:" + gid + ":\n" +
                              (plan_.inside_gid == 0 ? "" : "root:x:0:\n") + "nogroup:x:65534:\n");
    std::string hosts = "127.0.0.1 localhost " + plan_.hostname + "\n::1 localhost ip6-localhost\n";
    if (plan_.gateway) hosts += std::string(&wire::kHostAddress[0]) + " host\n";
    AddFile("/etc/hosts", hosts);
    AddFile("/etc/hostname", plan_.hostname + "\n");
    AddFile("/etc/resolv.conf", ResolverConfiguration());
    for (const char* path : kHostSecrets) Add(MountKind::kMask, path);
  }
  [[nodiscard]] std::string ResolverConfiguration() const {
    if (plan_.gateway) {
      return "nameserver " + std::string(&wire::kGatewayAddress[0]) +
             "\noptions timeout:5 attempts:2 edns0\n";
    }
    // It answers that no name exists (CellLookups).
    return "nameserver 127.0.0.1\noptions timeout:2 attempts:2 edns0\n";
  }
  void AddFile(const std::string& to, const std::string& text) {
    const std::string base = fs_.root.value == "host" ? "" : fs_.root.value;
    std::string target = to;
    const Result<std::string> link = sys::ReadLinkAt(AT_FDCWD, (base + to).c_str());
    if (link.ok()) {
      target = link->starts_with('/') ? *link : "/etc/" + *link;
      while (target.starts_with("/etc/../")) target = target.substr(7);
      if (!target.starts_with("/run/")) return;  // leads where the cell has its own tree anyway
    }
    MountStep& step = Add(MountKind::kFile, target);
    step.text = text;
    step.mode = 0444;
  }

  struct Grant {
    std::string from;
    bool writable;
    std::string purpose;
  };
  Result<void> Grants() {
    std::vector<Grant> grants;
    const bool workspace_writable = fs_.workspace.value == policy::WorkspaceMode::kReadWrite &&
                                    !in_.request.workspace_read_only;
    grants.push_back({in_.request.workspace, workspace_writable, "workspace"});
    for (const auto& path : fs_.read) grants.push_back({path.value, false, "read"});
    for (const auto& path : fs_.write) grants.push_back({path.value, true, "write"});
    for (const std::string& path : in_.request.read) grants.push_back({path, false, "--read"});
    for (const std::string& path : in_.request.write) grants.push_back({path, true, "--write"});
    // Outer directories first, so that an inner grant is mounted over an outer one and not hidden
    // by it; of two grants of one path the later (the command line's, the writable one) wins.
    std::stable_sort(grants.begin(), grants.end(),
                     [](const Grant& a, const Grant& b) { return a.from.size() < b.from.size(); });
    for (const Grant& grant : grants) {
      const bool required = grant.purpose != "read" && grant.purpose != "write";
      const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, grant.from.c_str(), 0);
      if (!facts.ok()) {
        if (required || !SaysAbsent(facts.error()))
          return Error(facts.error().code(), "", grant.purpose + " " + grant.from);
        // Profiles name what a home may hold; only a missing place to write changes what the
        // command can do.
        if (grant.writable) plan_.warnings.push_back("write: " + grant.from + " is not there");
        continue;
      }
      PinParents(grant.from, true);
      AddHostBind(grant.from, grant.from, grant.writable, grant.purpose);
    }
    if (in_.request.workspace_read_only) {
      plan_.warnings.push_back("workspace " + in_.request.workspace +
                               " is read-only: you cannot write there");
    }
    return {};
  }
  // A mount travels with a directory above it that is renamed, and something else could then be put
  // under its name. A mount point cannot be renamed, so each such directory becomes one.
  void PinParents(const std::string& path, bool make) {
    const MountStep* outer = nullptr;
    for (const MountStep& step : plan_.mounts) {
      const bool holds_files = step.kind == MountKind::kBind || step.kind == MountKind::kTmpfs ||
                               step.kind == MountKind::kPin;
      if (!holds_files || !IsBelow(path, step.to)) continue;
      if (outer == nullptr || step.to.size() >= outer->to.size()) outer = &step;
    }
    if (outer == nullptr || outer->read_only) return;  // nobody in the cell can rename there
    for (std::size_t slash = path.find('/', outer->to.size() + 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (make) Add(MountKind::kDirectory, parent);
      Add(MountKind::kPin, parent).optional = !make;
    }
  }
  void AddHostBind(const std::string& from, const std::string& to, bool writable,
                   const std::string& purpose) {
    MountStep& step = Add(MountKind::kBind, to, purpose);
    step.from = from;
    step.read_only = !writable;
    step.id_map = by_root_;
    if (writable) writable_.push_back(to);
  }

  // A tmpfs of the cell's own, and the directories above the mounts, hold nothing but what a step
  // puts there: most names of a home are in none of its trees.
  [[nodiscard]] bool MayBeThere(std::string_view path) const {
    const MountStep* outer = nullptr;
    for (const MountStep& step : plan_.mounts) {
      if (step.to == path || IsBelow(step.to, path)) return true;
      if (IsBelow(path, step.to) && (outer == nullptr || step.to.size() >= outer->to.size()))
        outer = &step;
    }
    return outer != nullptr && outer->kind != MountKind::kTmpfs;
  }
  [[nodiscard]] std::vector<std::string> InTheTree(const std::vector<std::string>& paths) const {
    std::vector<std::string> found;
    std::copy_if(paths.begin(), paths.end(), std::back_inserter(found),
                 [this](const std::string& path) { return MayBeThere(path); });
    return found;
  }

  void Masks() {
    const std::string& workspace = in_.request.workspace;
    const std::vector<std::string> hidden = InTheTree(in_.protection.hidden_outside);
    const std::vector<std::string> protect = InTheTree(in_.protection.protected_outside);
    for (const std::string& path : hidden) PinParents(path, false);
    for (const std::string& path : protect) PinParents(path, false);
    for (const std::string& path : hidden) Add(MountKind::kMask, path);
    for (const std::string& path : protect) ReadOnlyPin(path);
    for (const std::string& parent : in_.protection.parents)
      Add(MountKind::kPin, workspace + "/" + parent).optional = true;
    for (const GuardedName& name : in_.protection.guarded) {
      if (!name.existed || name.linked) continue;
      const std::string path = workspace + "/" + name.path;
      if (name.hide) {
        Add(MountKind::kMask, path, "hide");
      } else {
        ReadOnlyPin(path);
      }
    }
  }

  void NoExec() {
    for (const auto& entry : fs_.noexec) {
      const auto mounted =
          std::find_if(plan_.mounts.begin(), plan_.mounts.end(), [&](const MountStep& step) {
            return step.to == entry.value &&
                   (step.kind == MountKind::kTmpfs || step.kind == MountKind::kBind);
          });
      if (mounted != plan_.mounts.end()) {
        mounted->no_exec = true;
      } else {
        MountStep& step = Add(MountKind::kPin, entry.value, "noexec");
        step.no_exec = true;
        step.optional = true;
      }
    }
  }

  // EXECUTE wherever the cell can see files at all but /proc and what is mounted noexec; WRITE_FILE
  // likewise where something is writable, which leaves out /proc: /proc/PID/mem would rewrite a
  // program that was just approved (hardening).
  void Landlock() {
    if (nests_) {
      plan_.warnings.emplace_back("landlock is off: the profile allows userns");
      return;  // it forbids every mount
    }
    for (const MountStep& step : plan_.mounts) {
      const bool holds_files = step.kind == MountKind::kBind || step.kind == MountKind::kTmpfs ||
                               step.kind == MountKind::kCellrun;
      if (holds_files && !step.no_exec) plan_.landlock.push_back({step.to, true, false});
    }
    for (const std::string& path : writable_) plan_.landlock.push_back({path, false, true});
    plan_.landlock.push_back({"/dev", false, true});
    for (const auto& layer : in_.profile.require)
      plan_.landlock_required |= layer.value == "landlock";
  }

  void Layers() {
    plan_.layers = {"userns",   "pidns",    "mountns", "netns",        "ipcns",  "utsns",
                    "cgroupns", "landlock", "seccomp", "no-new-privs", "keyring"};
    if (nests_) std::erase(plan_.layers, "landlock");
    if (by_root_) plan_.layers.emplace_back("idmap");
    if (!in_.cgroup.empty()) plan_.layers.emplace_back("ebpf");
    plan_.layers.insert(plan_.layers.end(), in_.whole.layers.begin(), in_.whole.layers.end());
    if (!in_.wall_missing.empty()) {
      plan_.warnings.push_back("not enforced: the second wall around the network (eBPF): " +
                               in_.wall_missing);
    }
  }

  const PlanInput& in_;
  const policy::Filesystem& fs_;
  const bool by_root_, nests_;
  wire::CellPlan plan_;
  std::vector<std::string> writable_;
  std::uint64_t most_tmpfs_ = UINT64_MAX;
};

}  // namespace

SecretFile::SecretFile(std::string its_name, std::string its_contents)
    : name(std::move(its_name)), contents(std::move(its_contents)) {}
SecretFile::~SecretFile() {
  explicit_bzero(contents.data(), contents.size());
}

Result<wire::CellPlan> BuildPlan(const PlanInput& input) {
  return PlanBuilder(input).Run();
}

}  // namespace cellrun::cells
