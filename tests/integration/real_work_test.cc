// SPDX-License-Identifier: Apache-2.0
// Real work under the shipped profiles: what people run all day must work unchanged.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class RealWorkTest : public Sandbox {
 protected:
  void CopyData(const std::string& name) {
    std::filesystem::copy(Data(name), Work(), std::filesystem::copy_options::recursive);
  }
  static Options Git(const std::string& profile = "strict") {
    return {
        .profile = profile,
        .flags = {"--env", "GIT_AUTHOR_NAME=A", "--env", "GIT_AUTHOR_EMAIL=a@example.com", "--env",
                  "GIT_COMMITTER_NAME=A", "--env", "GIT_COMMITTER_EMAIL=a@example.com"}};
  }
};

TEST_F(RealWorkTest, ConfiguresAndBuildsAnAutoconfProjectUnderStrict) {
  CopyData("tally");
  const Outcome configure = Run({"./configure", "--quiet"});
  ASSERT_EQ(configure.status, 0) << configure;
  EXPECT_THAT(Read(Work("config.h")), HasSubstr("#define RUNS 1"))
      << "configure could not run what it had compiled";
  EXPECT_THAT(Read(Work("config.h")), HasSubstr("#define HAVE_UNISTD_H 1"));
  const Outcome make = Run({"make", "-j2", "check"});
  EXPECT_EQ(make.status, 0) << make;
  EXPECT_TRUE(Exists(Work("tally")));
  struct stat built {};
  ASSERT_EQ(stat(Work("tally").c_str(), &built), 0);
  EXPECT_EQ(built.st_uid, geteuid()) << "what a cell writes belongs to the workspace's owner";
}

TEST_F(RealWorkTest, BuildsWithCmakeAndNinjaUnderStrict) {
  Write(Work("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.25)\nproject(hello C)\nadd_executable(hello hello.c)\n");
  Write(Work("hello.c"), "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n");
  const Outcome outcome = Shell("cmake -G Ninja -B build . && ninja -C build");
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(Bare({"./build/hello"}).out, "hello\n");
}

TEST_F(RealWorkTest, CommitsInARepositoryThatItMakes) {
  const Outcome outcome = Shell(
      "set -e\n"
      "git init -q -b main repo && cd repo\n"
      "echo one > file && git add file && git commit -q -m first\n"
      "echo two >> file && git commit -q -am second\n"
      "git log --format=%s && git status --porcelain\n"
      "cd .. && git clone -q repo copy && git -C copy log --format=%s main\n"
      "git -C copy diff HEAD~1 --stat | tail -1",
      Git());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("second\nfirst\nsecond\nfirst\n 1 file changed"));
  EXPECT_TRUE(Exists(Work("repo/.git/config"))) << "its own repository keeps a harmless config";
  EXPECT_EQ(Bare({"git", "-C", "repo", "fsck", "--strict"}).status, 0);
}

TEST_F(RealWorkTest, CommitsInARepositoryThatExists) {
  ASSERT_EQ(Bare({"git", "init", "-q", "-b", "main", "."}).status, 0);
  Write(Work("file"), "one\n");
  const Outcome outcome = Shell(
      "git add file && git commit -q -m first && git log --format=%s && git checkout -q -b other",
      Git());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "first\n");
  EXPECT_EQ(Bare({"git", "branch", "--show-current"}).out, "other\n");
}

// What git runs itself is not what the rules about destroying work mean.
TEST_F(RealWorkTest, DoesWhatPeopleDoWithGitWithoutAQuestion) {
  for (const char* profile : {"strict", "standard"}) {
    Options options = Git();
    options.profile = profile;
    const Outcome outcome = Shell(
        "set -e\n"
        "rm -rf repo tree && git init -q -b main repo && cd repo\n"
        "for i in 1 2 3; do echo $i > file; git add file; git commit -qm $i; done\n"
        "echo 4 > file && git stash -q && git stash pop -q && cat file\n"
        "echo new > untracked && git stash push -q -u && test ! -e untracked && git stash pop -q\n"
        "git checkout -q . && cat untracked\n"
        "git worktree add -q ../tree && cat ../tree/file && git worktree remove ../tree\n"
        "git checkout -q -b topic HEAD~1 && echo t > t && git add t && git commit -qm t\n"
        "git rebase -q main && git checkout -q main && git merge -q --no-ff -m m topic\n"
        "git branch -q -d topic && git gc -q && git fsck --no-dangling && git log --format=%s | "
        "head -1\n",
        options);
    EXPECT_EQ(outcome.status, 0) << profile << outcome;
    EXPECT_EQ(outcome.out, "4\nnew\n3\nm\n") << profile << outcome;
  }
}

