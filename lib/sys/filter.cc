// SPDX-License-Identifier: Apache-2.0
// From the table to the program. Not by libseccomp: its tree covers single numbers, and with
// "unknown numbers are ENOSYS" every one of the four hundred known ones becomes a leaf, which more
// than doubles what is installed with each cell. Here a leaf is an interval of numbers with one
// answer, and the tests can insist that every instruction is reached.
#include "lib/sys/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstddef>
#include <limits>
#include <map>

#include "lib/base/check.h"
#include "lib/sys/argument_rule.h"

namespace cellrun::sys {
namespace {

constexpr std::uint32_t kArchitecture = offsetof(seccomp_data, arch);
constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr);

std::uint32_t ArgumentOffset(const ArgumentTest& test) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  const std::size_t half = test.half == ArgumentTest::kHigh ? sizeof(std::uint32_t) : 0;
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args) +
                                    test.argument * sizeof(std::uint64_t) + half);
}

// Instructions whose jumps name labels until Finish() turns them into distances.
class Assembler {
 public:
  using Label = std::size_t;

  Label NewLabel() {
    positions_.push_back(kUnplaced);
    return positions_.size() - 1;
  }
  // The label is the instruction that comes next.
  void Place(Label label) {
    CHECK(positions_[label] == kUnplaced);
    positions_[label] = lines_.size();
  }
  void Load(std::uint32_t offset) { Plain(BPF_LD | BPF_W | BPF_ABS, offset); }
  void And(std::uint32_t mask) { Plain(BPF_ALU | BPF_AND | BPF_K, mask); }
  void Return(std::uint32_t code) { Plain(BPF_RET | BPF_K, code); }
  // `comparison` is BPF_JEQ or BPF_JGE.
  void Jump(std::uint16_t comparison, std::uint32_t value, Label if_true, Label if_false) {
    lines_.push_back({{static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K), 0, 0, value},
                      if_true,
                      if_false});
  }

  [[nodiscard]] std::vector<sock_filter> Finish() const {
    std::vector<sock_filter> program;
    for (const Line& line : lines_) {
      sock_filter instruction = line.instruction;
      if (BPF_CLASS(instruction.code) == BPF_JMP) {
        instruction.jt = Distance(program.size(), line.if_true);
        instruction.jf = Distance(program.size(), line.if_false);
      }
      program.push_back(instruction);
    }
    CHECK(program.size() <= BPF_MAXINSNS);
    return program;
  }

 private:
  struct Line {
    sock_filter instruction;
    Label if_true, if_false;
  };
  static constexpr std::size_t kUnplaced = std::numeric_limits<std::size_t>::max();

  void Plain(int code, std::uint32_t k) {
    lines_.push_back({{static_cast<std::uint16_t>(code), 0, 0, k}, 0, 0});
  }
  // A distance has 8 bits. One that wrapped would silently drop a rule.
  [[nodiscard]] std::uint8_t Distance(std::size_t from, Label label) const {
    const std::size_t to = positions_[label];
    CHECK(to != kUnplaced && to > from);
    CHECK(to - from - 1 <= std::numeric_limits<std::uint8_t>::max());
    return static_cast<std::uint8_t>(to - from - 1);
  }

  std::vector<Line> lines_;
  std::vector<std::size_t> positions_;
};

class Generator {
 public:
  using Label = Assembler::Label;

  explicit Generator(const FilterOptions& options) : options_(options) {}

  std::vector<sock_filter> Generate() {
    const std::vector<Interval> intervals = FindIntervals();
    const Label known_architecture = assembler_.NewLabel();
    assembler_.Load(kArchitecture);
    assembler_.Jump(BPF_JEQ, AUDIT_ARCH_X86_64, known_architecture, AnswerLabel(Answer::kKill));
    assembler_.Place(known_architecture);
    assembler_.Load(kNumber);
    EmitTree(intervals);
    for (const auto& [rule, label] : rules_) EmitRule(*rule, label);
    // Last, so that one instruction an answer is in reach of all.
    for (const auto& [answer, label] : answers_) {
      assembler_.Place(label);
      assembler_.Return(AnswerCode(answer));
    }
    return assembler_.Finish();
  }

 private:
  struct Interval {
    std::uint32_t first;  // up to the next one's
    Label target;
  };

  [[nodiscard]] bool IsOptedIn(OptIn opt_in) const {
    switch (opt_in) {
      case OptIn::kNone:
        return false;
      case OptIn::kPtrace:
        return options_.allow_ptrace;
      case OptIn::kPerf:
        return options_.allow_perf;
      case OptIn::kKeyctl:
        return options_.allow_keyctl;
      case OptIn::kUserns:
        return options_.allow_userns;
    }
    CHECK(false);
  }

