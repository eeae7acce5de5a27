// SPDX-License-Identifier: Apache-2.0
// A: which program really runs.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/escape/escape.h"

namespace cellrun::test {
namespace {

// A program of the cell's tree is denied; whatever makes it run leaves a mark.
Attack AgainstMark(Escape& escape, const Words& attack) {
  Words argv = {Escape::Program("escape_exec")};
  argv.insert(argv.end(), attack.begin(), attack.end());
  return {.argv = argv,
          .profile = escape.Judged(Escape::Deny(Escape::Program("mark"))),
          .damage = [&escape] { return escape.EvilRan(); }};
}

void PathSpellings(Escape& escape) {
  escape.Try(AgainstMark(escape, {"spellings", Escape::Program("mark")}));
  // Each spelling was seen, resolved to the same program, and is in the journal as it was written.
  std::set<std::string> words;
  for (const auto& record : escape.History({"--verdict", "deny"})) {
    EXPECT_EQ(record.value("exe", ""), Escape::Program("mark")) << record;
    for (const auto& word : record.value("argv", nlohmann::json::array()))
      words.insert(word.get<std::string>());
  }
  EXPECT_GE(words.size(), 25U) << "spellings that were judged";
}

void OtherNames(Escape& escape) {
  Attack attack = AgainstMark(escape, {"other-names", escape.Work("tool")});
  attack.prepare = [&escape] { escape.CopyProgram("mark", "tool"); };
  escape.Reset();
  attack.profile = escape.Judged(Escape::Deny(escape.Work("tool")));
  escape.Try(attack);
}

// Nothing but the attack and its shell may run; the copies are called `cat`, which may.
std::string OnlyAttack(Escape& escape, const std::string& more = "") {
  return escape.Judged(Escape::Allow(Escape::Program("escape_exec")) + Escape::Allow("cat") + more,
                       "deny");
}
void Copies(Escape& escape) {
  Attack attack = AgainstMark(escape, {"copies", Escape::Program("mark"), ".", "/tmp", "/var/tmp",
                                       "/dev/shm", escape.Home()});
  attack.profile = OnlyAttack(escape);
  escape.Try(attack);
}
void CopiesByWritable(Escape& escape) {
  Attack attack = AgainstMark(escape, {"copies", Escape::Program("mark"), ".", "/tmp", "/var/tmp",
                                       "/dev/shm", escape.Home()});
  attack.profile = escape.Judged("    - {when: {writable: true}, then: deny}\n");
  escape.Try(attack);
}
void Retargeted(Escape& escape) {
  Attack attack =
      AgainstMark(escape, {"retargeted", Escape::Program("mark"), escape.Work("other")});
  attack.prepare = [&escape] { escape.CopyProgram("mark", "other"); };
  attack.profile = OnlyAttack(escape, Escape::Allow(Escape::Program("mark")));
  escape.Try(attack);
}

void Loaders(Escape& escape) {
  Attack attack = AgainstMark(escape, {"loaders", "/lib64/ld-linux-x86-64.so.2", "/usr/bin/touch"});
  attack.profile = escape.Judged(Escape::Deny("touch"));
  escape.Try(attack);
}
void LoadersOfCopies(Escape& escape) {
  Attack attack =
      AgainstMark(escape, {"loaders", "/lib64/ld-linux-x86-64.so.2", escape.Work("payload")});
  attack.prepare = [&escape] {
    escape.Write(escape.Work("payload"), Escape::Read("/usr/bin/touch"), 0755);
  };
  attack.profile = OnlyAttack(escape);
  escape.Try(attack);
}

void Nameless(Escape& escape) {
  // Whatever the default says: only a rule that names anonymous images lets one run.
  Attack attack = AgainstMark(escape, {"nameless", escape.Work("tool")});
  attack.prepare = [&escape] { escape.CopyProgram("mark", "tool"); };
  attack.profile = escape.OpenProfile();
  escape.Try(attack);
}
void ReceivedFile(Escape& escape) {
  const std::string socket = escape.Work("socket");
  // The program lies outside of every tree that the cell has.
  const std::string program =
      escape.Write(escape.Path("beside/mark"), Escape::Read(Escape::Program("mark")), 0755);
  std::vector<Process> senders;
  Attack attack = AgainstMark(escape, {"received-file", socket});
  attack.prepare = [&] {
    senders.clear();
    senders.push_back(escape.Outside({Escape::Program("escape_exec"), "send-file", socket, program},
                                     "listening"));
  };
  attack.profile = escape.OpenProfile();
  escape.Try(attack);
}

// ---- A9, A10, A13: what runs a program for somebody. %P is the denied program, %A its argument.

struct Line {
  const char* tool;
  const char* text;
};
constexpr Line kInterpreters[] = {
    {"bash", "bash -c '%P %A'"},
    {"sh", "echo %P %A | sh"},
    {"bash", "eval '%P %A'"},
    {"bash", "bash -c 'exec -a innocent %P %A'"},
    {"python3", "python3 -c 'import os; os.execv(\"%P\", [\"x\", \"%A\"])'"},
    {"python3", "python3 -c 'import subprocess; subprocess.run([\"%P\", \"%A\"])'"},
    {"perl", "perl -e 'exec \"%P\", \"%A\"'"},
    {"node", "node -e 'require(\"child_process\").spawnSync(\"%P\", [\"%A\"])'"},
    {"awk", "awk 'BEGIN { system(\"%P %A\") }'"},
    {"find", "find . -maxdepth 0 -exec %P %A ';'"},
    {"make", "printf 'all:\\n\\t%P %A\\n' | make -f -"},
    {"sed", "echo | sed '1e %P %A'"},
    {"vim", "vim -es -c '!%P %A' -c 'qa!'"},
    {"ed", "printf '!%P %A\\nq\\n' | ed -s"},
    {"tclsh", "echo 'exec %P %A' | tclsh"},
    {"gdb", "gdb -batch -ex 'shell %P %A'"},
    {"go", "printf '#!/bin/sh\\nexec %P %A\\n' > script; chmod +x script; ./script"},
    {"sh", "printf '#!%P %A\\n' > direct; chmod +x direct; ./direct"},
    {"sh", "printf '#!/usr/bin/env -S %P %A\\n' > split; chmod +x split; ./split"},
    {"sh", "printf '%P %A\\n' > noformat; chmod +x noformat; ./noformat"},
};
constexpr Line kWrappers[] = {
    {"env", "env %P %A"},
    {"env", "env -i -S '%P %A'"},
    {"nice", "nice -n 10 %P %A"},
    {"timeout", "timeout -k 1 5 %P %A"},
    {"xargs", "echo %A | xargs %P"},
    {"nohup", "nohup %P %A"},
    {"setsid", "setsid -w %P %A"},
    {"flock", "flock lock -c '%P %A'"},
    {"script", "script -qc '%P %A' /dev/null"},
    {"stdbuf", "stdbuf -o0 %P %A"},
    {"ionice", "ionice -c 3 %P %A"},
    {"chrt", "chrt -b 0 %P %A"},
    {"taskset", "taskset -c 0 %P %A"},
    {"prlimit", "prlimit --nofile=64 %P %A"},
    {"setarch", "setarch -R %P %A"},
    {"strace", "strace -o /dev/null %P %A"},
    {"bash", "coproc %P %A; wait"},
    {"bash", "cat <(%P %A)"},
    {"bash", "trap '%P %A' EXIT; exit"},
    {"bash", "command -p env env env env env env env env %P %A"},
    {"python3", "python3 -c 'import os; os.posix_spawn(\"%P\", [\"x\", \"%A\"], {})'"},
};
constexpr Line kTools[] = {
    {"git", "git init -q r; git -C r -c core.fsmonitor='%P %A;:' status"},
    {"git", "git -c alias.x='!%P %A' x"},
    {"git", "git -c core.sshCommand='%P %A;:' ls-remote ssh://x/y"},
    {"git", "git clone -q 'ext::%P %A'"},
    {"git", "GIT_EXTERNAL_DIFF='%P %A' git diff --no-index /etc/passwd /etc/group --ext-diff"},
    {"tar", "tar cf /dev/null --checkpoint=1 --checkpoint-action=exec='%P %A' /usr/share/doc/tar"},
    {"tar", "tar cf archive -I '%P %A' /etc/passwd"},
    {"gcc", "echo | gcc -wrapper %P,%A -E -"},
    {"make", "make SHELL=%P .SHELLFLAGS=%A -s -f /dev/null --eval 'x:;@x' x"},
    {"ssh", "ssh -o ProxyCommand='%P %A' host"},
    {"npm", "echo '{\"scripts\":{\"x\":\"%P %A\"}}' > package.json; npm run x"},
    {"sort", "yes | head -50000 | sort -S 1k -T . --compress-program=./compress"},
    {"find", "find /etc/passwd -execdir %P %A ';'"},
    {"man", "man -P '%P %A' true"},
};

std::string Replace(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

template <std::size_t kCount>
void TryLines(Escape& escape, const Line (&lines)[kCount]) {
  const auto write_script = [&] {
    std::string script;
    long number = 0;
    for (const Line& line : lines) {
      const std::string argument = "as=evil-" + std::to_string(++number);
      std::string text = Replace(line.text, "%P", Escape::Program("mark"));
      text = Replace(text, "%A", argument);
      const std::string place = "place" + std::to_string(number);
      script += "mkdir " + place + "; if command -v " + line.tool + "; then ( cd " + place +
                "\nprintf '#!/bin/sh\\nexec " + Escape::Program("mark") + " " + argument +
                "\\n' > compress; chmod +x compress\n" + text + "\n) ; fi\n";
    }
    escape.Write(escape.Work("lines"), script + "exit 11\n");
  };
  Attack attack{.argv = {"bash", "-c", "bash lines < /dev/null > output 2>&1"},
                .profile = escape.Judged(Escape::Deny(Escape::Program("mark"))),
                .prepare = write_script};
  long shown = 0;
  attack.damage = [&] {
    std::set<std::string> marks;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(escape.Work())) {
      const std::string name = entry.path().filename();
      if (name.starts_with("ran.evil")) marks.insert(name);
    }
    shown = std::max(shown, static_cast<long>(marks.size()));
    return escape.EvilRan();
  };
  escape.Try(attack);
  std::set<std::string> judged;
  for (const auto& record : escape.History({"--verdict", "deny"})) {
    for (const auto& word : record.value("argv", nlohmann::json::array())) {
      if (word.get<std::string>().find("as=evil-") != std::string::npos) judged.insert(word);
    }
  }
  escape.Note(std::to_string(shown) + " ways bare, " + std::to_string(judged.size()) +
              " judged and denied");
  EXPECT_GE(shown, static_cast<long>(kCount) / 2) << "too few of these tools are here";
  EXPECT_GE(static_cast<long>(judged.size()), shown * 3 / 4) << escape.Read(escape.Work("output"));
}
void Interpreters(Escape& escape) {
  TryLines(escape, kInterpreters);
}
void Wrappers(Escape& escape) {
  TryLines(escape, kWrappers);
}
void Tools(Escape& escape) {
  TryLines(escape, kTools);
}

// An exact list is allowed and everything else denied: no option, abbreviation or order widens it.
void Options_(Escape& escape) {
  Attack attack{
      .argv =
          {"bash", "-c",
           "git init -q . 2>/dev/null; printf '#!/bin/sh\\ntouch ran.evil\\n' > evil.sh; chmod +x "
           "evil.sh; "
           "git -c core.fsmonitor=./evil.sh status; git -C . -c core.fsmonitor=./evil.sh status; "
           "git --config-env=core.fsmonitor=EVIL status; "
           "git -c core.fsmonitor=./evil.sh status --; git --no-pager -c core.fsmonitor=./evil.sh "
           "status; "
           "git -ccore.fsmonitor=./evil.sh status; git -p -c core.fsmonitor=./evil.sh status; "
           "git -c core.fsmonitor=./evil.sh stat\"us\"; exit 11"},
      .profile = escape.Judged("    - {when: {exe: git, args: [status]}, then: allow}\n"
                               "    - {when: {exe: git}, then: deny}\n"),
      .damage = [&escape] { return escape.EvilRan(); }};
  escape.Try(attack);
}

void Padded(Escape& escape) {
  Attack attack = AgainstMark(escape, {"padded", Escape::Program("mark")});
  attack.profile =
      escape.Judged(Escape::Deny(Escape::Program("mark"), ", args-any: ['--forbidden']"));
  escape.Try(attack);
}
void OddArguments(Escape& escape) {
  Attack attack = AgainstMark(escape, {"odd-arguments", escape.Work("tool")});
  attack.prepare = [&escape] { escape.CopyProgram("mark", "tool", "evil"); };
  escape.Reset();
  attack.profile = escape.Judged(Escape::Deny(escape.Work("tool")));
  escape.Try(attack);
}
void Environments(Escape& escape) {
  Attack attack = AgainstMark(escape, {"environments", Escape::Program("mark")});
  attack.profile =
      escape.Judged(Escape::Allow(Escape::Program("mark"), ", env: {MODE: safe, LOADED: null}") +
                    Escape::Deny(Escape::Program("mark")));
  escape.Try(attack);
}
void SearchPath(Escape& escape) {
  Attack attack{
      .argv = {"bash", "-c",
               "mkdir -p bin node_modules/.bin; for d in . bin node_modules/.bin; do cp " +
                   Escape::Program("mark") +
                   " $d/git; done; "
                   "PATH=.:$PATH git as=evil-1; PATH=:$PATH git as=evil-2; PATH=$PWD/bin:$PATH git "
                   "as=evil-3; "
                   "PATH=node_modules/.bin:$PATH git as=evil-4; PATH= ; cd bin; git as=evil-5; "
                   "PATH=../bin/../bin; git as=evil-6; exit 11"},
      .profile = escape.Judged(Escape::Allow("git") + Escape::Allow("cp") + Escape::Allow("bash") +
                                   Escape::Allow("mkdir"),
                               "deny"),
      .damage = [&escape] { return escape.EvilRan(); }};
  escape.Try(attack);
}
void OtherRoot(Escape& escape) {
  Attack attack{.argv = {Escape::Program("escape_reach"), "other-root", escape.Work("root")},
                .profile = escape.Judged(Escape::Allow("git"), "allow"),
                .bare = Shown::kInNamespaces,
                .prepare = [&escape] { escape.CopyProgram("mark", "root/usr/bin/git"); }};
  escape.Try(attack);
}
void FormatHandler(Escape& escape) {
  escape.Try({.argv = {Escape::Program("escape_reach"), "format-handler", escape.Work("mount")},
              .bare = Shown::kInNamespaces,
              .prepare = [&escape] { mkdir(escape.Work("mount").c_str(), 0755); }});
}
void ForgeIdentity(Escape& escape) {
  escape.Try({.argv = {Escape::Program("escape_exec"), "forge-identity"}});
}
void GainRights(Escape& escape) {
  escape.Try({.argv = {Escape::Program("escape_exec"), "gain-rights", escape.Work("tool")},
              .bare = Shown::kAsRoot,
              .prepare = [&escape] {
                const std::string tool = escape.CopyProgram("escape_exec", "tool");
                if (!Escape::IsRootLane()) return;  // only root can make somebody else's file
                ASSERT_EQ(chown(tool.c_str(), 12345, 12345), 0);
                ASSERT_EQ(chmod(tool.c_str(), 06755), 0);
              }});
}
void Tasks(Escape& escape) {
  escape.Try(AgainstMark(escape, {"tasks", Escape::Program("mark")}));
}

void Checks(Escape& escape) {
  Attack attack = AgainstMark(escape, {"checks", Escape::Program("mark"), "1000"});
  attack.damage = {};
  escape.Try(attack);
  // Asked a thousand times, and never counted as an exec.
  long checks = 0;
  for (const auto& record : escape.History({"--exe", Escape::Program("mark")})) {
    EXPECT_EQ(record.value("result", ""), "check") << record;
    checks += record.value("count", 1);
  }
  EXPECT_GE(checks, 1);
}

void Rewritten(Escape& escape) {
  escape.Reset();
  const std::string tool = escape.CopyProgram("mark", "tool", "good");
  const Outcome sum = escape.Bare({"sha256sum", tool});
  Attack attack = AgainstMark(escape, {"rewritten", tool});
  attack.prepare = [&escape] { escape.CopyProgram("mark", "tool", "good"); };
  attack.profile = OnlyAttack(
      escape, "    - {when: {hash: 'sha256:" + sum.out.substr(0, 64) + "'}, then: allow}\n");
  escape.Try(attack);
}

constexpr Case kCases[] = {
    {"A1", "path_spellings", "start a denied program by other spellings of its path",
     PathSpellings},
    {"A2", "other_names", "start a denied program by links and after renames", OtherNames},
    {"A2", "retargeted", "point a link that was allowed at another program", Retargeted},
    {"A3", "copies", "start copies in every writable place, named like allowed ones", Copies},
    {"A3", "copies_writable", "the same where only what the cell wrote is denied",
     CopiesByWritable},
    {"A4", "loaders", "start a denied program through the dynamic loader", Loaders},
    {"A4", "loaders_of_copies", "start a copy through the dynamic loader", LoadersOfCopies},
    {"A5", "nameless", "start memory, temporary and deleted files", Nameless},
    {"A6", "received_file", "start a program of the host from a received descriptor", ReceivedFile},
    {"A9", "interpreters", "have interpreters start a denied program", Interpreters},
    {"A10", "wrappers", "have wrappers start a denied program", Wrappers},
    {"A11", "options", "write an allowed command in ways that do more", Options_},
    {"A12", "padding", "hide the forbidden word behind many and long ones", Padded},
    {"A13", "tools", "have everyday tools start a denied program", Tools},
    {"A14", "environments", "pass variables that two readers read differently", Environments},
    {"A15", "search_path", "put a program of one's own ahead in PATH", SearchPath},
    {"A17", "other_root", "start one's own /usr/bin/git in another root", OtherRoot},
    {"A18", "format_handler", "register a binary format", FormatHandler},
    {"A19", "forge_identity", "look like another program afterwards", ForgeIdentity},
    {"A20", "gain_rights", "start a set-user-ID program", GainRights},
    {"A21", "tasks", "start a denied program from threads, vfork and shared memory", Tasks},
    {"A22", "checks", "ask whether a program could run, a thousand times", Checks},
    {"A23", "rewritten", "change an allowed program in place, times restored", Rewritten},
    {"X1", "odd_arguments", "start a program without argv, or with another's", OddArguments},
};
ESCAPE_SUITE(IdentityTest, kCases);

}  // namespace
}  // namespace cellrun::test
