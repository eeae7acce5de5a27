// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/condition.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "lib/base/text.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kShownBytes = 80;

std::string Shown(std::string_view text) {
  return "'" + text::EscapeShort(text, kShownBytes) + "'";
}

bool AnyMatches(const std::vector<Pattern>& patterns, std::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const Pattern& pattern) { return pattern.Matches(text); });
}

bool AnyArgument(const Link& link, const std::vector<Pattern>& patterns) {
  const auto arguments = link.arguments();
  return std::any_of(arguments.begin(), arguments.end(),
                     [&](const std::string& argument) { return AnyMatches(patterns, argument); });
}

Result<std::vector<Pattern>> CompileAll(const std::vector<std::string>& texts, GlobKind kind) {
  std::vector<Pattern> patterns;
  patterns.reserve(texts.size());
  for (const std::string& text : texts) {
    patterns.push_back(TRY(Pattern::Compile(text, kind).With(text)));
  }
  return patterns;
}

Result<std::vector<Pattern>> CompileDirectories(const std::vector<std::string>& texts,
                                                const Places& places) {
  std::vector<Pattern> patterns;
  for (const std::string& text : texts) {
    const bool regex = text.starts_with(kRegexPrefix);
    const std::string path = regex ? text : TRY(AbsolutePattern(text, places).With(text));
    patterns.push_back(TRY(Pattern::Compile(path, GlobKind::kPath).With(text)));
  }
  return patterns;
}

}  // namespace

// The kernel gives an interpreter the path of the #! line as argv[0]. Whoever can make links
// chooses names, and some of these programs take one that they do not know for "the first argument
// says it": only directories that nobody in a cell writes count. A login shell's argv[0] starts
// with "-".
std::optional<std::string_view> Link::called() const {
  constexpr std::array kSystem = {"/bin", "/sbin", "/usr/bin", "/usr/sbin"};
  const std::vector<std::string>& argv = program().argv.empty() ? request.argv : program().argv;
  if (argv.empty() || argv.front().empty()) return std::nullopt;
  const std::string_view path = image == 0 ? request.raw_path : argv.front();
  const std::string_view name = FileName(path);
  if (name.size() == path.size()) return std::nullopt;
  const std::string_view directory = path.substr(0, path.size() - name.size() - 1);
  if (std::find(kSystem.begin(), kSystem.end(), directory) == kSystem.end()) return std::nullopt;
  std::string_view zeroth = FileName(argv.front());
  if (zeroth.starts_with('-')) zeroth.remove_prefix(1);
  return zeroth == name ? std::optional(name) : std::nullopt;
}

// What each condition tests, cheap ones first.
struct ConditionTable {
  struct Row {
    Condition condition;
    const char* key;
    bool (*holds)(const CompiledWhen&, const Link&);
    std::string (*failure)(const CompiledWhen&, const Link&);
  };

  static bool Exe(const CompiledWhen& when, const Link& link) {
    const ExecImage& image = link.program();
    if (when.exe_.applets.empty()) return when.exe_.Matches(image.id, image.path);
    return when.exe_.MatchesAs(image.id, image.path, link.called(), when.tightening_);
  }
  static std::string ExeFailure(const CompiledWhen& when, const Link& link) {
    const bool nowhere = when.exe_.ids.empty() && when.exe_.paths.empty() &&
                         when.exe_.applets.empty() && when.exe_.literal();
    if (nowhere && !when.exe_.unknown.empty()) {
      return Shown(when.exe_.unknown.front()) + " is nowhere in the profile's path";
    }
    const std::optional<std::string_view> called = link.called();
    if (called && when.exe_.Matches(link.program().id, link.program().path))
      return Shown(link.program().path) + " is another program when it is called " + Shown(*called);
    return Shown(link.program().path) + " is another program";
  }

  // A hash that is missing was not asked for or could not be made: it must not let a program slip
  // past a rule that tightens.
  static bool Hash(const CompiledWhen& when, const Link& link) {
    const std::string& hash = link.program().hash;
    if (hash.empty()) return when.tightening_;
    return std::find(when.hash_.begin(), when.hash_.end(), hash) != when.hash_.end();
  }

  static bool Script(const CompiledWhen& when, const Link& link) {
    const ExecImage& image = link.program();
    return image.kind == ExecImage::Kind::kScript && when.script_.Matches(image.id, image.path);
  }
  static std::string ScriptFailure(const CompiledWhen&, const Link& link) {
    const bool script = link.program().kind == ExecImage::Kind::kScript;
    return Shown(link.program().path) + (script ? " is another script" : " is not a script");
  }

