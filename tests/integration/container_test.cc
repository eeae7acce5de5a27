// SPDX-License-Identifier: Apache-2.0
// cellrun started inside a container: runc carries out what docker asks it for by default
// (capabilities, masked and read-only paths, data/docker-seccomp.json), and what its
// --security-opt, --cap-add and --user change of that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr uid_t kUser = 1000;

struct Container {
  uid_t user = kUser;            // --user
  bool seccomp = true;           // false: --security-opt seccomp=unconfined
  Words also_allowed = {};       // by a seccomp profile of one's own
  bool masked = true;            // false: --security-opt systempaths=unconfined
  Words more_capabilities = {};  // --cap-add
};

class ContainerTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_TRUE(IsRootLane());
    MayLeaveSockets();  // a container's end is its broker's
    ASSERT_EQ(mkdir(Path("bundle").c_str(), 0755), 0);
    (void)OpenProfile();  // makes its directory, which is mounted
    for (const char* name : {"", "etc", "home", "opt", "proc", "root", "tmp", "usr", "var"}) {
      ASSERT_EQ(mkdir(Rootfs(name).c_str(), 0755), 0) << name << errno;
    }
    ASSERT_EQ(chmod(Rootfs("tmp").c_str(), 01777), 0);
    for (const char* name : {"bin", "lib", "lib64", "sbin"}) {
      ASSERT_EQ(symlink((std::string("usr/") + name).c_str(), Rootfs(name).c_str()), 0);
    }
  }

  // cellrun with these arguments, in a container.
  Outcome CellrunIn(const Container& container, const Words& arguments) {
    Words argv = {Prefix() + "/bin/cellrun"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return In(container, argv);
  }

  Outcome In(const Container& container, const Words& argv) {
    for (const char* name : {"run", "state", "config", "home", "work"}) {
      EXPECT_EQ(chown(Path(name).c_str(), container.user, container.user), 0);
    }
    Write(Path("bundle/config.json"), Specification(container, argv).dump());
    Options options;
    options.time_limit = std::chrono::seconds(90);
    // As in a container of its own: without control groups, which the machine may not let us make.
    return Bare({"runc", "--rootless=true", "--root", Path("runc"), "run", "--bundle",
                 Path("bundle"), "cellrun-test-" + std::to_string(getpid())},
                options);
  }

  void ExpectRefused(const Container& container, const std::string& words) {
    // The container itself runs commands.
    EXPECT_EQ(In(container, {"id", "-u"}).out, std::to_string(container.user) + "\n");
    const Outcome outcome = CellrunIn(container, {"run", "--", "touch", Work("ran")});
    EXPECT_EQ(outcome.status, 125);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, words);
    EXPECT_FALSE(Exists(Work("ran")));
  }

 private:
  std::string Rootfs(const std::string& name) const { return Path("bundle/rootfs/" + name); }

  json Specification(const Container& container, const Words& argv) const {
    json document = {{"ociVersion", "1.0.2"},
                     {"root", {{"path", "rootfs"}}},
                     {"process", Task(container, argv)},
                     {"mounts", Mounts()}};
    json& confined = document["linux"];
    for (const char* type : {"pid", "network", "ipc", "uts", "mount"}) {
      confined["namespaces"].push_back({{"type", type}});
    }
    if (container.masked) {
      confined["maskedPaths"] = {"/proc/asound",      "/proc/acpi",          "/proc/kcore",
                                 "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                                 "/proc/timer_stats", "/proc/sched_debug",   "/proc/scsi",
                                 "/sys/firmware"};
      confined["readonlyPaths"] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                   "/proc/sysrq-trigger"};
    }
    if (container.seccomp) {
      json profile = json::parse(Read(Data("docker-seccomp.json")));
      if (!container.also_allowed.empty()) {
        // The rule that makes clone3 ENOSYS for libc goes where it is allowed.
        json& rules = profile["syscalls"];
        for (std::size_t i = 0; i < rules.size(); ++i) {
          if (rules[i]["names"] == json({"clone3"}) &&
              testing::Matches(testing::Contains("clone3"))(container.also_allowed)) {
            rules.erase(i--);
          }
        }
        rules.push_back({{"names", container.also_allowed}, {"action", "SCMP_ACT_ALLOW"}});
      }
      confined["seccomp"] = profile;
    }
    return document;
  }

  json Task(const Container& container, const Words& argv) const {
    Words capabilities = {
        "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",           "CAP_FSETID",
        "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
        "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",       "CAP_SYS_CHROOT"};
    capabilities.insert(capabilities.end(), container.more_capabilities.begin(),
                        container.more_capabilities.end());
    const Words effective = container.user == 0 ? capabilities : Words();
    return {{"user", {{"uid", container.user}, {"gid", container.user}}},
            {"args", argv},
            {"cwd", Work()},
            {"env",
             {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8", "HOME=" + Home(),
              "CELLRUN_RUNTIME_DIR=" + RuntimeDirectory(), "CELLRUN_STATE_DIR=" + Path("state"),
              "CELLRUN_CONFIG_DIR=" + Path("config")}},
            {"capabilities",
             {{"bounding", capabilities}, {"permitted", effective}, {"effective", effective}}}};
  }

  json Mounts() const {
    const auto bind = [](const std::string& path, const char* mode) {
      return json{
          {"destination", path}, {"type", "bind"}, {"source", path}, {"options", {"rbind", mode}}};
    };
    return {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
            {{"destination", "/dev"},
             {"type", "tmpfs"},
             {"source", "tmpfs"},
             {"options", {"nosuid", "mode=755"}}},
            {{"destination", "/dev/pts"},
             {"type", "devpts"},
             {"source", "devpts"},
             {"options", {"newinstance", "ptmxmode=0666", "mode=0620"}}},
            {{"destination", "/sys"},
             {"type", "sysfs"},
             {"source", "sysfs"},
             {"options", {"nosuid", "noexec", "nodev", "ro"}}},
            bind("/usr", "ro"),
            bind("/etc", "ro"),
            bind(Prefix(), "ro"),
            bind(Path("profiles"), "ro"),
            bind(RuntimeDirectory(), "rw"),
            bind(Path("state"), "rw"),
            bind(Path("config"), "rw"),
            bind(Home(), "rw"),
            bind(Work(), "rw")};
  }
};

