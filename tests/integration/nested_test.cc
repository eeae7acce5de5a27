// SPDX-License-Identifier: Apache-2.0
// The opt-in `userns`: sandboxes inside a cell work, and what they start is judged as anywhere
// else.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class NestedTest : public Sandbox {
 protected:
  // `rules`: "    - {…}\n" each, before those that let the tools run.
  Options With(const std::string& rules = "", const std::string& lines = "",
               const std::string& opt_in = "syscalls: {rules: [{name: userns, then: allow}]}\n") {
    return {.profile =
                WriteProfile("cellrun: 1\nname: nested\nextends: [base]\n" + lines +
                             "commands:\n  default: allow\n  rules:\n" + rules +
                             "    - {when: {exe: [unshare, bwrap, mount, umount, /usr/sbin/chroot, "
                             "/usr/sbin/pivot_root]}, then: allow}\n" +
                             opt_in),
            .flags = ProbeFlags()};
  }
};

TEST_F(NestedTest, WithoutTheOptInNothingChanges) {
  const Outcome outcome =
      Shell("unshare -Ur true; echo $?; cat /proc/sys/user/max_user_namespaces", With("", "", ""));
  EXPECT_EQ(outcome.out, "1\n0\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("Operation not permitted")) << outcome;
}

TEST_F(NestedTest, RunsUnshareWithItsOwnProcesses) {
  const Outcome outcome =
      Run({"unshare", "-Urmpf", "--mount-proc", "bash", "-c",
           "id -u; echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/self/uid_map"},
          With());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, StartsWith("0\n1\n")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("         0 ")) << outcome;
}

TEST_F(NestedTest, RunsBubblewrapWithEveryNamespace) {
  EXPECT_EQ(Bare({"bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev",
                  "/dev", "true"})
                .status,
            0)
      << "bubblewrap works here at all";
  const Outcome outcome =
      Run({"bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
           "--tmpfs", "/tmp", "--hostname", "inner", "bash", "-c",
           "cat /proc/sys/kernel/hostname; echo x > /tmp/x && cat /tmp/x; ls /sys 2>/dev/null; "
           "echo done > /dev/null && ls /proc/1 > /dev/null && echo all"},
          With());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "inner\nx\nall\n") << outcome;
}

TEST_F(NestedTest, RunsBubblewrapOverASmallTree) {
  Write(Work("in"), "3\n1\n2\n");
  const Outcome outcome = Run(
      {"bwrap",     "--unshare-all",
       "--ro-bind", "/usr",
       "/usr",      "--symlink",
       "usr/bin",   "/bin",
       "--symlink", "usr/lib",
       "/lib",      "--symlink",
       "usr/lib64", "/lib64",
       "--proc",    "/proc",
       "--dev",     "/dev",
       "--bind",    Work(),
       Work(),      "--chdir",
       Work(),      "sh",
       "-c",        "sort in > out && git init -q repo && ls repo/.git > /dev/null && echo made"},
      With());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "made\n") << outcome;
  EXPECT_EQ(Read(Work("out")), "1\n2\n3\n");
}

// A browser's way: namespaces without a file system of their own, id maps written by itself, and
// the root directory exchanged for one that vanishes, by a child that shares it.
TEST_F(NestedTest, RunsTheSequenceOfABrowsersSandbox) {
  const std::string browser = Probe().substr(0, Probe().rfind('/')) + "/browser";
  EXPECT_EQ(Bare({browser}).out, "contained\n");
  const Outcome outcome = Run({browser}, With());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "contained\n") << outcome;
}

TEST_F(NestedTest, AParentWritesTheMapsOfItsChild) {
  const Outcome outcome = Shell(
      "mkfifo go; unshare -U bash -c 'read < go; id -u' & "
      "until [ $(readlink /proc/$!/ns/user) != $(readlink /proc/self/ns/user) ]; do :; done; "
      "echo deny > /proc/$!/setgroups && echo \"7 $(id -u) 1\" > /proc/$!/uid_map && "
      "echo > go; wait",
      With());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "7\n") << outcome;
}

TEST_F(NestedTest, AMapThatGivesMoreIsRefusedByTheKernel) {
  const Outcome outcome = Shell(
      "unshare -U bash -c 'echo \"0 0 4294967295\" > /proc/self/uid_map' ; "
      "unshare -Ur bash -c 'echo \"0 0 1\" > /proc/self/uid_map'; "
      "echo \"0 0 1\" > /proc/self/uid_map; echo \"0 0 1\" > /proc/1/uid_map; cat "
      "/proc/self/uid_map",
      With());
  const std::string refused = "Operation not permitted";
  EXPECT_THAT(outcome.err, HasSubstr(refused)) << outcome;
  EXPECT_EQ(outcome.out, Shell("cat /proc/self/uid_map", With()).out) << outcome;
}