  static bool Interpreter(const CompiledWhen& when, const Link& link) {
    const auto chain = link.interpreters();
    return std::any_of(chain.begin(), chain.end(), [&](const ExecImage& image) {
      return when.interpreter_.Matches(image.id, image.path);
    });
  }
  static std::string InterpreterFailure(const CompiledWhen&, const Link& link) {
    if (link.interpreters().empty()) return Shown(link.program().path) + " has no interpreter";
    return Shown(link.interpreters().front().path) + " is another interpreter";
  }

  static bool Env(const CompiledWhen& when, const Link& link) {
    return std::all_of(when.env_.begin(), when.env_.end(), [&](const auto& wanted) {
      return EnvHolds(wanted, when.tightening_, link.request.env);
    });
  }
  // A name may be there twice, and programs differ in which one they take: a rule that tightens
  // matches if one fits, a rule that allows only if all do.
  static bool EnvHolds(const CompiledWhen::EnvironmentPattern& wanted, bool tightening,
                       const std::vector<std::string>& env) {
    std::size_t present = 0, fitting = 0;
    for (const std::string_view entry : env) {
      if (!entry.starts_with(wanted.name) || entry.size() <= wanted.name.size() ||
          entry[wanted.name.size()] != '=') {
        continue;
      }
      ++present;
      if (wanted.value && wanted.value->Matches(entry.substr(wanted.name.size() + 1))) ++fitting;
    }
    if (!wanted.value) return present == 0;
    return tightening ? fitting > 0 : present > 0 && fitting == present;
  }
  static std::string EnvFailure(const CompiledWhen& when, const Link& link) {
    for (const auto& wanted : when.env_) {
      if (EnvHolds(wanted, when.tightening_, link.request.env)) continue;
      if (!wanted.value) return Shown(wanted.name) + " is set";
      return Shown(wanted.name) + " is not " + Shown(wanted.value->text());
    }
    return "";
  }

  static bool Args(const CompiledWhen& when, const Link& link) {
    return when.args_->Matches(link.arguments());
  }
  static bool ArgsAny(const CompiledWhen& when, const Link& link) {
    return AnyArgument(link, when.args_any_);
  }
  static bool ArgsNone(const CompiledWhen& when, const Link& link) {
    return !AnyArgument(link, when.args_none_);
  }

  // With a slash at the end too, so that "./**" is the workspace and all below it.
  static bool Cwd(const CompiledWhen& when, const Link& link) {
    const std::string& cwd = link.request.cwd;
    return AnyMatches(when.cwd_, cwd) || AnyMatches(when.cwd_, cwd + "/");
  }
  static bool Parent(const CompiledWhen& when, const Link& link) {
    return when.parent_.MatchesPath(link.request.parent);
  }
  static bool User(const CompiledWhen& when, const Link& link) {
    const std::string uid = std::to_string(link.request.uid);
    return std::any_of(when.user_.begin(), when.user_.end(), [&](const std::string& user) {
      return user == uid || (!user.empty() && user == link.request.user);
    });
  }

  static const std::array<Row, static_cast<std::size_t>(Condition::kCount)> kRows;
};

const std::array<ConditionTable::Row, static_cast<std::size_t>(Condition::kCount)>
    ConditionTable::kRows = {{
        {Condition::kAnonymous, "anonymous",
         [](const CompiledWhen& w, const Link& l) {
           return l.program().anonymous == *w.anonymous_;
         },
         [](const CompiledWhen&, const Link& l) -> std::string {
           return l.program().anonymous ? "the image is anonymous" : "the image has a name";
         }},
        {Condition::kWritable, "writable",
         [](const CompiledWhen& w, const Link& l) { return l.program().writable == *w.writable_; },
         [](const CompiledWhen&, const Link& l) -> std::string {
           return l.program().writable ? "the cell can write the image"
                                       : "the cell cannot write the image";
         }},
        {Condition::kTty, "tty",
         [](const CompiledWhen& w, const Link& l) { return l.request.tty == *w.tty_; },
         [](const CompiledWhen&, const Link& l) -> std::string {
           return l.request.tty ? "stdin is a terminal" : "stdin is not a terminal";
         }},
        {Condition::kUser, "user", &User,
         [](const CompiledWhen&, const Link& l) {
           return "the user is " + Shown(l.request.user) + ", " + std::to_string(l.request.uid);
         }},
        {Condition::kExe, "exe", &Exe, &ExeFailure},
        {Condition::kHash, "hash", &Hash,
         [](const CompiledWhen&, const Link&) -> std::string {
           return "the image has another content";
         }},
        {Condition::kScript, "script", &Script, &ScriptFailure},
        {Condition::kInterpreter, "interpreter", &Interpreter, &InterpreterFailure},
        {Condition::kParent, "parent", &Parent,
         [](const CompiledWhen&, const Link& l) {
           return Shown(l.request.parent) + " is another program";
         }},
        {Condition::kArgs, "args", &Args,
         [](const CompiledWhen& w, const Link& l) { return w.args_->Mismatch(l.arguments()); }},
        {Condition::kArgsAny, "args-any", &ArgsAny,
         [](const CompiledWhen& w, const Link&) {
           return "no argument is " + Shown(w.args_any_.front().text()) +
                  (w.args_any_.size() > 1 ? " or the like" : "");
         }},
        {Condition::kArgsNone, "args-none", &ArgsNone,
         [](const CompiledWhen& w, const Link& l) {
           for (const std::string& argument : l.arguments()) {
             if (AnyMatches(w.args_none_, argument)) return Shown(argument) + " is there";
           }
           return std::string();
         }},
        {Condition::kCwd, "cwd", &Cwd,
         [](const CompiledWhen&, const Link& l) {
           return Shown(l.request.cwd) + " is another directory";
         }},
        {Condition::kEnv, "env", &Env, &EnvFailure},
    }};

