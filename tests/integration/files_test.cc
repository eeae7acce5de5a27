// SPDX-License-Identifier: Apache-2.0
// The tree that a cell sees, what of it can be written, and that the host stays as it was.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class FilesTest : public Sandbox {
 protected:
  Options With(const std::string& filesystem) {
    return {.profile = WriteProfile("cellrun: 1\nname: tested\nextends: [base]\n"
                                    "commands: {default: allow}\nfilesystem:\n" +
                                    filesystem),
            .flags = ProbeFlags()};
  }
  Options Open() { return {.profile = OpenProfile(), .flags = ProbeFlags()}; }
  // Until the journal has so many records of files with this result, ten seconds at the most.
  bool AwaitFileRecords(const std::string& result, std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto records = History({"--kind", "file"});
      const auto found = std::count_if(records.begin(), records.end(), [&](const auto& record) {
        return record.value("result", "") == result;
      });
      if (static_cast<std::size_t>(found) >= count) return true;
      usleep(5000);
    }
    return false;
  }
  // Every name below the workspace with type, size and content time, to compare before and after.
  std::set<std::string> Inventory() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Work())) {
      struct stat status {};
      EXPECT_EQ(lstat(entry.path().c_str(), &status), 0);
      names.insert(entry.path().string() + " " + std::to_string(status.st_mode) + " " +
                   std::to_string(status.st_uid) + " " + std::to_string(status.st_ino) + " " +
                   std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_nsec));
    }
    return names;
  }
};

TEST_F(FilesTest, HidesTheHostBesidePrograms) {
  Write(Home("private"), "secret");
  Write(Path("beside"), "secret");
  const Outcome outcome =
      Shell("cat " + Home("private") + " " + Path("beside") +
                "; cat /etc/shadow | wc -c; "
                "ls -A /root /home /srv /mnt /media /boot /sys /var/lib/dpkg 2>/dev/null | grep -v "
                ": | grep -v "
                "'^$' | sort | xargs echo left:;"
                "ls /run/docker.sock /var/run/docker.sock /run/dbus 2>/dev/null | wc -l;"
                "ls -A /tmp; find /etc -name '*.key' -readable 2>/dev/null | wc -l; echo end",
            Open());
  EXPECT_THAT(outcome.out, testing::StartsWith("0\nleft:\n0\n")) << outcome;
  EXPECT_THAT(outcome.out, testing::EndsWith("\n0\nend\n")) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("secret")));
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("private: No such file"), HasSubstr("beside: No such file")));
}

TEST_F(FilesTest, MakesSystemDirectoriesReadOnly) {
  const Outcome outcome = Shell(
      "for d in / /usr /usr/bin /bin /etc /lib /opt /proc /run /run/cellrun /dev; do "
      "touch $d/x 2>/dev/null && echo writable: $d; done; "
      "for d in . /tmp /var/tmp /dev/shm \"$HOME\"; do touch $d/x || echo not writable: $d; done; "
      "echo end",
      Open());
  EXPECT_EQ(outcome.out.substr(outcome.out.find("end")), "end\n");
  for (const char* place :
       {"/usr", "/usr/bin", "/bin", "/etc", "/lib", "/opt", "/proc", "/run/cellrun"}) {
    EXPECT_THAT(outcome.out, Not(HasSubstr("writable: " + std::string(place) + "\n")));
  }
  EXPECT_THAT(outcome.out, Not(HasSubstr("not writable")));
}

TEST_F(FilesTest, HasAMinimalDeviceDirectory) {
  const Outcome outcome = Run({"bash", "-c", "ls /dev | sort | xargs"}, Open());
  EXPECT_EQ(outcome.out, "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n")
      << outcome;
  EXPECT_EQ(
      Shell("echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; "
            "echo x > /dev/full",
            Open())
          .out,
      "4\n4\n");
}

