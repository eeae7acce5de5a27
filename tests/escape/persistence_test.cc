// SPDX-License-Identifier: Apache-2.0
// I: what a cell leaves behind for somebody else to run.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/escape/escape.h"

namespace cellrun::test {
namespace {

namespace fs = std::filesystem;

struct Plant {
  const char* name;
  const char* script;
};
// The program that must not run outside: it leaves a canary beside the workspace.
constexpr char kEvil[] = "printf '#!/bin/sh\\ntouch ../canary\\n' > evil; chmod +x evil; ";

// After each plant the operator does what one does in a repository.
bool CanaryFires(Escape& escape) {
  std::error_code ignored;
  fs::remove(escape.Path("canary"), ignored);
  Options options;
  options.time_limit = std::chrono::seconds(20);
  (void)escape.Bare(
      {"bash", "-c",
       "git status; git diff; git log -1; git add -A; "
       "git -c user.name=a -c user.email=a@b commit -qm x; git checkout -q -f HEAD; true"},
      options);
  return Escape::Exists(escape.Path("canary"));
}
void MakeRepository(Escape& escape) {
  escape.Reset();
  ASSERT_EQ(escape
                .Bare({"bash", "-c",
                       "git init -q . && echo x > file && git add file && "
                       "git -c user.name=a -c user.email=a@b commit -qm first"})
                .status,
            0);
}
void NoRepository(Escape& escape) {
  escape.Reset();
}
void MakeWorktree(Escape& escape) {  // .git is a file that was there before
  escape.Reset();
  std::error_code ignored;
  fs::remove_all(escape.Path("main"), ignored);
  ASSERT_EQ(escape
                .Bare({"bash", "-c",
                       "cd ..; git init -q main && cd main && echo x > file && git add file && "
                       "git -c user.name=a -c user.email=a@b commit -qm first && "
                       "git worktree add -q -f ../main/tree && mv tree/.git tree/file ../work/ && "
                       "git worktree repair ../work"})
                .status,
            0);
  ASSERT_EQ(escape.Bare({"git", "status"}).status, 0);
}

void MakeLinkedRepository(Escape& escape) {  // .git is a link that was there before
  MakeRepository(escape);
  std::error_code ignored;
  fs::remove_all(escape.Path("elsewhere"), ignored);
  fs::rename(escape.Work(".git"), escape.Path("elsewhere"));
  fs::create_symlink("../elsewhere", escape.Work(".git"));
}

template <std::size_t kCount>
void TryPlants(Escape& escape, const Plant (&plants)[kCount], void (*prepare)(Escape&)) {
  std::size_t shown = 0;
  for (const Plant& plant : plants) {
    const Words argv = {"bash", "-c",
                        std::string(kEvil) + "{ " + plant.script + "; } >/dev/null 2>&1; exit 11"};
    prepare(escape);
    (void)escape.Bare(argv);
    const bool fires = CanaryFires(escape);
    shown += fires;
    escape.MustWin(fires, plant.name);
    prepare(escape);
    Options options = escape.Using("");
    const Outcome cell = escape.Run(argv, options);
    EXPECT_EQ(cell.status, 11) << plant.name << ": " << cell;
    escape.MustHold(CanaryFires(escape), plant.name);
  }
  escape.Note(std::to_string(shown) + " ways");
}

constexpr Plant kHooks[] = {
    {"written",
     "cp evil .git/hooks/post-commit || { mkdir -p .git/hooks; cp evil .git/hooks/post-commit; }"},
    {"linked", "ln -s $PWD/evil .git/hooks/pre-commit"},
    {"hard link", "ln evil .git/hooks/pre-commit"},
    {"renamed", "cp evil x; mv x .git/hooks/pre-commit"},
    {"directory exchanged",
     "mkdir h; cp evil h/pre-commit; mv .git/hooks .git/old; mv h .git/hooks"},
    {"parent exchanged",
     "cp -r .git copy; cp evil copy/hooks/pre-commit; mv .git old; mv copy .git"},
    {"sample",
     "mv .git/hooks/pre-commit.sample .git/hooks/pre-commit; cat evil > .git/hooks/pre-commit; "
     "chmod +x .git/hooks/pre-commit"},
    {"by git",
     "mkdir t t/hooks; cp evil t/hooks/pre-commit; rm -rf .git/hooks; git init --template=$PWD/t"},
};
void Hooks(Escape& escape) {
  TryPlants(escape, kHooks, MakeRepository);
}
constexpr Plant kSettings[] = {
    {"git config", "git config core.fsmonitor ./evil"},
    {"appended", "printf '[core]\\nfsmonitor = ./evil\\n' >> .git/config"},
    {"replaced",
     "cp .git/config c; printf '[core]\\nfsmonitor = ./evil\\n' >> c; mv -f c .git/config"},
    {"rewritten in place",
     "sed -i 's/bare = false/bare = false\\n\\tfsmonitor = .\\/evil/' .git/config"},
    {"hooksPath", "mkdir h; cp evil h/pre-commit; git config core.hooksPath h"},
    {"include", "printf '[core]\\nfsmonitor = ./evil\\n' > i; git config include.path ../i"},
    {"filter", "echo '* filter=x' > .gitattributes; git config filter.x.clean './evil; cat'"},
    {"external diff", "echo y > file; git config diff.external ./evil"},
    {"alias of a tool", "git config gpg.program ./evil; git config commit.gpgsign true"},
    {"directory exchanged",
     "cp -r .git g; git -C g config core.fsmonitor ./evil; "
     "printf '[core]\\nfsmonitor = ./evil\\n' >> g/config; mv .git old; mv g .git"},
    {"pointer instead",
     "cp -r .git g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/config; mv .git old; "
     "echo 'gitdir: g' > .git"},
    {"link instead",
     "cp -r .git g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/config; mv .git old; "
     "ln -s g .git"},
    {"common directory",
     "cp -r .git g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/config; "
     "echo ../g > .git/commondir"},
    {"worktree settings",
     "git config extensions.worktreeConfig true; "
     "printf '[core]\\nfsmonitor = ./evil\\n' > .git/config.worktree"},
};
void Settings(Escape& escape) {
  TryPlants(escape, kSettings, MakeRepository);
}
constexpr Plant kNewRepositories[] = {
    {"a repository", "git init -q .; git config core.fsmonitor ./evil; git add evil"},
    {"a pointer",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "echo 'gitdir: g/.git' > .git; git add evil"},
    {"a link",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; ln -s g/.git .git"},
    {"moved into place",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "mv g/.git .git"},
    {"common directory",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "git init -q .; echo ../g/.git > .git/commondir"},
    {"the workspace itself",
     "git init -q --bare g; mv g/* .; "
     "printf '[core]\\nbare = false\\nworktree = .\\nfsmonitor = ./evil\\n' >> config"},
};
void NewRepositories(Escape& escape) {
  TryPlants(escape, kNewRepositories, NoRepository);
}
constexpr Plant kWorktrees[] = {
    {"pointer rewritten",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "echo 'gitdir: g/.git' > .git"},
    {"pointer exchanged",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "echo 'gitdir: g/.git' > p; mv -f p .git"},
    {"pointer replaced",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "rm .git; mv g/.git .git"},
};
constexpr Plant kLinks[] = {
    {"link turned",
     "git init -q g; printf '[core]\\nfsmonitor = ./evil\\n' >> g/.git/config; "
     "ln -sfn g/.git .git"},
};
void Worktrees(Escape& escape) {
  TryPlants(escape, kWorktrees, MakeWorktree);
  TryPlants(escape, kLinks, MakeLinkedRepository);
  MakeLinkedRepository(escape);
  EXPECT_EQ(escape.Run({"true"}, escape.Using("")).status, 0);
  EXPECT_TRUE(fs::is_symlink(escape.Work(".git"))) << "the operator's own link is gone";
  // And a worktree that nobody attacks is as it was.
  MakeWorktree(escape);
  const std::string pointer = Escape::Read(escape.Work(".git"));
  EXPECT_EQ(escape.Run({"true"}, escape.Using("")).status, 0);
  EXPECT_EQ(Escape::Read(escape.Work(".git")), pointer);
  EXPECT_EQ(escape.Bare({"git", "status"}).status, 0);
}

// A workspace whose repository runs something: nothing of cellrun does.
void BrokerRunsNoTools(Escape& escape) {
  const auto prepare = [&] {
    MakeRepository(escape);
    ASSERT_EQ(
        escape
            .Bare({"bash", "-c",
                   std::string(kEvil) +
                       "git config core.fsmonitor ./evil; cp evil .git/hooks/pre-commit; "
                       "cp evil .git/hooks/post-checkout; echo '* filter=x' > .gitattributes; "
                       "git config filter.x.clean ./evil; rm -f ../canary"})
            .status,
        0);
  };
  prepare();
  escape.MustWin(CanaryFires(escape), "git status runs nothing");
  prepare();
  std::error_code ignored;
  fs::remove(escape.Path("canary"), ignored);
  Options options = escape.Using("");
  options.flags.insert(options.flags.end(), {"--report", escape.Path("report")});
  EXPECT_EQ(escape.Run({"bash", "-c", "echo y >> file"}, options).status, 0);
  (void)escape.Cellrun({"history"});
  (void)escape.Cellrun({"doctor"});
  escape.MustHold(Escape::Exists(escape.Path("canary")), "cellrun ran a tool of the workspace");
}

// A directory that the profile grants lies in the workspace: a cell turns it into a link, and the
// next start opens it outside.
void GrantedLink(Escape& escape) {
  const std::string outside = escape.Path("outside");
  escape.Write(outside + "/key", "CANARY-KEY\n");
  const auto kept = Escape::Inventory(outside);
  const std::string plant = "rm -rf cache; ln -s " + outside + " cache";
  const std::string use = "cat cache/key; cat " + outside +
                          "/key; echo evil > cache/new; echo evil > " + outside + "/new; true";
  (void)escape.Bare({"bash", "-c", plant});
  const Outcome bare = escape.Bare({"bash", "-c", use});
  escape.MustWin(bare.out.find("CANARY") != std::string::npos && Escape::Exists(outside + "/new"),
                 bare.err);
  std::error_code ignored;
  fs::remove(outside + "/new", ignored);
  for (const char* grant : {"write", "read"}) {
    escape.Reset();
    fs::create_directory(escape.Work("cache"));
    const std::string profile =
        escape.WithFilesystem("  " + std::string(grant) + ": ['" + escape.Work("cache") + "']\n");
    // Where the grant holds it in place the plant fails; a cell without the grant can always do it.
    (void)escape.Run({"bash", "-c", plant}, escape.Using(profile));
    (void)escape.Run({"bash", "-c", plant}, escape.Using(""));
    const Outcome next = escape.Run({"bash", "-c", use}, escape.Using(profile));
    escape.MustHold(next.out.find("CANARY") != std::string::npos,
                    std::string(grant) + ": " + next.out);
    escape.MustHold(Escape::Exists(outside + "/new"), std::string(grant) + ": written outside");
    fs::remove(outside + "/new", ignored);
  }
  (void)kept;
}

// The report is written when the cell has had its way with the workspace.
void ReportLink(Escape& escape) {
  const std::string outside = escape.Path("profile-of-the-shell");
  const std::string plant = "rm -f report.json; ln -s " + outside + " report.json";
  escape.Write(outside, "mine\n");
  (void)escape.Bare({"bash", "-c", plant + "; echo report > report.json"});
  escape.MustWin(Escape::Read(outside) != "mine\n", "nothing was written");
  escape.Write(outside, "mine\n");
  escape.Reset();
  Options options = escape.Using("");
  options.flags.insert(options.flags.end(), {"--report", escape.Work("report.json")});
  EXPECT_EQ(escape.Run({"bash", "-c", plant + "; exit 11"}, options).status, 11);
  escape.MustHold(Escape::Read(outside) != "mine\n", "cellrun wrote through the link");
  // A pipe without a reader must not hold it up either.
  escape.Reset();
  options.time_limit = std::chrono::seconds(20);
  const Outcome pipe = escape.Run({"bash", "-c", "mkfifo report.json; exit 11"}, options);
  escape.MustHold(pipe.timed_out, "a FIFO in its place holds up cellrun");
}

// Names that something outside reads by itself; each in the spellings that make a new one.
constexpr const char* kSelfExecuting[] = {
    ".husky",          ".githooks",     ".pre-commit-config.yaml",
    "lefthook.yml",    ".lefthook.yml", ".envrc",
    ".mise.toml",      "mise.toml",     ".vscode",
    ".idea",           ".devcontainer", ".devcontainer.json",
    ".exrc",           ".nvim.lua",     ".dir-locals.el",
    ".gdbinit",        ".claude",       ".mcp.json",
    ".codex",          ".cursor",       ".gemini",
    ".windsurf",       ".opencode",     "opencode.json",
    ".aider.conf.yml", ".cellrun.yaml"};
void NewNames(Escape& escape) {
  constexpr const char* kHow[] = {"echo evil > %N",
                                  "mkdir %N; echo evil > %N/settings.json",
                                  "echo evil > x; mv x %N",
                                  "echo evil > x; ln x %N",
                                  "mkdir -p y/z; echo evil > y/z/f; mv y %N",
                                  "ln -s /etc/passwd %N",
                                  "mkfifo %N"};
  escape.ShownBare(Shown::kSucceeds);
  std::size_t ways = 0;
  for (const std::string how : kHow) {
    std::string script;
    for (const char* name : kSelfExecuting) {
      std::string line = how;
      for (auto at = line.find("%N"); at != std::string::npos; at = line.find("%N"))
        line.replace(at, 2, name);
      script += line + "; ";
    }
    const auto found = [&] {
      std::string names;
      for (const char* name : kSelfExecuting) {
        if (Escape::Exists(escape.Work(name))) names += std::string(name) + " ";
      }
      return names;
    };
    escape.Reset();
    const Outcome bare = escape.Bare({"bash", "-c", script});
    escape.MustWin(!found().empty(), bare.err);
    escape.Reset();
    EXPECT_EQ(escape.Run({"bash", "-c", script + " exit 11"}, escape.Using("")).status, 11);
    escape.MustHold(!found().empty(), how + ": " + found());
    ++ways;
  }
  escape.Note(std::to_string(std::size(kSelfExecuting)) + " names, " + std::to_string(ways) +
              " ways");
}
// The same for what was there before: it cannot be changed.
std::string Before(const std::string& name) {
  return name == ".cellrun.yaml" ? "cellrun: 1\nname: mine\n" : "mine\n";
}
void OldNames(Escape& escape) {
  const auto prepare = [&] {
    escape.Reset();
    for (const std::string name : kSelfExecuting) {
      escape.Write(escape.Work(name), Before(name));
    }
  };
  std::string script;
  for (const std::string name : kSelfExecuting) {
    script += "echo evil > " + name + "; rm -f " + name + "; echo evil > x; mv -f x " + name +
              "; truncate -s 0 " + name + "; sed -i s/mine/evil/ " + name + "; mv " + name +
              " gone; ";
  }
  const auto changed = [&] {
    std::string names;
    for (const std::string name : kSelfExecuting) {
      if (Escape::Read(escape.Work(name)) != Before(name)) names += name + " ";
    }
    return names;
  };
  Attack attack{.argv = {"bash", "-c", "{ " + script + "} 2>/dev/null; exit 11"}};
  attack.prepare = prepare;
  attack.damage = changed;
  escape.Try(attack);
}

// A cell writes the file that configures the next one.
void ProjectFile(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  const std::string strict = escape.Judged(Escape::Deny(Escape::Program("mark")));
  const std::string loose =
      "cellrun: 1\nname: mine\ncommands:\n  default: allow\n  rules:\n    - {when: {exe: '**'}, "
      "then: allow}\n"
      "filesystem:\n  write: [/]\n  read: [/]\n";
  // Neither what a cell leaves, nor what lies there already.
  escape.Write(escape.Work("loose"), loose);
  (void)escape.Run({"bash", "-c", "cat loose > .cellrun.yaml; mv loose .cellrun.yaml"},
                   escape.Using(strict));
  escape.MustHold(Escape::Exists(escape.Work(".cellrun.yaml")),
                  "the file is there for the next cell");
  escape.Write(escape.Work(".cellrun.yaml"), loose);
  const std::string beside = escape.Write(escape.Path("beside"), "mine");
  const Outcome next =
      escape.Run({"bash", "-c", Escape::Program("mark") + " as=evil; echo evil > " + beside},
                 escape.Using(strict));
  escape.MustHold(escape.Marks("evil") > 0 || Escape::Read(beside) != "mine",
                  "the next cell may more");
}

constexpr Case kCases[] = {
    {"I1", "hooks", "plant a git hook", Hooks},
    {"I2", "settings", "have the repository's settings run something", Settings},
    {"I3", "new_repositories", "make the workspace a repository that runs something",
     NewRepositories},
    {"I3", "worktrees", "point a worktree at settings of one's own", Worktrees},
    {"I4", "broker_runs_no_tools", "wait for cellrun itself to use git", BrokerRunsNoTools},
    {"I5", "new_names", "make files that editors, shells and agents run", NewNames},
    {"I7", "old_names", "change such files that were there", OldNames},
    {"X2", "granted_link", "turn a granted directory into a link for the next start", GrantedLink},
    {"X3", "report_link", "have the run's report written through a link", ReportLink},
    {"I6", "project_file", "loosen the next cell by a file in the workspace", ProjectFile},
};
ESCAPE_SUITE(PersistenceTest, kCases);

}  // namespace
}  // namespace cellrun::test
