// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/script_operand.h"

#include <algorithm>
#include <array>

namespace cellrun::exec {
namespace {

// Options that take no argument of their own, by which the script can be told from what precedes
// it; and those after which there is none.
struct Interpreter {
  std::string_view name;     // without a version at its end
  std::string_view letters;  // of short options that may stand before the script
  std::string_view inlined;  // letters that mean code in an argument
  bool is_shell = false;     // also +x, --login and the like
};
constexpr std::array<Interpreter, 13> kInterpreters{{
    {"sh", "abefhklmnprtuvxBCEHPTi", "c", true},
    {"bash", "abefhklmnprtuvxBCEHPTi", "c", true},
    {"dash", "abefhlmnuvxCEIVi", "c", true},
    {"ash", "abefhlmnuvxCEIVi", "c", true},
    {"ksh", "abefhkmnprtuvxBCEGHPi", "c", true},
    {"zsh", "abefhklmnpruvxi", "c", true},
    {"python", "bBdEiIOPqsSuvVx", "cm", false},
    {"pypy", "bBdEiIOPqsSuvVx", "cm", false},
    {"node", "", "ep", false},
    {"nodejs", "", "ep", false},
    {"perl", "wWtTUX", "eE", false},
    {"ruby", "w", "e", false},
    {"lua", "W", "e", false},
}};

constexpr std::array<std::string_view, 7> kShellWords{
    "--login", "--norc", "--noprofile", "--posix", "--restricted", "--verbose", "--noediting"};

std::string_view NameOf(std::string_view program) {
  const std::size_t slash = program.rfind('/');
  std::string_view name = slash == std::string_view::npos ? program : program.substr(slash + 1);
  const std::size_t last = name.find_last_not_of("0123456789.-");
  return last == std::string_view::npos ? name : name.substr(0, last + 1);
}

bool ConsistsOf(std::string_view letters, std::string_view allowed) {
  return letters.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

ScriptOperand FindScriptOperand(std::string_view program, const std::vector<std::string>& argv) {
  using Kind = ScriptOperand::Kind;
  const std::string_view name = NameOf(program);
  const auto* const known =
      std::find_if(kInterpreters.begin(), kInterpreters.end(),
                   [&](const Interpreter& interpreter) { return interpreter.name == name; });
  if (known == kInterpreters.end()) return {};
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string_view word = argv[i];
    if (word == "--") {
      if (i + 1 == argv.size()) break;
      return {.kind = Kind::kScript, .argument = i + 1};
    }
    if (word == "-" || word.empty()) return {.kind = Kind::kInline, .argument = 0};
    if (known->is_shell && word.size() > 1 && word[0] == '+' &&
        ConsistsOf(word.substr(1), known->letters)) {
      continue;
    }
    if (word[0] != '-') return {.kind = Kind::kScript, .argument = i};
    if (word.starts_with("--")) {
      const bool harmless = known->is_shell && std::find(kShellWords.begin(), kShellWords.end(),
                                                         word) != kShellWords.end();
      if (harmless) continue;
      return {.kind = Kind::kUnclear, .argument = 0};
    }
    const std::string_view letters = word.substr(1);
    if (ConsistsOf(letters, known->letters)) continue;
    // -c may stand behind others: `sh -xc CODE`.
    const std::size_t odd = letters.find_first_not_of(known->letters);
    const bool inlined = known->inlined.find(letters[odd]) != std::string_view::npos;
    return {.kind = inlined ? Kind::kInline : Kind::kUnclear, .argument = 0};
  }
  return {.kind = Kind::kInline, .argument = 0};  // its standard input
}

}  // namespace cellrun::exec