constexpr char kFilterForbids[] =
    "cause: a seccomp filter around cellrun, such as a container's default one, forbids it\n"
    "try:   start the container with --security-opt seccomp=unconfined; a service without "
    "SystemCallFilter= and RestrictNamespaces=\n";

TEST_F(ContainerTest, AsRootDefaultFilterIsNamedWithItsFix) {
  ExpectRefused({}, std::string("error: no cell can be supervised here: process_vm_readv: "
                                "Operation not permitted\n") +
                        kFilterForbids);
  EXPECT_FALSE(Exists(RuntimeDirectory() + "/broker.lock"));
}

TEST_F(ContainerTest, AsRootDefaultFilterIsNamedToRootAsWell) {
  Container container;
  container.user = 0;
  ExpectRefused(container, std::string("error: no cell can be supervised here: process_vm_readv: "
                                       "Operation not permitted\n") +
                               kFilterForbids);
}

// Later releases of docker allow the supervisor's calls, and forbid the namespaces.
TEST_F(ContainerTest, AsRootFilterWithoutNamespacesIsNamedWithItsFix) {
  Container container;
  container.also_allowed = {"process_vm_readv", "pidfd_getfd"};
  ExpectRefused(container, std::string("error: cannot make the cell's namespaces: clone3: "
                                       "Function not implemented\n") +
                               kFilterForbids);
}