TEST_F(FilesTest, MasksWhatProcSaysAboutTheHost) {
  const Outcome outcome = Shell(
      "for f in kcore kallsyms keys sysrq-trigger timer_list sched_debug scsi kmsg latency_stats; "
      "do "
      "test -s /proc/$f && head -c 1 /proc/$f >/dev/null 2>&1 && head -c 1 /proc/$f | wc -c | grep "
      "-q 1 "
      "&& echo leaks: $f; done; echo 1 2>/dev/null > /proc/sys/kernel/domainname && echo wrote "
      "sysctl; "
      "echo 1 2>/dev/null > /proc/sysrq-trigger && echo wrote sysrq; cat /proc/1/cmdline | tr "
      "'\\0' ' '; echo end",
      Open());
  EXPECT_THAT(outcome.out, Not(HasSubstr("leaks"))) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("wrote"))) << outcome;
}

TEST_F(FilesTest, GeneratesTheFilesThatNameUsersAndHosts) {
  const Outcome outcome = Shell(
      "cat /etc/passwd | wc -l; getent passwd $(id -u) | cut -d: -f1,6; getent group $(id -g) | wc "
      "-l; "
      "getent hosts localhost | wc -l; cat /etc/hostname",
      Open());
  EXPECT_THAT(outcome.out, HasSubstr(":" + Home() + "\n")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("\ncell\n"));
}

TEST_F(FilesTest, WorkspaceKeepsItsOwnPath) {
  std::filesystem::create_directories(Work("a/b"));
  const Outcome outcome = Shell("pwd; cd a/b && pwd && touch here", Open());
  EXPECT_EQ(outcome.out, Work() + "\n" + Work("a/b") + "\n");
  EXPECT_TRUE(Exists(Work("a/b/here")));
}

TEST_F(FilesTest, ReadOnlyWorkspaceIsNotWritten) {
  Write(Work("file"), "old");
  const auto before = Inventory();
  const Outcome outcome =
      Shell("cat file; echo new > file; touch x; rm file; echo end", With("  workspace: ro\n"));
  EXPECT_THAT(outcome.err, HasSubstr("Read-only file system")) << outcome;
  EXPECT_EQ(outcome.out, "oldend\n");
  EXPECT_EQ(Inventory(), before);
}

TEST_F(FilesTest, ReadAndWriteGrantsGiveExactlyThat) {
  Write(Path("given/read/f"), "readable");
  Write(Path("given/write/f"), "writable");
  Write(Path("given/other/f"), "neither");
  Options options = Open();
  options.flags.insert(options.flags.end(),
                       {"--read", Path("given/read"), "--write", Path("given/write")});
  const Outcome outcome = Shell("cd " + Path("given") +
                                    "; ls; cat read/f write/f; echo more >> read/f; "
                                    "echo more >> write/f; touch write/new; touch new",
                                options);
  EXPECT_THAT(outcome.out, HasSubstr("read\nwrite\nreadablewritable")) << outcome;
  EXPECT_EQ(Read(Path("given/read/f")), "readable");
  EXPECT_EQ(Read(Path("given/write/f")), "writablemore\n");
  EXPECT_TRUE(Exists(Path("given/write/new")));
  EXPECT_FALSE(Exists(Path("given/new")));
}

// A mount travels with a directory above it: once that is moved away, the name of a granted program
// could be given to another file.
TEST_F(FilesTest, NothingCanBePutUnderTheNameOfAGrant) {
  Write(Path("given/deep/tools/tool"), "#!/bin/sh\necho real\n", 0755);
  const std::string attack =
      "mv " + Path("given") + " " + Path("moved") + " && mkdir -p " + Path("given/deep/tools") +
      " && printf '#!/bin/sh\\necho forged\\n' > " + Path("given/deep/tools/tool") +
      " && chmod +x " + Path("given/deep/tools/tool") + "; " + Path("given/deep/tools/tool");
  Options options = Open();
  options.flags.insert(options.flags.end(), {"--read", Path("given/deep/tools")});
  const Outcome inside = Shell(attack, options);
  EXPECT_EQ(inside.out, "real\n") << inside;
  EXPECT_THAT(inside.err, HasSubstr("busy")) << inside;
  EXPECT_EQ(Bare({"bash", "-c", attack}).out, "forged\n");
}