TEST_F(NestedTest, ADenialIsExplainedInEveryNamespace) {
  const Options options = With("    - {when: {exe: tac}, then: deny, message: not in here}\n");
  for (const Words& prefix :
       {Words{"unshare", "-Ur"}, Words{"unshare", "-Urmpf", "--mount-proc"},
        Words{"unshare", "-Urn"},
        Words{"bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
              "--symlink", "usr/lib64", "/lib64", "--proc", "/proc"}}) {
    Words argv = prefix;
    argv.insert(argv.end(), {"/usr/bin/tac", "file"});
    const Outcome outcome = Run(argv, options);
    EXPECT_EQ(outcome.status, 126) << outcome;
    EXPECT_THAT(outcome.err,
                AllOf(HasSubstr("cellrun: denied: /usr/bin/tac file"), HasSubstr("not in here")))
        << outcome;
  }
  const std::vector<nlohmann::json> records = History({"--verdict", "deny"});
  EXPECT_EQ(records.size(), 4U);
  for (const nlohmann::json& record : records) EXPECT_EQ(record["exe"], "/usr/bin/tac");
}

// Without a rule for files that have no name in the cell's tree, they do not run.
TEST_F(NestedTest, WhatOnlyANestedTreeHasIsAnonymous) {
  const std::string script = "mount -t tmpfs x /opt && cp /usr/bin/echo /opt/tool && /opt/tool ran";
  const Outcome denied = Run({"unshare", "-Urm", "bash", "-c", script}, With());
  EXPECT_EQ(denied.status, 126) << denied;
  EXPECT_THAT(denied.err, HasSubstr("cellrun: denied: /opt/tool ran")) << denied;
  const Outcome allowed =
      Run({"unshare", "-Urm", "bash", "-c", script},
          With("    - {when: {anonymous: true, writable: true}, then: allow}\n"));
  EXPECT_EQ(allowed.out, "ran\n") << allowed;
}

TEST_F(NestedTest, AProgramKeepsItsNameUnderAnotherOne) {
  // A rule names tac; another name in a nested tree makes no other program of it.
  const Options options = With("    - {when: {exe: tac}, then: deny}\n");
  const Outcome outcome =
      Run({"unshare", "-Urm", "bash", "-c", "mount --bind /usr/bin/tac /usr/bin/rev && rev file"},
          options);
  EXPECT_EQ(outcome.status, 126) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("cellrun: denied: rev file")) << outcome;
}

// It is called what the cell's tree calls it, and can be written if it can be there.
TEST_F(NestedTest, AFileIsRecognizedUnderAnotherName) {
  std::filesystem::copy_file("/bin/echo", Work("tool"));
  const Options options = With(
      "    - {when: {exe: './tool', writable: true}, then: allow}\n"
      "    - {when: {exe: /usr/bin/cat}, then: allow}\n");
  const Outcome outcome = Run({"bwrap",
                               "--unshare-all",
                               "--ro-bind",
                               "/usr",
                               "/usr",
                               "--symlink",
                               "usr/lib",
                               "/lib",
                               "--symlink",
                               "usr/lib64",
                               "/lib64",
                               "--ro-bind",
                               Work(),
                               "/app",
                               "--ro-bind",
                               "/usr/bin/cat",
                               "/dir/with blank/copy",
                               "/usr/bin/bash",
                               "-c",
                               "/app/tool ran; echo too | '/dir/with blank/copy'"},
                              options);
  EXPECT_EQ(outcome.out, "ran\ntoo\n") << outcome;
  std::vector<std::string> programs;
  for (const nlohmann::json& record : History({"--kind", "exec"}))
    programs.push_back(record["exe"]);
  EXPECT_THAT(programs, AllOf(Contains(Work("tool")), Contains("/usr/bin/cat")));
}