TEST_F(RealWorkTest, RunsTheTestsThatGoAndRustdocBuildInTheirOwnPlaces) {
  Write(Work("go/go.mod"), "module x\n");
  Write(Work("go/x_test.go"), "package x\nimport \"testing\"\nfunc TestX(t *testing.T) {}\n");
  Write(Work("x.rs"), "//! ```\n//! assert_eq!(6 * 7, 42);\n//! ```\n");
  for (const char* profile : {"strict", "standard"}) {
    const Outcome outcome =
        Shell("(cd go && GOFLAGS=-mod=mod go test ./...) && rustdoc --test --crate-name x x.rs",
              {.profile = profile, .time_limit = std::chrono::seconds(100)});
    EXPECT_EQ(outcome.status, 0) << profile << outcome;
    EXPECT_THAT(outcome.out, HasSubstr("ok  \tx")) << profile << outcome;
    EXPECT_THAT(outcome.out, HasSubstr("1 passed")) << profile << outcome;
  }
}

TEST_F(RealWorkTest, InstallsNpmPackagesFromATarballUnderStandard) {
  Write(Work("dep/package.json"), R"({"name":"dep","version":"1.0.0","main":"index.js"})");
  Write(Work("dep/index.js"), "module.exports = 42;\n");
  Write(Work(".npmrc"), "audit=false\nfund=false\nupdate-notifier=false\n");
  Write(Work("package.json"),
        R"({"name":"app","version":"1.0.0","dependencies":{"dep":"file:dep-1.0.0.tgz"},)"
        R"("scripts":{"answer":"node -p \"require('dep')\""}})");
  const Outcome prepared =
      Bare({"bash", "-c", "npm pack -s ./dep && npm install -s --package-lock-only --offline"});
  ASSERT_EQ(prepared.status, 0) << prepared;
  const Outcome install = Run({"npm", "ci"}, {.profile = "standard"});
  ASSERT_EQ(install.status, 0) << install;
  EXPECT_TRUE(Exists(Work("node_modules/dep/index.js"))) << install;
  const Outcome run = Run({"npm", "run", "-s", "answer"}, {.profile = "standard"});
  EXPECT_EQ(run.status, 0) << run;
  EXPECT_EQ(run.out, "42\n");
}

TEST_F(RealWorkTest, RunsPythonWithProcessesOfItsOwn) {
  Write(Work("work.py"),
        "import multiprocessing, os, sqlite3, subprocess, sys, tempfile, threading\n"
        "def square(n): return n * n\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Pool(4) as pool:\n"
        "        print(sum(pool.map(square, range(100))))\n"
        "    print(subprocess.run(['sort', '-r'], input='a\\nb\\n', text=True,\n"
        "                         capture_output=True, check=True).stdout.split())\n"
        "    print(subprocess.check_output('echo $((6 * 7))', shell=True, text=True).strip())\n"
        "    spawn = multiprocessing.get_context('spawn')\n"
        "    queue = spawn.SimpleQueue()\n"
        "    child = spawn.Process(target=queue.put, args=('spawned',))\n"
        "    child.start(); print(queue.get()); child.join()\n"
        "    with tempfile.NamedTemporaryFile() as file:\n"
        "        sqlite3.connect(file.name).execute('create table t(a)')\n"
        "    sys.exit(child.exitcode)\n");
  const Outcome outcome = Run({"python3", "work.py"});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "328350\n['b', 'a']\n42\nspawned\n");
}

