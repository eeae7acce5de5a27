// SPDX-License-Identifier: Apache-2.0
// U: what the opt-in `userns` opens: namespaces of the cell's own, with every capability inside.
#include <sys/stat.h>

#include "tests/escape/escape.h"

namespace cellrun::test {
namespace {

constexpr char kOptIn[] = "syscalls: {rules: [{name: userns, then: allow}]}\n";

Words Program_(const Words& attack) {
  Words argv = {Escape::Program("escape_nested")};
  argv.insert(argv.end(), attack.begin(), attack.end());
  return argv;
}
std::string Profile(Escape& escape, const std::string& lines) {
  return escape.WriteProfile("cellrun: 1\nname: nested\nextends: [base]\n" + lines + kOptIn);
}
std::string Open(Escape& escape) {
  return Profile(escape, "commands: {default: allow}\n");
}

void Unmask(Escape& escape) {
  escape.Try({.argv = Program_({"unmask", escape.Work("secrets/key"), "CANARY-KEY"}),
              .profile = Profile(escape,
                                 "commands: {default: allow}\nfilesystem: {hide: [secrets/key]}\n"),
              .prepare = [&escape] { escape.Write(escape.Work("secrets/key"), "CANARY-KEY\n"); }});
}
void Unprotect(Escape& escape) {
  escape.Try({.argv = Program_({"unprotect", escape.Work("guarded/file")}),
              .profile = Profile(
                  escape, "commands: {default: allow}\nfilesystem: {protect: [guarded/file]}\n"),
              .prepare = [&escape] { escape.Write(escape.Work("guarded/file"), "mine\n"); },
              .damage =
                  [&escape] {
                    return Escape::Read(escape.Work("guarded/file")) == "mine\n" ? ""
                                                                                 : "it has changed";
                  }});
}
// What the profile gives for reading only.
void ReadOnly(Escape& escape) {
  const std::string given = escape.Path("given");
  Attack attack{.argv = Program_({"unprotect", given + "/file"}), .profile = Open(escape)};
  attack.options.flags = {"--read", given};
  attack.prepare = [&escape, given] { escape.Write(given + "/file", "mine\n", 0666); };
  attack.damage = [given] {
    return Escape::Read(given + "/file") == "mine\n" ? "" : "it has changed";
  };
  escape.Try(attack);
}
// The one program that may run lends its name to another.
void OtherName(Escape& escape) {
  const std::string rules = "commands:\n  default: deny\n  rules:\n" +
                            Escape::Allow(Escape::Program("escape_nested")) +
                            Escape::Allow("/usr/bin/tac");
  escape.Try({.argv = Program_({"other-name", escape.Work("evil"), "/usr/bin/tac"}),
              .profile = Profile(escape, rules),
              .prepare = [&escape] { escape.CopyProgram("mark", "evil"); },
              .damage = [&escape] { return escape.EvilRan(); }});
}
// By a task of the cell's own tree that looks into a nested one.
void LookInto(Escape& escape) {
  const std::string rules = "commands:\n  default: deny\n  rules:\n" +
                            Escape::Allow(Escape::Program("escape_nested")) +
                            Escape::Allow("/usr/bin/tac");
  escape.Try({.argv = Program_({"look-into", escape.Work("evil"), "/usr/bin/tac"}),
              .profile = Profile(escape, rules),
              .prepare = [&escape] { escape.CopyProgram("mark", "evil"); },
              .damage = [&escape] { return escape.EvilRan(); }});
}
void Memory(Escape& escape) {
  escape.Try({.argv = Program_({"memory"}), .profile = Open(escape)});
}
void Join(Escape& escape) {
  escape.Try({.argv = Program_({"join"}), .profile = Open(escape)});
}
void Surface(Escape& escape) {
  escape.Try({.argv = Program_({"surface"}), .profile = Open(escape)});
}
void Climb(Escape& escape) {
  const std::string secret = escape.Write(escape.Path("beside/secret"), "secret");
  escape.Try({.argv = Program_({"climb", secret}), .profile = Open(escape)});
}
void Many(Escape& escape) {
  escape.Try({.argv = Program_({"many", "300"}), .profile = Open(escape)});
}

const Case kCases[] = {
    {"U1", "unmask", "a hidden file, by mounts in a nested namespace", Unmask},
    {"U2", "unprotect", "a protected file, by mounts in a nested namespace", Unprotect},
    {"U2", "read_only", "a read-only grant made writable in a nested namespace", ReadOnly},
    {"U3", "other_name", "a denied program mounted over an allowed one's name", OtherName},
    {"U3", "look_into", "the same, by a task that looks into the nested namespace", LookInto},
    {"U4", "memory", "another process' memory, through procfs in a nested pid namespace", Memory},
    {"U5", "join", "setns from a nested namespace", Join},
    {"U6", "surface", "what nested capabilities open in the kernel", Surface},
    {"U7", "climb", "out of a root directory by chroot and pivot_root", Climb},
    {"U8", "many", "300 namespaces at once", Many},
};
ESCAPE_SUITE(NestedEscape, kCases);

}  // namespace
}  // namespace cellrun::test
