// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/glob.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "lib/policy/symbol.h"

namespace cellrun::policy {
namespace {

Error Malformed(const char* what) {
  return Error(EINVAL, what);
}

struct NamedClass {
  std::string_view name;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
};

// ASCII only: what a locale would add must not change what a rule means.
const std::array<NamedClass, 7>& NamedClasses() {
  static const std::array<NamedClass, 7> classes = {{
      {"alpha", {{'a', 'z'}, {'A', 'Z'}}},
      {"digit", {{'0', '9'}}},
      {"alnum", {{'a', 'z'}, {'A', 'Z'}, {'0', '9'}}},
      {"lower", {{'a', 'z'}}},
      {"upper", {{'A', 'Z'}}},
      {"xdigit", {{'0', '9'}, {'a', 'f'}, {'A', 'F'}}},
      {"space", {{' ', ' '}, {'\t', '\r'}}},
  }};
  return classes;
}

}  // namespace

// Emits the automaton while it reads the pattern, left to right.
class GlobCompiler {
 public:
  GlobCompiler(std::string_view pattern, GlobKind kind) : pattern_(pattern) { glob_.kind_ = kind; }

  Result<Glob> Run() {
    if (pattern_.size() > kMaxGlobBytes) return Malformed("pattern is longer than 4096 bytes");
    if (pattern_.find('\0') != std::string_view::npos) return Malformed("pattern contains a NUL");
    // The one program whose name is a pattern character.
    if (pattern_ == "[") {
      Emit(Glob::Op::kSymbol, '[');
    } else {
      TRY(Sequence(0));
    }
    Emit(Glob::Op::kMatch);
    if (glob_.program_.size() > kMaxGlobStates) return Malformed("pattern has too many parts");
    glob_.FindShortcuts();
    return std::move(glob_);
  }

 private:
  [[nodiscard]] bool AtEnd() const { return at_ >= pattern_.size(); }
  [[nodiscard]] char Peek() const { return pattern_[at_]; }

  std::size_t Emit(Glob::Op op, std::uint32_t operand = 0) {
    const std::size_t index = glob_.program_.size();
    // Past the limit the offsets would wrap; Run refuses the pattern at the end.
    const auto next = static_cast<std::uint16_t>(std::min<std::size_t>(index + 1, UINT16_MAX));
    glob_.program_.push_back({op, next, next, operand});
    return index;
  }
  [[nodiscard]] std::uint16_t Here() const {
    return static_cast<std::uint16_t>(std::min<std::size_t>(glob_.program_.size(), UINT16_MAX));
  }

  // Up to the end, or inside braces to the ',' or '}' that ends the alternative.
  Result<void> Sequence(int depth) {
    while (!AtEnd()) {
      const char c = Peek();
      if (depth > 0 && (c == ',' || c == '}')) return {};
      switch (c) {
        case '*':
          Stars();
          break;
        case '?':
          ++at_;
          EmitAny();
          break;
        case '[':
          TRY(Set());
          break;
        case '{':
          TRY(Braces(depth));
          break;
        case '\\':
          if (++at_ >= pattern_.size()) return Malformed("pattern ends in a backslash");
          EmitSymbol();
          break;
        default:
          EmitSymbol();
      }
    }
    return {};
  }

  void EmitSymbol() { Emit(Glob::Op::kSymbol, NextSymbol(pattern_, at_)); }
  void EmitAny() { Emit(glob_.kind_ == GlobKind::kPath ? Glob::Op::kAnyButSlash : Glob::Op::kAny); }

  void EmitLoop(Glob::Op op) {
    const std::size_t split = Emit(Glob::Op::kSplit);
    const std::size_t step = Emit(op);
    glob_.program_[step].next =
        static_cast<std::uint16_t>(std::min<std::size_t>(split, UINT16_MAX));
    glob_.program_[split].other = Here();
  }

  void Stars() {
    const std::size_t first = at_;
    while (!AtEnd() && Peek() == '*') ++at_;
    if (glob_.kind_ == GlobKind::kArgument) return EmitLoop(Glob::Op::kAny);
    if (at_ - first < 2) return EmitLoop(Glob::Op::kAnyButSlash);
    const bool starts_component = first == 0 || pattern_[first - 1] == '/';
    if (!starts_component || AtEnd() || Peek() != '/') return EmitLoop(Glob::Op::kAny);
    ++at_;  // "**/": nothing, or anything up to a '/'
    const std::size_t skip = Emit(Glob::Op::kSplit);
    EmitLoop(Glob::Op::kAny);
    Emit(Glob::Op::kSymbol, '/');
    glob_.program_[skip].other = Here();
  }

