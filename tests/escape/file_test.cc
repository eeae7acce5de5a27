// SPDX-License-Identifier: Apache-2.0
// H: links, names and objects that lead a broker or a cell astray.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/escape/escape.h"
#include "tests/support/time_factor.h"

namespace cellrun::test {
namespace {

namespace fs = std::filesystem;

Words Program_(const Words& attack) {
  Words argv = {Escape::Program("escape_files")};
  argv.insert(argv.end(), attack.begin(), attack.end());
  return argv;
}

// Links of every shape under protected names: the broker sets the link aside and follows none.
void Links(Escape& escape) {
  const std::string outside = escape.Path("outside");
  escape.Write(outside + "/.envrc", "mine\n");
  escape.Write(outside + "/tasks.json", "mine\n");
  const auto before = Escape::Inventory(outside);
  const std::string script =
      "ln -s " + outside + " .vscode; ln -s " + outside +
      "/.envrc .envrc; ln -s .idea .idea; "
      "ln -s /proc/self/cwd .claude; ln -s /proc/self/root" +
      outside +
      " .cursor; "
      "ln -s ../../outside .codex; ln -s /dev/stdin mise.toml; ln -s /proc/1/fd .gemini; "
      "ln -s nowhere .mcp.json; ln -s .mcp.json opencode.json; mkdir sub; ln -s " +
      outside + " sub/.git; ln -s sub/.git .git; ln -s / .husky; ";
  escape.ShownBare(Shown::kSucceeds);
  // A tool that follows what it finds reaches what lies outside.
  const Outcome bare = escape.Bare({"bash", "-c", script + "echo evil > .vscode/tasks.json"});
  escape.MustWin(Escape::Read(outside + "/tasks.json") == "evil\n", bare.err);
  escape.Write(outside + "/tasks.json", "mine\n");
  const auto kept = Escape::Inventory(outside);
  escape.Reset();
  Options options = escape.Using("");
  options.flags.insert(options.flags.end(), {"--report", escape.Path("report")});
  const Outcome cell = escape.Run(
      {"bash", "-c", script + "echo evil > .vscode/tasks.json; mv .vscode elsewhere; exit 11"},
      options);
  EXPECT_EQ(cell.status, 11) << cell;
  escape.MustHold(Escape::Inventory(outside) != kept, "what lies outside has changed");
  (void)before;
  for (const char* name : {".vscode", ".envrc", ".claude", ".cursor", ".codex", ".git", ".husky"}) {
    escape.MustHold(fs::is_symlink(escape.Work(name)), std::string(name) + " is still there");
  }
}

// A directory that is now one and now a link to a place outside, while the broker sets aside what
// appears in it.
void FlippedDirectory(Escape& escape) {
  const std::string outside = escape.Path("outside");
  escape.Write(outside + "/hooks", "mine\n");
  escape.Write(outside + "/config", "mine\n");
  const long tries = std::max(200L, Escape::Iterations());
  const std::string stop = escape.Work("stop");
  const auto play = [&](bool bare) {
    escape.Reset();
    const Words argv = Program_({"flip-directory", stop, ".git", outside, "hooks"});
    Process flipper = [&] {
      if (!bare) return escape.Start(argv, escape.Using(""));
      Command command = escape.CellrunCommand({});
      command.argv = argv;
      return Process(std::move(command));
    }();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!Escape::Exists(escape.Work("flipping"))) {
      if (std::chrono::steady_clock::now() > deadline) break;
      usleep(1000);
    }
    long changed = 0;
    for (long i = 0; bare ? std::chrono::steady_clock::now() < deadline : i < tries; ++i) {
      if (bare) {  // a tool that looks first: is it a directory? then it moves what is in it
        struct stat status {};
        if (lstat(escape.Work(".git").c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
        (void)rename(escape.Work(".git/hooks").c_str(), escape.Work(".git/aside").c_str());
      } else {
        usleep(500);
      }
      const bool moved = !Escape::Exists(outside + "/hooks");
      changed += moved;
      if (moved) escape.Write(outside + "/hooks", "mine\n");
      if (bare && changed > 0) break;
    }
    escape.Write(stop, "");
    const Outcome outcome = flipper.Wait();
    EXPECT_EQ(outcome.status, 0) << outcome;
    std::error_code ignored;
    fs::remove(outside + "/aside", ignored);
    return changed;
  };
  escape.MustWin(play(true) > 0, "nothing outside was moved");
  const auto kept = Escape::Inventory(outside);
  const long changed = play(false);
  escape.Count(changed, tries);
  escape.MustHold(changed > 0 || Escape::Inventory(outside) != kept, "something outside was moved");
}

// One cell exchanges a hidden directory while others start: none of them may see what is hidden. (A
// cell whose profile hides nothing may read the file, and could hand on its content.)
void HiddenWhileStarting(Escape& escape) {
  const std::string profile = escape.WithFilesystem("  hide: [secrets/key]\n");
  const long tries = std::max(20L, Escape::Iterations() / 20);
  escape.Write(escape.Work("secrets/key"), "CANARY-KEY\n");
  const Words read = {"bash", "-c", "cat secrets/key 2>/dev/null; cat moved/key 2>/dev/null; true"};
  const Outcome bare = escape.Bare(read);
  escape.MustWin(bare.out.find("CANARY-KEY") != std::string::npos, bare.out);
  Process other = escape.Start({"bash", "-c",
                                "until test -e stop; do mv secrets moved; ln -s moved secrets; rm "
                                "secrets; mv moved secrets; done 2>/dev/null; exit 0"},
                               escape.Using(profile));
  long seen = 0, started = 0;
  for (long i = 0; i < tries; ++i) {
    const Outcome cell = escape.Run(read, escape.Using(profile));
    seen += cell.out.find("CANARY-KEY") != std::string::npos;
    started += cell.status == 0;
  }
  escape.Write(escape.Work("stop"), "");
  EXPECT_EQ(other.Wait().status, 0);
  EXPECT_GT(started, 0);
  escape.Count(seen, tries);
  escape.MustHold(seen > 0, "a hidden file was read");
}

void Hidden(Escape& escape) {
  escape.Try({.argv = Program_({"hidden", escape.Work("secrets/key"), "CANARY-KEY"}),
              .profile = escape.WithFilesystem("  hide: [secrets/key, .env]\n"),
              .prepare = [&escape] { escape.Write(escape.Work("secrets/key"), "CANARY-KEY\n"); },
              .damage =
                  [&escape] {
                    return Escape::Read(escape.Work("secrets/key")) == "CANARY-KEY\n"
                               ? ""
                               : "the file is gone or changed";
                  }});
}
void Metadata(Escape& escape) {
  const std::string given = escape.Path("given");
  std::set<std::string> before;
  Attack attack{.argv = Program_({"metadata", given + "/file"})};
  attack.options.flags = {"--read", given};
  attack.prepare = [&] {
    fs::remove_all(given);
    escape.Write(given + "/file", "content\n", 0600);
    ASSERT_EQ(chmod(given.c_str(), 0755), 0);
    if (Escape::IsRootLane()) {
      ASSERT_EQ(chmod((given + "/file").c_str(), 0666), 0);
    }
    before = Escape::Inventory(given);
  };
  attack.damage = [&] { return Escape::Inventory(given) == before ? "" : "the file has changed"; };
  escape.Try(attack);
}
// Ways to a protected file that avoid its name.
void Aliases(Escape& escape) {
  const std::string attack =
      "for p in .git/config ./.git//config $PWD/.git/config /proc/self/root$PWD/.git/config "
      "/proc/self/cwd/.git/config /proc/$$/cwd/.git/config /proc/1/root$PWD/.git/config; do "
      "echo evil >> $p; done; exec 7< .git/config; echo evil > /proc/self/fd/7; "
      "exec 8< .git; echo evil > /proc/self/fd/8/config; cd .git; echo evil > config; cd ..; "
      "ln .git/config alias && echo evil > alias; cp -al .git other; echo evil > other/config; "
      "mv .git moved; echo evil > moved/config; exit 11";
  std::string before;
  Attack one{.argv = {"bash", "-c", attack + " 2>/dev/null"}};
  one.prepare = [&] {
    ASSERT_EQ(escape.Bare({"git", "init", "-q", "."}).status, 0);
    before = Escape::Read(escape.Work(".git/config"));
  };
  one.damage = [&] {
    return Escape::Read(escape.Work(".git/config")) == before ? "" : "the file has changed";
  };
  escape.Try(one);
}

// What would block, or be endless, where a program or a file of the broker's own is expected.
void Specials(Escape& escape) {
  const std::string profile =
      escape.Judged("    - {when: {hash: 'sha256:" + std::string(64, '0') + "'}, then: allow}\n");
  const std::string script =
      "mkfifo fifo .cellrun.yaml .envrc .git 2>/dev/null; chmod +x fifo; timeout 5 ./fifo; "
      "printf '#!%s/fifo\\n' $PWD > script; chmod +x script; timeout 5 ./script; "
      "truncate -s 1T sparse; chmod +x sparse; timeout 20 ./sparse; "
      "printf '\\177ELF' | dd of=elf bs=1 conv=notrunc 2>/dev/null; truncate -s 1T elf; chmod +x "
      "elf; "
      "timeout 20 ./elf; /lib64/ld-linux-x86-64.so.2 ./fifo & /lib64/ld-linux-x86-64.so.2 "
      "./sparse; "
      "kill %1; wait; exit 11";
  escape.ShownBare(Shown::kSucceeds);
  // Opened plainly, the FIFO holds its reader for ever.
  const Outcome bare = escape.Bare({"bash", "-c", "mkfifo fifo; timeout 1 cat fifo; exit $?"});
  escape.MustWin(bare.status == 124, bare.err);
  escape.Reset();
  Process cell = escape.Start({"bash", "-c", script}, escape.Using(profile));
  double slowest = 0;
  for (int i = 0; i < 5; ++i) {  // meanwhile others are served
    Options other = escape.Using("");
    const Outcome outcome = escape.Run({"true"}, other);
    // The FIFO may lie there until it is taken away.
    const bool refused = outcome.err.find(".cellrun.yaml") != std::string::npos;
    EXPECT_EQ(outcome.status, refused ? 125 : 0) << outcome;
    slowest = std::max(slowest, outcome.seconds);
  }
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.status, 11) << outcome;
  escape.MustHold(slowest > 10 || outcome.seconds > 45, "somebody had to wait");
  // Left by an earlier one, where the next start looks for a repository.
  escape.Reset();
  EXPECT_EQ(escape.Bare({"mkfifo", ".git", ".envrc"}).status, 0);
  const Outcome next = escape.Run({"true"}, escape.Using(""));
  escape.MustHold(next.status != 0 || next.seconds > 10, "the next start had to wait: " + next.err);
}

void DeepTree(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  Options options = escape.Using(escape.WithFilesystem("  protect: ['**/.envrc', .vscode]\n"));
  const Outcome first = escape.Run(Program_({"deep", "3000"}), options);
  EXPECT_EQ(first.status, 0) << first;
  // The next cell must walk it.
  options.flags.insert(options.flags.end(), {"--report", escape.Path("report")});
  const Outcome second = escape.Run({"true"}, options);
  escape.MustHold(second.status != 0 || second.seconds > 20 * TimeFactor(),
                  "the tree holds up the next cell: " + second.err);
  EXPECT_EQ(escape.Bare({"rm", "-rf", "d"}).status, 0);
}

// Files that a cell makes belong to the workspace's owner, and links of it change nobody's.
void Ownership(Escape& escape) {
  const std::string outside = escape.Write(escape.Path("outside/file"), "mine\n");
  const auto before = Escape::Inventory(escape.Path("outside"));
  const uid_t owner = 12345;
  const auto prepare = [&] {
    escape.Reset();
    if (Escape::IsRootLane()) {
      ASSERT_EQ(chown(escape.Work().c_str(), owner, owner), 0);
    }
  };
  const std::string script = "touch made; mkdir d; touch d/x; ln -s " + outside +
                             " link; chown -h 0:0 made; chown 0:0 link; chmod u+s made; exit 11";
  escape.ShownBare(Shown::kAsRoot);
  prepare();
  const auto foreign = [&] {
    std::string found;
    for (const auto& entry : fs::recursive_directory_iterator(escape.Work())) {
      struct stat status {};
      if (lstat(entry.path().c_str(), &status) != 0) continue;
      if (status.st_uid != (Escape::IsRootLane() ? owner : getuid()))
        found += entry.path().string() + " ";
    }
    return found;
  };
  const Outcome bare = escape.Bare({"bash", "-c", script});
  if (Escape::IsRootLane()) escape.MustWin(!foreign().empty(), bare.err);
  if (Escape::IsRootLane()) {
    ASSERT_EQ(chown(outside.c_str(), 0, 0), 0);
  }
  const auto kept = Escape::Inventory(escape.Path("outside"));
  (void)before;
  prepare();
  const Outcome cell = escape.Run({"bash", "-c", script}, escape.Using(""));
  EXPECT_EQ(cell.status, 11) << cell;
  escape.MustHold(!foreign().empty(), "files of somebody else: " + foreign());
  escape.MustHold(Escape::Inventory(escape.Path("outside")) != kept, "a link was followed");
}

void WriteImages(Escape& escape) {
  const std::string libexec = Escape::Prefix() + "/libexec/cellrun";
  const auto before = Escape::Inventory(Escape::Prefix());
  escape.ShownBare(Shown::kSucceeds);
  // A process of one's own file, outside: only its being busy is in the way.
  Process own = escape.Outside(
      {"bash", "-c", "cp /bin/sleep own; chmod u+w own; echo up; exec ./own 100"}, "up");
  Outcome bare = escape.Bare(Program_({"write-image-of", std::to_string(own.pid())}));
  escape.MustWin(bare.status == 10, bare.out);
  // Denied execs wait in the shim while it is attacked.
  Options options = escape.Using(escape.Judged(Escape::Deny(Escape::Program("mark"))));
  const long tries = std::max(200L, Escape::Iterations());
  options.time_limit = std::chrono::seconds(60 + tries / 20);
  const Outcome cell =
      escape.Run({"bash", "-c",
                  "(while :; do " + Escape::Program("mark") + " as=evil; done) 2>/dev/null & " +
                      Escape::Program("escape_files") + " write-images " + std::to_string(tries)},
                 options);
  EXPECT_EQ(cell.status, 11) << cell.out;
  escape.Count(cell.status == 10, tries);
  escape.MustHold(cell.status == 10 || Escape::Inventory(Escape::Prefix()) != before, cell.out);
}

constexpr Case kCases[] = {
    {"D3", "hidden_while_starting", "exchange a hidden directory while another cell starts",
     HiddenWhileStarting},
    {"D7", "write_images", "write to the files that others run", WriteImages},
    {"H1", "links", "leave links of many shapes for the broker", Links},
    {"H2", "flipped_directory", "exchange a directory with a link while the broker works in it",
     FlippedDirectory},
    {"H3", "hidden", "reach a hidden file by handle, link, rename, removal", Hidden},
    {"H6", "metadata", "change what is not content in a read-only tree", Metadata},
    {"H7", "aliases", "reach a protected file by other ways", Aliases},
    {"H8", "specials", "leave FIFOs and endless files as programs and settings", Specials},
    {"H13", "deep_tree", "leave a tree that takes for ever to walk", DeepTree},
    {"H15", "ownership", "make files of somebody else", Ownership},
};
ESCAPE_SUITE(FileTest, kCases);

}  // namespace
}  // namespace cellrun::test
