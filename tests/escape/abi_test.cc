// SPDX-License-Identifier: Apache-2.0
// C: the kernel by its side doors.
#include "tests/escape/escape.h"

namespace cellrun::test {
namespace {

Words Program_(const Words& attack) {
  Words argv = {Escape::Program("escape_abi")};
  argv.insert(argv.end(), attack.begin(), attack.end());
  return argv;
}
// The denied program and its mark.
Attack AgainstMark(Escape& escape, const Words& attack) {
  return {.argv = Program_(attack),
          .profile = escape.Judged(Escape::Deny(Escape::Program("mark"))),
          .damage = [&escape] { return escape.EvilRan(); }};
}

void Entry32(Escape& escape) {
  Attack attack = AgainstMark(escape, {"entry-32", Escape::Program("mark")});
  escape.Try(attack);
}
void Unknown(Escape& escape) {
  escape.Try({.argv = Program_({"unknown-calls"}), .bare = Shown::kNoTarget});
}
void HighBits(Escape& escape) {
  escape.Try({.argv = Program_({"high-bits"})});
}
void Clone3(Escape& escape) {
  escape.Try({.argv = Program_({"clone3"})});
}
void Rings(Escape& escape) {
  escape.Try({.argv = Program_({"rings"})});
}
void Filters(Escape& escape) {
  escape.Try(AgainstMark(escape, {"filters", Escape::Program("mark")}));
}
void Injections(Escape& escape) {
  escape.Try({.argv = Program_({"injections"})});
}
void Init(Escape& escape) {
  escape.Try({.argv = Program_({"init"}), .bare = Shown::kAimsAtCell});
}
void Unfiltered(Escape& escape) {
  escape.Try({.argv = Program_({"unfiltered"})});
}
void Frames(Escape& escape) {
  escape.Try(AgainstMark(escape, {"frames", Escape::Program("mark")}));
}

constexpr Case kCases[] = {
    {"C1", "entry_32", "make 32-bit system calls from a 64-bit program", Entry32},
    {"C4", "unknown_calls", "call numbers that are newer than the filter, and x32's", Unknown},
    {"C5", "high_bits", "set bits of arguments that the kernel does not look at", HighBits},
    {"C6", "clone3", "hide clone's flags in memory", Clone3},
    {"C7", "rings", "have the kernel work from a ring", Rings},
    {"C8", "filters", "put filters of one's own over the cell's", Filters},
    {"C9", "injections", "write into a process that may do more", Injections},
    {"C10", "init", "read, stop or starve the cell's init", Init},
    {"C12", "unfiltered", "find a thread without filter, or with rights", Unfiltered},
    {"C14", "frames", "make a system call from a signal's frame", Frames},
};
ESCAPE_SUITE(AbiTest, kCases);

}  // namespace
}  // namespace cellrun::test