  Result<void> Braces(int depth) {
    if (pattern_.substr(at_).starts_with("{}")) {  // as in `find -exec`
      EmitSymbol();
      EmitSymbol();
      return {};
    }
    if (depth >= kMaxGlobDepth) return Malformed("braces are nested too deeply");
    std::vector<std::size_t> ends;
    while (true) {
      ++at_;  // '{' or ','
      const std::size_t split = Emit(Glob::Op::kSplit);
      TRY(Sequence(depth + 1));
      if (AtEnd()) return Malformed("'{' is not closed");
      ends.push_back(Emit(Glob::Op::kJump));
      if (Peek() == '}') {
        // No further alternative: both ways lead into this one.
        glob_.program_[split].other = glob_.program_[split].next;
        break;
      }
      glob_.program_[split].other = Here();
    }
    ++at_;  // '}'
    for (const std::size_t end : ends) glob_.program_[end].next = Here();
    return {};
  }

  Result<void> Set() {
    Glob::Class set;
    ++at_;  // '['
    if (!AtEnd() && (Peek() == '!' || Peek() == '^')) {
      set.negated = true;
      ++at_;
    }
    for (bool first = true;; first = false) {
      if (AtEnd()) return Malformed("'[' is not closed");
      if (Peek() == ']' && !first) break;
      if (pattern_.substr(at_).starts_with("[:")) {
        TRY(AddNamed(set));
      } else {
        TRY(AddRange(set));
      }
    }
    ++at_;  // ']'
    Emit(Glob::Op::kClass, static_cast<std::uint32_t>(glob_.classes_.size()));
    glob_.classes_.push_back(std::move(set));
    return {};
  }

  Result<void> AddNamed(Glob::Class& set) {
    const std::size_t end = pattern_.find(":]", at_ + 2);
    if (end == std::string_view::npos) return Malformed("'[:' is not closed");
    const std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
    const auto& named = NamedClasses();
    const auto* found = std::find_if(named.begin(), named.end(),
                                     [&](const NamedClass& c) { return c.name == name; });
    if (found == named.end()) return Malformed("unknown class of characters inside '['");
    set.ranges.insert(set.ranges.end(), found->ranges.begin(), found->ranges.end());
    at_ = end + 2;
    return {};
  }

  Result<std::uint32_t> SetSymbol() {
    if (Peek() == '\\' && ++at_ >= pattern_.size()) return Malformed("'[' is not closed");
    return NextSymbol(pattern_, at_);
  }

  Result<void> AddRange(Glob::Class& set) {
    const std::uint32_t low = TRY(SetSymbol());
    std::uint32_t high = low;
    const std::string_view rest = pattern_.substr(at_);
    if (rest.size() >= 2 && rest[0] == '-' && rest[1] != ']') {
      ++at_;
      high = TRY(SetSymbol());
    }
    if (high < low) return Malformed("range inside '[' runs backwards");
    set.ranges.emplace_back(low, high);
    return {};
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  Glob glob_;
};

Result<Glob> Glob::Compile(std::string_view pattern, GlobKind kind) {
  return GlobCompiler(pattern, kind).Run();
}

// Most patterns are a literal, or a literal and a star: neither needs the automaton. Of the others
// most are ruled out by how they begin or end.
void Glob::FindShortcuts() {
  while (program_[start_].op == Op::kSymbol) AppendSymbol(program_[start_++].operand, prefix_);
  literal_ = program_[start_].op == Op::kMatch;
  const bool loop_ends_it = program_[start_].op == Op::kSplit && start_ + 3U == program_.size() &&
                            program_[start_].next == start_ + 1U &&
                            program_[start_ + 1U].next == start_;
  if (loop_ends_it && program_[start_ + 1U].op == Op::kAny) tail_ = Tail::kAnything;
  if (loop_ends_it && program_[start_ + 1U].op == Op::kAnyButSlash) tail_ = Tail::kAnythingButSlash;
  // The suffix starts where nothing can jump behind it.
  std::size_t suffix = start_;
  for (std::size_t i = start_; i < program_.size(); ++i) {
    const Instruction& step = program_[i];
    if (step.op == Op::kSplit || step.op == Op::kJump) {
      suffix = std::max<std::size_t>({suffix, step.next, step.other});
    }
    if (step.op != Op::kSymbol && step.op != Op::kMatch) suffix = std::max(suffix, i + 1);
  }
  for (; program_[suffix].op == Op::kSymbol; ++suffix) {
    AppendSymbol(program_[suffix].operand, suffix_);
  }
}

// One match: the set of states that the automaton is in, on the stack.
class GlobRun {
 public:
  explicit GlobRun(const Glob& glob) : glob_(glob) {}