// A granted program is reached by links and by way of the cell's own directories, and is none the
// less not one that the cell wrote.
TEST_F(FilesTest, AGrantedProgramIsNotTakenForOneOfTheCell) {
  Write(Home("tools/lib/tool.sh"), "#!/bin/sh\necho ran\n", 0755);
  std::filesystem::create_directories(Home("tools/bin"));
  std::filesystem::create_symlink("../lib/tool.sh", Home("tools/bin/tool"));
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: p\nextends: [base]\nfilesystem: {read: [~/tools]}\n"
      "commands:\n  default: allow\n  rules: [{name: written, when: {writable: true}, then: "
      "deny}]\n");
  for (const std::string& name : {Home("tools/lib/tool.sh"), Home("tools/bin/tool")}) {
    const Outcome outcome = Run({name}, {.profile = profile});
    EXPECT_EQ(outcome.out, "ran\n") << name << outcome;
  }
  const std::string link = Home("link");  // whoever may write the link decides what it means
  const Outcome own =
      Shell("ln -s " + Home("tools/lib/tool.sh") + " " + link + "; " + link, {.profile = profile});
  EXPECT_EQ(own.status, 126) << own;
  EXPECT_THAT(own.err, HasSubstr("written")) << own;
}

TEST_F(FilesTest, HiddenNamesAreEmptyOrAbsent) {
  Write(Work(".env"), "TOKEN=1");
  Write(Work("secrets/key"), "KEY");
  const auto before = Inventory();
  const Outcome outcome = Shell(
      "cat .env secrets/key; ls -A secrets; mv secrets elsewhere; cat elsewhere/key; rm -rf "
      "secrets; "
      "cp .env copy; ln .env link; cat copy link; rm -f copy link; echo end",
      With("  hide: [.env, secrets]\n"));
  EXPECT_THAT(outcome.out, AllOf(Not(HasSubstr("TOKEN")), Not(HasSubstr("KEY")))) << outcome;
  EXPECT_EQ(Read(Work(".env")), "TOKEN=1");
  EXPECT_EQ(Read(Work("secrets/key")), "KEY");
  EXPECT_EQ(Inventory(), before);
}

TEST_F(FilesTest, ProtectedNamesCannotBeChangedOrMovedAway) {
  ASSERT_EQ(Bare({"git", "init", "-q", "."}).status, 0);
  Write(Work(".git/hooks/pre-commit"), "#!/bin/sh\n", 0755);
  const std::string config = Read(Work(".git/config"));
  const Outcome outcome = Shell(
      "echo evil > .git/hooks/pre-commit; echo evil > .git/hooks/post-commit; rm -rf .git/hooks; "
      "mv .git/hooks .git/away; git config core.fsmonitor ./evil; echo evil >> .git/config; "
      "rm .git/config; mv .git x && mkdir -p .git/hooks && echo evil > .git/hooks/pre-commit; "
      "mv x/.git y; rm -rf .git; cat .git/config > /dev/null && echo readable",
      With("  protect: [.git/hooks, .git/config]\n"));
  EXPECT_THAT(outcome.out, HasSubstr("readable")) << outcome;
  EXPECT_EQ(Read(Work(".git/hooks/pre-commit")), "#!/bin/sh\n") << outcome;
  EXPECT_FALSE(Exists(Work(".git/hooks/post-commit")));
  EXPECT_EQ(Read(Work(".git/config")), config);
  EXPECT_FALSE(Exists(Work("x")));
}

TEST_F(FilesTest, AProtectedNameThatAppearsIsQuarantined) {
  const std::string report = Path("report.json");
  Options options = With("  protect: [.envrc, .vscode, .git/hooks]\n");
  options.flags.insert(options.flags.end(), {"--report", report});
  const Outcome outcome = Shell(
      "echo evil > .envrc; mkdir .vscode; echo {} > .vscode/tasks.json; "
      "mkdir -p .git/hooks && echo evil > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit",
      options);
  EXPECT_FALSE(Exists(Work(".envrc"))) << outcome;
  EXPECT_FALSE(Exists(Work(".vscode")));
  EXPECT_FALSE(Exists(Work(".git/hooks/pre-commit")));
  EXPECT_EQ(Read(Work(".envrc.cellrun-quarantined")), "evil\n");
  EXPECT_TRUE(Exists(Work(".vscode.cellrun-quarantined")));
  const auto json = nlohmann::json::parse(Read(report), nullptr, false);
  ASSERT_TRUE(json.is_object()) << Read(report);
  EXPECT_GE(json["quarantined"].size(), 3U) << json.dump(2);
  EXPECT_THAT(json["quarantined"].dump(), AllOf(HasSubstr(".envrc"), HasSubstr(".vscode")));
  const auto records = History({"--kind", "file"});
  EXPECT_GE(records.size(), 3U) << "recorded as well";
}