  Label AnswerLabel(Answer answer) {
    const auto [at, is_new] = answers_.try_emplace(answer, 0);
    if (is_new) at->second = assembler_.NewLabel();
    return at->second;
  }
  [[nodiscard]] std::vector<const Condition*> ConditionsOf(const ArgumentRule& rule) const {
    std::vector<const Condition*> conditions;
    for (const Condition& condition : rule.conditions) {
      const bool wanted = condition.only_with == OptIn::kNone || IsOptedIn(condition.only_with);
      if (wanted && !IsOptedIn(condition.opt_in)) conditions.push_back(&condition);
    }
    return conditions;
  }
  Label RuleLabel(const ArgumentRule* rule) {
    CHECK(rule != nullptr);
    if (ConditionsOf(*rule).empty()) return AnswerLabel(rule->otherwise);
    const auto [at, is_new] = rules_.try_emplace(rule, 0);
    if (is_new) at->second = assembler_.NewLabel();
    return at->second;
  }

  Label TargetOf(const SyscallEntry& entry) {
    if (options_.keep_processors && entry.number == SYS_sched_setaffinity)
      return AnswerLabel(Answer::kEperm);
    if (IsOptedIn(entry.opt_in)) {
      return entry.rule != nullptr ? RuleLabel(entry.rule) : AnswerLabel(Answer::kAllow);
    }
    switch (entry.syscall_class) {
      case SyscallClass::kAllow:
        return AnswerLabel(Answer::kAllow);
      case SyscallClass::kJudged:
        return AnswerLabel(Answer::kNotify);
      case SyscallClass::kBlocked:
        return AnswerLabel(Answer::kNotify);
      case SyscallClass::kFallBack:
        return AnswerLabel(Answer::kEnosys);
      case SyscallClass::kConditional:
        return RuleLabel(entry.rule);
    }
    CHECK(false);
  }

  // From 0 to the largest 32-bit number without a gap. What lies above the table includes x32,
  // whose numbers have bit 30.
  std::vector<Interval> FindIntervals() {
    std::vector<Interval> intervals;
    const auto append = [&intervals](std::uint32_t first, Label target) {
      if (intervals.empty() || intervals.back().target != target) {
        intervals.push_back({first, target});
      }
    };
    std::uint32_t next = 0;
    for (const SyscallEntry& entry : AllSyscalls()) {
      const auto number = static_cast<std::uint32_t>(entry.number);
      CHECK(number >= next);
      if (number > next) append(next, AnswerLabel(Answer::kEnosys));
      append(number, TargetOf(entry));
      next = number + 1;
    }
    append(next, AnswerLabel(Answer::kEnosys));
    return intervals;
  }

  // A binary search with the number loaded. A leaf is no instruction: its parent jumps to it.
  void EmitTree(std::span<const Interval> intervals) {
    const std::span<const Interval> lower = intervals.first(intervals.size() / 2);
    const std::span<const Interval> upper = intervals.subspan(lower.size());
    const Label if_lower = EntryOf(lower);
    const Label if_upper = EntryOf(upper);
    assembler_.Jump(BPF_JGE, upper.front().first, if_upper, if_lower);
    EmitSubtree(lower, if_lower);
    EmitSubtree(upper, if_upper);
  }
  Label EntryOf(std::span<const Interval> intervals) {
    return intervals.size() == 1 ? intervals.front().target : assembler_.NewLabel();
  }
  void EmitSubtree(std::span<const Interval> intervals, Label entry) {
    if (intervals.size() == 1) return;
    assembler_.Place(entry);
    EmitTree(intervals);
  }

  void EmitRule(const ArgumentRule& rule, Label label) {
    const std::vector<const Condition*> conditions = ConditionsOf(rule);
    for (std::size_t i = 0; i < conditions.size(); i++) {
      const bool is_last = i + 1 == conditions.size();
      const Label next = is_last ? AnswerLabel(rule.otherwise) : assembler_.NewLabel();
      assembler_.Place(label);
      EmitCondition(*conditions[i], AnswerLabel(conditions[i]->answer), next);
      label = next;
    }
  }

  void EmitCondition(const Condition& condition, Label holds, Label fails) {
    for (std::size_t i = 0; i < condition.test_count; i++) {
      const bool is_last = i + 1 == condition.test_count;
      const Label next = is_last ? holds : assembler_.NewLabel();
      EmitTest(condition.tests[i], next, fails);
      if (!is_last) assembler_.Place(next);
    }
  }

  void EmitTest(const ArgumentTest& test, Label holds, Label fails) {
    assembler_.Load(ArgumentOffset(test));
    if (test.mask != std::numeric_limits<std::uint32_t>::max()) assembler_.And(test.mask);
    const bool wants_one = test.kind == ArgumentTest::kIsOneOf;
    const Label if_equal = wants_one ? holds : fails;
    const Label if_none = wants_one ? fails : holds;
    for (std::size_t i = 0; i < test.value_count; i++) {
      const bool is_last = i + 1 == test.value_count;
      const Label next = is_last ? if_none : assembler_.NewLabel();
      assembler_.Jump(BPF_JEQ, test.values[i], if_equal, next);
      if (!is_last) assembler_.Place(next);
    }
  }

  const FilterOptions options_;
  Assembler assembler_;
  std::map<Answer, Label> answers_;
  std::map<const ArgumentRule*, Label> rules_;
};

}  // namespace

std::vector<sock_filter> BuildFilter(const FilterOptions& options) {
  return Generator(options).Generate();
}

}  // namespace cellrun::sys
