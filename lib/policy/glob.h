// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/result.h"

namespace cellrun::policy {

// What `*`, `?` and `[...]` may stand for: in a path they stop at '/', in an argument they do not.
enum class GlobKind : std::uint8_t { kPath, kArgument };

// Bounds on one pattern. The automaton has at most one state a character or a little more, so these
// also bound memory and the work for each character of a subject.
inline constexpr std::size_t kMaxGlobBytes = 4096;
inline constexpr std::size_t kMaxGlobStates = 1024;
inline constexpr int kMaxGlobDepth = 16;  // nested braces

// A glob compiled once and matched against whole subjects by simulating its automaton: the time is
// linear in the subject, whatever the pattern, and nothing is allocated.
//
//   *  **      any run of characters; in a path `*` stops at '/', `**` does not, and the component
//              `**` followed by '/' may also be nothing: `a/**/b` matches a/b
//   ?          one character: a UTF-8 sequence, or one byte that is not UTF-8
//   [a-z] [!…] one of a set ([:alpha:] and its kin inside)
//   {a,b}      either; may be nested and empty; {} stands for itself
//   \x         x itself
class Glob {
 public:
  // EINVAL with what is wrong as the operation.
  static Result<Glob> Compile(std::string_view pattern, GlobKind kind);

  [[nodiscard]] bool Matches(std::string_view subject) const;
  // Whether it can match one text only; and that text.
  [[nodiscard]] bool literal() const { return literal_; }
  [[nodiscard]] const std::string& literal_prefix() const { return prefix_; }

 private:
  friend class GlobCompiler;
  friend class GlobRun;
  enum class Op : std::uint8_t { kSymbol, kAny, kAnyButSlash, kClass, kSplit, kJump, kMatch };
  struct Instruction {
    Op op = Op::kMatch;
    std::uint16_t next = 0, other = 0;  // where it goes on; kSplit has two
    std::uint32_t operand = 0;          // kSymbol: the character; kClass: which class
  };
  struct Class {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
    bool negated = false;
  };
  enum class Tail : std::uint8_t { kAutomaton, kAnything, kAnythingButSlash };

  Glob() = default;
  void FindShortcuts();

  std::vector<Instruction> program_;
  std::vector<Class> classes_;
  GlobKind kind_ = GlobKind::kPath;
  std::string prefix_;       // what every match starts with
  std::string suffix_;       // what every match ends with, if the automaton is needed
  std::uint16_t start_ = 0;  // the instruction after the prefix
  Tail tail_ = Tail::kAutomaton;
  bool literal_ = false;
};

// Whether a text would mean anything but itself as a glob.
bool HasGlobCharacters(std::string_view text);
// The glob that matches exactly `text`.
std::string EscapeGlob(std::string_view text);

}  // namespace cellrun::policy