TEST_F(ContainerTest, AsRootFilterThatAllowsNamespacesOnlyIsNamedWithItsFix) {
  Container container;
  container.also_allowed = {"process_vm_readv", "pidfd_getfd", "clone3"};
  const Outcome outcome = CellrunIn(container, {"run", "--", "touch", Work("ran")});
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.err, HasSubstr(": Operation not permitted\n"));
  EXPECT_THAT(outcome.err, HasSubstr(kFilterForbids));
  EXPECT_FALSE(Exists(Work("ran")));
}

TEST_F(ContainerTest, AsRootDoctorNamesTheFilter) {
  const Outcome outcome = CellrunIn({}, {"doctor"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("clone3: Function not implemented; a seccomp filter around "
                                     "cellrun, such as a container's default one, forbids it\n"));
  EXPECT_THAT(outcome.out, HasSubstr("?        new mount API"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("use Linux 5")));
}

TEST_F(ContainerTest, AsRootCoveredProcIsShownAndSaidSo) {
  Container container;
  container.seccomp = false;
  const Outcome outcome = CellrunIn(container, {"run", "--", "id", "-u"});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "1000\n");
  EXPECT_EQ(outcome.err,
            "cellrun: no /proc of its own: this container's is shown inside, with the command "
            "lines of its other processes; --security-opt systempaths=unconfined for the "
            "container prevents that\n"
            "cellrun: the kernel's per-user quotas are shared with the host: /proc/sys/user: "
            "Read-only file system\n");
}

// What it shows of the container's other processes is what anybody may see, and none of it can be
// changed.
TEST_F(ContainerTest, AsRootCoveredProcReachesNoProcess) {
  Container container;
  container.seccomp = false;
  const std::string attack =
      "tr '\\0' ' ' < /proc/1/cmdline; echo; echo 500 > /proc/1/oom_score_adj; "
      "cat /proc/1/oom_score_adj; ls /proc/1/root/ /proc/1/cwd/; readlink /proc/1/fd/0; "
      "cat /proc/1/environ /proc/1/maps; echo end";
  // Without a cell, a process of the container does that to another.
  const Outcome bare = In(container, {"bash", "-c", "bash -c \"$1\" bash; exit", "_", attack});
  EXPECT_THAT(bare.out, HasSubstr("\n500\n")) << bare;
  EXPECT_THAT(bare.out, HasSubstr("CELLRUN_STATE_DIR=")) << bare;
  const Outcome look =
      CellrunIn(container, {"run", "--profile", OpenProfile(), "--", "bash", "-c", attack});
  EXPECT_THAT(look.out, HasSubstr("cellrun run"));
  EXPECT_EQ(look.out.substr(look.out.find('\n') + 1), "0\nend\n") << look;
}

TEST_F(ContainerTest, AsRootOpenedContainerHoldsCells) {
  Container container;
  container.seccomp = false;
  container.masked = false;
  const Outcome outcome = CellrunIn(container, {"run", "--", "id", "-u"});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "1000\n");
  EXPECT_EQ(outcome.err, "");
  const Outcome denied = CellrunIn(container, {"run", "--", "su"});
  EXPECT_EQ(denied.status, 126);
  EXPECT_THAT(denied.err, HasSubstr("cellrun: denied: su\n"));
  const Outcome doctor = CellrunIn(container, {"doctor"});
  EXPECT_EQ(doctor.status, 0) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr("\nCells hold here.\n"));
}

TEST_F(ContainerTest, AsRootNeedsTheRightToMapIds) {
  Container container;
  container.user = 0;
  container.seccomp = false;
  container.masked = false;
  ExpectRefused(container,
                "error: workspace " + Work() +
                    ": open_tree: Operation not permitted\n"
                    "cause: a cell run by root has a user of its own, and this root may not map "
                    "files to it: it has no CAP_SYS_ADMIN, as in most containers\n"
                    "try:   run cellrun as an ordinary user (docker run --user 1000:1000), or "
                    "start the container with --cap-add SYS_ADMIN\n");
  container.more_capabilities = {"CAP_SYS_ADMIN"};
  const Outcome outcome = CellrunIn(container, {"run", "--", "id", "-un"});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "cell\n");
}

}  // namespace
}  // namespace cellrun::test
