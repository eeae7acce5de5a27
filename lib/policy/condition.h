// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/pattern.h"
#include "lib/policy/profile.h"
#include "lib/policy/program_set.h"
#include "lib/policy/request.h"

namespace cellrun::policy {

// One link of a request's chain. Each image is judged as if it were the program; argv, environment
// and the rest are those of the request for every link.
struct Link {
  const ExecRequest& request;
  std::size_t image = 0;

  [[nodiscard]] const ExecImage& program() const { return request.images[image]; }
  [[nodiscard]] std::span<const ExecImage> interpreters() const {
    return std::span(request.images).subspan(image + 1);
  }
  // The name by which it is called, where a program that is another one for each name goes by that
  // for certain: a path of the system's directories and argv[0] agree.
  [[nodiscard]] std::optional<std::string_view> called() const;
  // What this image is given, without argv[0].
  [[nodiscard]] std::span<const std::string> arguments() const {
    const std::span<const std::string> all(program().argv.empty() ? request.argv : program().argv);
    return all.empty() ? all : all.subspan(1);
  }
};

enum class Condition : std::uint8_t {
  kAnonymous,
  kWritable,
  kTty,
  kUser,
  kExe,
  kHash,
  kScript,
  kInterpreter,
  kParent,
  kArgs,
  kArgsAny,
  kArgsNone,
  kCwd,
  kEnv,
  kCount
};

// A rule's `when`, compiled.
class CompiledWhen {
 public:
  // `tightening`: the rule asks or denies, so what is not known counts as a match. EINVAL: the
  // context names the condition and the text, the operation says what is wrong.
  static Result<CompiledWhen> Compile(const When& when, bool tightening, const Places& places,
                                      ProgramBinder& binder);

  [[nodiscard]] bool Matches(const Link& link) const { return !FirstFailing(link); }
  // Cheap conditions are tried first.
  [[nodiscard]] std::optional<Condition> FirstFailing(const Link& link) const;
  // "args: 'pull' is not 'push'", for a condition that failed.
  [[nodiscard]] std::string Explain(Condition condition, const Link& link) const;

  [[nodiscard]] bool given(Condition condition) const {
    return (given_ & (1U << static_cast<unsigned>(condition))) != 0;
  }
  // Whether nothing is asked for: every link matches.
  [[nodiscard]] bool empty() const { return given_ == 0; }
  // Whether every anonymous image matches, whatever else the request is.
  [[nodiscard]] bool OnlyAnonymous() const {
    return given_ == 1U << static_cast<unsigned>(Condition::kAnonymous) && anonymous_ == true;
  }
  // Whether all that is asked for is `exe: "**"`.
  [[nodiscard]] bool EveryPath() const;
  [[nodiscard]] const ProgramSet& exe() const { return exe_; }
  [[nodiscard]] const ProgramSet& script() const { return script_; }
  [[nodiscard]] std::optional<bool> anonymous() const { return anonymous_; }
  // Whether the conditions that only look at the program file hold.
  [[nodiscard]] bool CouldBe(const ExecImage& image) const;

 private:
  friend struct ConditionTable;
  CompiledWhen() = default;

  struct EnvironmentPattern {
    std::string name;
    std::optional<Pattern> value;  // nothing: must be absent
  };

  std::uint32_t given_ = 0;
  bool tightening_ = false;
  ProgramSet exe_, script_, interpreter_, parent_;
  std::vector<std::string> hash_, user_;
  std::optional<ArgumentsPattern> args_;
  std::vector<Pattern> args_any_, args_none_, cwd_;
  std::vector<EnvironmentPattern> env_;
  std::optional<bool> tty_, writable_, anonymous_;
};

}  // namespace cellrun::policy