std::optional<Condition> CompiledWhen::FirstFailing(const Link& link) const {
  for (const ConditionTable::Row& row : ConditionTable::kRows) {
    if (given(row.condition) && !row.holds(*this, link)) return row.condition;
  }
  return std::nullopt;
}

std::string CompiledWhen::Explain(Condition condition, const Link& link) const {
  const ConditionTable::Row& row = ConditionTable::kRows[static_cast<std::size_t>(condition)];
  return std::string(row.key) + ": " + row.failure(*this, link);
}

bool CompiledWhen::CouldBe(const ExecImage& image) const {
  if (anonymous_ && *anonymous_ != image.anonymous) return false;
  if (writable_ && *writable_ != image.writable) return false;
  if (given(Condition::kExe) && !exe_.Matches(image.id, image.path)) return false;
  if (!given(Condition::kScript)) return true;
  return image.kind == ExecImage::Kind::kScript && script_.Matches(image.id, image.path);
}

bool CompiledWhen::EveryPath() const {
  if (given_ == 0) return true;
  return given_ == 1U << static_cast<unsigned>(Condition::kExe) &&
         std::any_of(exe_.patterns.begin(), exe_.patterns.end(),
                     [](const Pattern& pattern) { return pattern.text() == "**"; });
}

Result<CompiledWhen> CompiledWhen::Compile(const When& when, bool tightening, const Places& places,
                                           ProgramBinder& binder) {
  CompiledWhen compiled;
  compiled.tightening_ = tightening;
  const auto give = [&](Condition condition, bool is_given) {
    if (is_given) compiled.given_ |= 1U << static_cast<unsigned>(condition);
  };
  give(Condition::kExe, !when.exe.empty());
  compiled.exe_ = TRY(binder.Bind(when.exe).With("exe"));
  give(Condition::kScript, !when.script.empty());
  compiled.script_ = TRY(binder.Bind(when.script).With("script"));
  give(Condition::kInterpreter, !when.interpreter.empty());
  compiled.interpreter_ = TRY(binder.Bind(when.interpreter).With("interpreter"));
  give(Condition::kParent, !when.parent.empty());
  compiled.parent_ = TRY(binder.Bind(when.parent).With("parent"));
  give(Condition::kHash, !when.hash.empty());
  compiled.hash_ = when.hash;
  give(Condition::kArgs, when.args.has_value());
  if (when.args) compiled.args_ = TRY(ArgumentsPattern::Compile(*when.args).With("args"));
  give(Condition::kArgsAny, !when.args_any.empty());
  compiled.args_any_ = TRY(CompileAll(when.args_any, GlobKind::kArgument).With("args-any"));
  give(Condition::kArgsNone, !when.args_none.empty());
  compiled.args_none_ = TRY(CompileAll(when.args_none, GlobKind::kArgument).With("args-none"));
  give(Condition::kCwd, !when.cwd.empty());
  compiled.cwd_ = TRY(CompileDirectories(when.cwd, places).With("cwd"));
  give(Condition::kUser, !when.user.empty());
  compiled.user_ = when.user;
  give(Condition::kEnv, !when.env.empty());
  for (const EnvironmentCondition& env : when.env) {
    std::optional<Pattern> value;
    if (env.glob) value = TRY(Pattern::Compile(*env.glob, GlobKind::kArgument).With("env"));
    compiled.env_.push_back({env.name, std::move(value)});
  }
  give(Condition::kTty, when.tty.has_value());
  compiled.tty_ = when.tty;
  give(Condition::kWritable, when.writable.has_value());
  compiled.writable_ = when.writable;
  give(Condition::kAnonymous, when.anonymous.has_value());
  compiled.anonymous_ = when.anonymous;
  return compiled;
}

}  // namespace cellrun::policy