// The hooks of a worktree lie in the repository that its `.git` file names.
TEST_F(FilesTest, TheRepositoryOfAWorktreeKeepsItsHooks) {
  const std::string repository = Path("repository");
  std::filesystem::create_directories(repository);
  ASSERT_EQ(Bare({"git", "init", "-q", repository}).status, 0);
  ASSERT_EQ(Bare({"git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", "commit",
                  "-qm", "first", "--allow-empty"})
                .status,
            0);
  ASSERT_EQ(Bare({"git", "-C", repository, "worktree", "add", "-q", Work()}).status, 0);
  const std::string hooks = repository + "/.git/hooks";
  std::filesystem::create_directories(hooks);
  Options options = With("  protect: [.git/hooks, .git/config]\n");
  options.flags.insert(options.flags.end(), {"--write", repository});
  const Outcome outcome =
      Shell("cd " + repository + "; touch free; echo evil > .git/hooks/pre-commit; " +
                "mv .git moved; mkdir -p .git/hooks; echo evil > .git/hooks/pre-commit; echo end",
            options);
  EXPECT_THAT(outcome.out, HasSubstr("end")) << outcome;
  EXPECT_TRUE(Exists(repository + "/free")) << "the rest is writable: " << outcome;
  EXPECT_FALSE(Exists(repository + "/moved")) << outcome;
  EXPECT_FALSE(Exists(hooks + "/pre-commit")) << outcome;
}

// A rename over a file takes away what is mounted over it, in every mount namespace.
TEST_F(FilesTest, WhatTheHostReplacesIsMaskedAgain) {
  ASSERT_EQ(Bare({"git", "init", "-q", "."}).status, 0);
  Write(Work(".env"), "TOKEN=1");
  Process cell = Start({"bash", "-c",
                        "echo up; until [ -e go ]; do sleep 0.02; done; cat .env .git/config; "
                        "echo evil >> .git/config; mv .git/config away; mv .git moved; echo end"},
                       With("  hide: [.env]\n  protect: [.git/config, .envrc]\n"));
  ASSERT_TRUE(cell.WaitForOutput("up\n")) << cell.err();
  const auto replace = [&](const std::string& name, const std::string& text) {
    Write(Work(name + ".new"), text);
    std::filesystem::rename(Work(name + ".new"), Work(name));
  };
  replace(".git/config", "# by the host\n");
  replace(".env", "TOKEN=2");
  ASSERT_TRUE(AwaitFileRecords("masked again", 2));
  Write(Work("go"), "");
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("# by the host"), HasSubstr("end"))) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("TOKEN"))) << outcome;
  EXPECT_EQ(Read(Work(".git/config")), "# by the host\n") << outcome;
  EXPECT_FALSE(Exists(Work("moved")));
}

TEST_F(FilesTest, WhatAppearsWhereTheHostRemovedAProtectedNameIsSetAside) {
  Write(Work(".envrc"), "by the host");
  Process cell = Start({"bash", "-c",
                        "echo up; until [ -e go ]; do sleep 0.02; done; echo evil > .envrc; "
                        "until [ -e .envrc.cellrun-quarantined ]; do sleep 0.02; done"},
                       With("  protect: [.envrc]\n"));
  ASSERT_TRUE(cell.WaitForOutput("up\n")) << cell.err();
  std::filesystem::remove(Work(".envrc"));
  ASSERT_TRUE(AwaitFileRecords("removed on the host", 1));
  Write(Work("go"), "");
  const Outcome outcome = cell.Wait();
  EXPECT_FALSE(Exists(Work(".envrc"))) << outcome;
  EXPECT_EQ(Read(Work(".envrc.cellrun-quarantined")), "evil\n");
}