  bool Run(std::string_view subject) {
    Start(now_);
    Add(now_, glob_.start_);
    std::size_t at = 0;
    while (at < subject.size() && now_.count > 0) {
      const std::uint32_t symbol = NextSymbol(subject, at);
      Start(next_);
      for (std::size_t i = 0; i < now_.count; ++i) {
        const Glob::Instruction& step = glob_.program_[now_.states[i]];
        if (Accepts(step, symbol)) Add(next_, step.next);
      }
      std::swap(now_, next_);
    }
    return at >= subject.size() && now_.matched;
  }

 private:
  struct States {
    // Only the first `count` entries are ever read.
    std::uint16_t* states;
    std::array<std::uint64_t, kMaxGlobStates / 64> seen;
    std::size_t count;
    bool matched;
  };

  void Start(States& set) {
    const std::size_t words = (glob_.program_.size() + 63) / 64;
    std::fill_n(set.seen.begin(), words, 0);
    set.count = 0;
    set.matched = false;
  }

  // Adds a state and all that is reached from it without reading.
  void Add(States& set, std::uint16_t state) {
    std::size_t pending = 0;
    Push(set, state, pending);
    while (pending > 0) {
      const std::uint16_t index = pending_[--pending];
      const Glob::Instruction& step = glob_.program_[index];
      switch (step.op) {
        case Glob::Op::kSplit:
          Push(set, step.other, pending);
          Push(set, step.next, pending);
          break;
        case Glob::Op::kJump:
          Push(set, step.next, pending);
          break;
        case Glob::Op::kMatch:
          set.matched = true;
          break;
        default:
          set.states[set.count++] = index;
      }
    }
  }

  // Marked when pushed, so a state is pushed at most once a character.
  void Push(States& set, std::uint16_t state, std::size_t& pending) {
    std::uint64_t& word = set.seen[state / 64];
    const std::uint64_t bit = std::uint64_t{1} << (state % 64);
    if ((word & bit) != 0) return;
    word |= bit;
    pending_[pending++] = state;
  }

  [[nodiscard]] bool Accepts(const Glob::Instruction& step, std::uint32_t symbol) const {
    switch (step.op) {
      case Glob::Op::kSymbol:
        return step.operand == symbol;
      case Glob::Op::kAny:
        return true;
      case Glob::Op::kAnyButSlash:
        return symbol != '/';
      case Glob::Op::kClass:
        return InClass(glob_.classes_[step.operand], symbol);
      default:
        return false;
    }
  }

  [[nodiscard]] bool InClass(const Glob::Class& set, std::uint32_t symbol) const {
    if (symbol == '/' && glob_.kind_ == GlobKind::kPath) return false;
    const bool listed = std::any_of(set.ranges.begin(), set.ranges.end(), [&](const auto& range) {
      return symbol >= range.first && symbol <= range.second;
    });
    return listed != set.negated;
  }

  const Glob& glob_;
  std::array<std::uint16_t, kMaxGlobStates> first_, second_, pending_;
  States now_{first_.data(), {}, 0, false}, next_{second_.data(), {}, 0, false};
};

bool Glob::Matches(std::string_view subject) const {
  if (!subject.starts_with(prefix_)) return false;
  if (literal_) return subject.size() == prefix_.size();
  subject.remove_prefix(prefix_.size());
  switch (tail_) {
    case Tail::kAnything:
      return true;
    case Tail::kAnythingButSlash:
      return subject.find('/') == std::string_view::npos;
    case Tail::kAutomaton:
      break;
  }
  return subject.ends_with(suffix_) && GlobRun(*this).Run(subject);
}

bool HasGlobCharacters(std::string_view text) {
  return text != "[" && text.find_first_of("*?[{\\") != std::string_view::npos;
}

std::string EscapeGlob(std::string_view text) {
  std::string glob;
  for (const char c : text) {
    if (std::string_view("*?[{\\").find(c) != std::string_view::npos) glob += '\\';
    glob += c;
  }
  return glob;
}

}  // namespace cellrun::policy