TEST_F(NestedTest, FindsSelfWhicheverProcfsIsLookedAt) {
  for (const Words& prefix :
       {Words{"unshare", "-Urpf"}, Words{"unshare", "-Urmpf", "--mount-proc"}}) {
    Words argv = prefix;
    argv.insert(
        argv.end(),
        {"bash", "-c", "/proc/self/exe -c 'echo again'; /proc/thread-self/exe -c 'echo more'"});
    const Options options = With();
    // Processes that start in the same clock tick must not be taken for each other.
    for (int i = 0; i < 12; ++i) {
      const Outcome outcome = Run(argv, options);
      EXPECT_EQ(outcome.out, "again\nmore\n") << outcome;
    }
  }
}

TEST_F(NestedTest, ARuleAboutTheDirectoryIsNotFooledByAName) {
  ASSERT_EQ(mkdir(Work("good").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Work("bad").c_str(), 0755), 0);
  const Options options = With(
      "    - {when: {exe: tac, cwd: './good'}, then: allow}\n"
      "    - {when: {exe: tac}, then: deny, message: not here}\n");
  const std::string from = " && cd good && echo ran | tac";
  EXPECT_EQ(Run({"unshare", "-Urm", "bash", "-c", "true" + from}, options).out, "ran\n");
  const Outcome bound =
      Run({"unshare", "-Urm", "bash", "-c", "mount --bind bad good" + from}, options);
  EXPECT_EQ(bound.status, 126) << bound;
  EXPECT_EQ(bound.out, "") << bound;
}

TEST_F(NestedTest, ANestedNetworkReachesNothing) {
  const Outcome outcome = Run({"unshare", "-Urn", "python3", "-c",
                               "import socket\n"
                               "for address in (('127.0.0.1', 9), ('192.0.2.1', 80)):\n"
                               "    s = socket.socket()\n"
                               "    try: s.connect(address); print('connected')\n"
                               "    except OSError as error: print(error.errno)\n"},
                              With());
  EXPECT_EQ(outcome.out, "101\n13\n") << "ENETUNREACH: loopback is down; EACCES: " << outcome;
  EXPECT_EQ(History({"--kind", "connect"}).size(), 1U);
}

TEST_F(NestedTest, RecordsAFileSystemThatNoCellMounts) {
  const Outcome outcome = Run({"unshare", "-Urm", "mount", "-t", "ramfs", "none", "/opt"}, With());
  EXPECT_NE(outcome.status, 0) << outcome;
  const std::vector<nlohmann::json> records = History({"--kind", "syscall"});
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0]["name"], "mount");
  EXPECT_EQ(records[0]["reason"], "a file system that no cell mounts");
}

TEST_F(NestedTest, OrdinaryWorkGoesOn) {
  const Outcome outcome = Shell(
      "set -e; git init -q repo; cd repo; echo one > file; git add file; "
      "git -c user.name=A -c user.email=a@example.com commit -qm first; git log --format=%s; "
      "printf 'int main(void){return 0;}' > a.c; cc a.c -o a; ./a; mkfifo pipe; "
      "(echo through > pipe) & cat pipe; wait",
      With());
  EXPECT_EQ(outcome.out, "first\nthrough\n") << outcome;
  EXPECT_EQ(outcome.status, 0) << outcome;
}

// A mask that the host's replacement takes away cannot be given back to a nested mount namespace.
TEST_F(NestedTest, EndsWhatWouldSeeAFileThatTheHostReplaced) {
  Write(Work(".env"), "TOKEN=1");
  Process cell =
      Start({"bash", "-c",
             "unshare -Urm bash -c 'echo up; while :; do cat .env; sleep 0.05; done' > nested; "
             "echo ended $?; cat .env"},
            With("", "filesystem: {hide: [.env]}\n"));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (Read(Work("nested")) != "up\n" && std::chrono::steady_clock::now() < deadline)
    usleep(2000);
  ASSERT_EQ(Read(Work("nested")), "up\n");
  Write(Work(".env.new"), "TOKEN=2");
  std::filesystem::rename(Work(".env.new"), Work(".env"));
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "ended 137\n") << outcome;
}

// What cannot hold together is refused at the start.
TEST_F(NestedTest, LandlockCannotBeRequiredAsWell) {
  const Outcome outcome = Run({"true"}, With("", "require: [landlock]\n"));
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("landlock")) << outcome;
}

TEST_F(NestedTest, ACellInACellSaysThatItCannotBe) {
  const Outcome outcome = Run({Prefix() + "/bin/cellrun", "run", "--", "true"}, [this] {
    Options options = With();
    options.flags.insert(options.flags.end(), {"--read", Prefix()});
    return options;
  }());
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("this is a cell, and cells do not nest")) << outcome;
}

}  // namespace
}  // namespace cellrun::test