TEST_F(FilesTest, CellsThatShareAWorkspaceShareWhatIsHiddenAndProtected) {
  Write(Work(".env"), "TOKEN=1");
  Write(Work("kept/file"), "kept\n");
  // The earlier cell already stands in the directory around the name.
  Process earlier = Start({"bash", "-c",
                           "cd kept; echo up; until [ -e ../go ]; do sleep 0.02; done; "
                           "cat ../.env; echo evil > file; echo evil > ../kept/file; echo end"},
                          Open());
  ASSERT_TRUE(earlier.WaitForOutput("up\n")) << earlier.err();
  Process later = Start({"bash", "-c", "echo up; until [ -e go ]; do sleep 0.02; done"},
                        With("  hide: [.env]\n  protect: [kept/file]\n"));
  ASSERT_TRUE(later.WaitForOutput("up\n")) << later.err();
  ASSERT_TRUE(AwaitFileRecords("masked again", 2));
  Write(Work("go"), "");
  const Outcome outcome = earlier.Wait();
  (void)later.Wait();
  EXPECT_THAT(outcome.out, AllOf(Not(HasSubstr("TOKEN")), HasSubstr("end"))) << outcome;
  EXPECT_EQ(Read(Work("kept/file")), "kept\n") << outcome;
}

TEST_F(FilesTest, QuarantineFollowsNoLink) {
  std::filesystem::create_directories(Path("outside"));
  const Outcome outcome = Shell("ln -s " + Path("outside") + " .vscode; ln -s /etc/passwd .envrc",
                                With("  protect: [.envrc, .vscode]\n"));
  EXPECT_FALSE(Exists(Work(".vscode"))) << outcome;
  EXPECT_FALSE(Exists(Work(".envrc")));
  EXPECT_TRUE(Exists(Path("outside"))) << "what the link led to was not touched";
  EXPECT_FALSE(Exists(Path("outside.cellrun-quarantined")));
  EXPECT_TRUE(std::filesystem::is_symlink(Work(".vscode.cellrun-quarantined")));
}

TEST_F(FilesTest, DenyingLeavesNothingOnTheHost) {
  Write(Work("file"), "x");
  const auto before = Inventory();
  const Outcome outcome =
      Run({"true"}, With("  hide: [.env, secrets/key, \"~/.ssh\", /etc/machine-id]\n"
                         "  protect: [.git/hooks, .git/config, .envrc, .vscode]\n"));
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(Inventory(), before);
  EXPECT_TRUE(std::filesystem::is_empty(Home())) << "nor in the home";
}

TEST_F(FilesTest, TheStandardStreamsAreNotTheHostsFiles) {
  const std::string path = Write(Path("input"), "host content\n", 0644);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  Options options = Open();
  options.stdin_fd = fd;
  const Outcome outcome =
      Shell("cat; echo evil 2>/dev/null > /proc/self/fd/0; readlink /proc/self/fd/0", options);
  close(fd);
  EXPECT_THAT(outcome.out, HasSubstr("host content\n")) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr(path)));
  EXPECT_EQ(Read(path), "host content\n");
}

TEST_F(FilesTest, AGitWorktreeFileCoversWhatItLeadsTo) {
  ASSERT_EQ(Bare({"bash", "-c",
                  "git init -q main && cd main && git -c user.name=a -c user.email=a@b commit -q "
                  "--allow-empty -m x && git worktree add -q ../tree"})
                .status,
            0);
  const std::string config = Read(Work("main/.git/config"));
  Options options = With("  protect: [.git/config, .git/hooks]\n");
  options.directory = Work("tree");
  options.flags.insert(options.flags.end(),
                       {"--workspace", Work("tree"), "--write", Work("main/.git")});
  const Outcome outcome = Shell(
      "git status --porcelain && echo evil >> " + Work("main/.git/config") + "; echo end", options);
  EXPECT_THAT(outcome.out, HasSubstr("end")) << outcome;
  EXPECT_EQ(Read(Work("main/.git/config")), config) << outcome;
}

}  // namespace
}  // namespace cellrun::test