TEST_F(RealWorkTest, BuildsAndRunsAGoProgram) {
  Write(Work("go.mod"), "module example.com/hello\n\ngo 1.19\n");
  Write(Work("main.go"),
        "package main\n\nimport (\n\t\"fmt\"\n\t\"os/exec\"\n\t\"sync\"\n)\n\n"
        "func main() {\n"
        "\tvar wait sync.WaitGroup\n"
        "\tvar lock sync.Mutex\n"
        "\tgood := 0\n"
        "\tfor i := 0; i < 50; i++ {\n"
        "\t\twait.Add(1)\n"
        "\t\tgo func() {\n"
        "\t\t\tdefer wait.Done()\n"
        "\t\t\tif out, err := exec.Command(\"echo\", \"x\").Output(); err == nil && string(out) == "
        "\"x\\n\" {\n"
        "\t\t\t\tlock.Lock()\n\t\t\t\tgood++\n\t\t\t\tlock.Unlock()\n"
        "\t\t\t} else {\n\t\t\t\tfmt.Println(err)\n\t\t\t}\n"
        "\t\t}()\n"
        "\t}\n"
        "\twait.Wait()\n"
        "\tfmt.Println(\"echoes:\", good)\n"
        "}\n");
  const Outcome outcome = Shell(
      "go build -o hello . && ./hello",
      {.profile = "standard",
       .flags = {"--env", "GOPROXY=off", "--env", "GOFLAGS=-mod=mod", "--env", "CGO_ENABLED=0",
                 "--env", "GOCACHE=" + Work(".cache"), "--env", "GOPATH=" + Work(".go")},
       .time_limit = std::chrono::seconds(100)});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "echoes: 50\n");
}

TEST_F(RealWorkTest, BuildsAndRunsARustProgram) {
  Write(Work("hello.rs"),
        "use std::process::Command;\n"
        "fn main() {\n"
        "    let workers: Vec<_> = (0..20).map(|n| std::thread::spawn(move || {\n"
        "        Command::new(\"sh\").args([\"-c\", &format!(\"exit {}\", "
        "n)]).status().unwrap().code()\n"
        "    })).collect();\n"
        "    let sum: i32 = workers.into_iter().map(|w| w.join().unwrap().unwrap()).sum();\n"
        "    println!(\"sum: {}\", sum);\n"
        "}\n");
  const Outcome outcome = Shell("rustc hello.rs && ./hello",
                                {.profile = "standard", .time_limit = std::chrono::seconds(100)});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "sum: 190\n");
}

TEST_F(RealWorkTest, RunsNodeWithTwoHundredChildrenAtOnce) {
  Write(Work("spawn.js"),
        "const {spawn, spawnSync} = require('child_process');\n"
        "let left = 200, good = 0;\n"
        "for (let i = 0; i < 200; i++) {\n"
        "  const child = spawn(i % 2 ? 'sh' : 'cat', i % 2 ? ['-c', 'exit ' + i % 50] : [], \n"
        "                      {stdio: ['pipe', 'pipe', 'inherit']});\n"
        "  let out = '';\n"
        "  child.stdout.on('data', (data) => out += data);\n"
        "  child.stdin.on('error', () => {});  // the shells do not read\n"
        "  child.stdin.end(i % 2 ? '' : String(i));\n"
        "  child.on('error', (error) => { console.error(error); });\n"
        "  child.on('close', (code) => {\n"
        "    if (i % 2 ? code === i % 50 : out === String(i)) good++;\n"
        "    if (--left === 0) console.log('good: ' + good);\n"
        "  });\n"
        "}\n"
        "if (spawnSync('sh', ['-c', 'exit 3']).status !== 3) throw new Error('spawnSync');\n");
  const Outcome outcome = Run({"node", "spawn.js"});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "good: 200\n");
}

TEST_F(RealWorkTest, StrictLetsEverydayToolsRun) {
  const Outcome outcome = Shell(
      "set -e; mkdir d; printf 'b\\na\\n' > d/f; sort d/f | head -1; grep -c a d/f; find d -type f "
      "| wc -l\n"
      "sed s/a/x/ d/f | tail -1; awk '{n++} END {print n}' d/f; tar cf t.tar d; tar tf t.tar | wc "
      "-l\n"
      "gzip -c d/f | gunzip | cmp - d/f; diff d/f d/f; xargs -n1 echo < d/f; env | grep ^CELLRUN=\n"
      "date +%Y | wc -c; cp -a d e; mv e g; rm -r g; ln -s f d/l; readlink d/l; chmod 600 d/f; "
      "stat -c %a d/f");
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "a\n1\n1\nx\n2\n2\nb\na\nCELLRUN=1\n5\nf\n600\n");
}

}  // namespace
}  // namespace cellrun::test
