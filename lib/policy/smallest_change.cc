// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/smallest_change.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "lib/base/text.h"
#include "lib/policy/condition.h"
#include "lib/policy/program_set.h"
#include "lib/policy/symbol.h"
#include "lib/policy/writable_tree.h"
#include "lib/policy/yaml_text.h"

namespace cellrun::policy {
namespace {

// More arguments than this are rarely the same twice: the rest is left open.
constexpr std::size_t kMaxExactArguments = 8;

std::string AsGlob(std::string_view text) {
  // A backslash takes the meaning of "re:" away.
  return (text.starts_with(kRegexPrefix) ? "\\" : "") + EscapeGlob(text);
}

class Proposal {
 public:
  Proposal(const Policy& policy, const ExecRequest& request, const Places& places,
           const FileLookup& lookup)
      : profile_(policy.profile()),
        request_(request),
        places_(places),
        lookup_(lookup),
        binder_(profile_, places, lookup) {}

  // Adds rules, one for each link that stands in the way, until the verdict is `wanted`.
  bool Reach(Action wanted, Verdict verdict) {
    for (std::size_t i = 0; i <= request_.images.size() && verdict.action != wanted; ++i) {
      Add(verdict.image, wanted);
      const auto changed = Policy::Compile(profile_, places_, lookup_);
      if (!changed.ok()) return false;
      verdict = changed.value()->Decide(request_);
    }
    return verdict.action == wanted;
  }

  [[nodiscard]] std::string ToYaml() const {
    std::string yaml;
    for (const CommandRule& rule : rules_) {
      yaml += "- when: {" + Conditions(rule.when) + "}\n  then: " + ActionName(rule.then) + "\n";
    }
    return yaml;
  }

 private:
  void Add(std::size_t image, Action wanted) {
    CommandRule rule;
    rule.then = wanted;
    rule.layer = Layer::kProfile;
    NameProgram(request_.images[image], rule.when);
    rule.when.args = Arguments();
    // In front of the profile's own rules and behind what is stronger.
    auto& rules = profile_.command_rules;
    const auto at = std::find_if(rules.begin(), rules.end(), [](const CommandRule& other) {
      return other.layer == Layer::kProfile || other.layer == Layer::kInherited;
    });
    rules.insert(at, rule);
    rules_.push_back(std::move(rule));
  }

  void NameProgram(const ExecImage& image, When& when) {
    if (image.anonymous) when.anonymous = true;
    for (const std::string& path : {request_.raw_path, image.path}) {
      const std::string name = path.substr(path.rfind('/') + 1);
      const auto file = name.empty() ? std::nullopt : binder_.FindByName(name);
      if (file && file->id == image.id && !HasGlobCharacters(name)) {
        when.exe = {name};
        return;
      }
    }
    const bool script = image.kind == ExecImage::Kind::kScript;
    std::string path = image.path;
    if (IsWithin(path, places_.workspace)) path = "." + path.substr(places_.workspace.size());
    (script ? when.script : when.exe) = {AsGlob(path)};
  }

  [[nodiscard]] std::vector<std::string> Arguments() const {
    const auto arguments = Link{.request = request_, .image = 0}.arguments();
    const bool exact = arguments.size() <= kMaxExactArguments;
    std::vector<std::string> patterns;
    for (const std::string& argument : arguments.first(exact ? arguments.size() : 1)) {
      patterns.push_back(Readable(argument));
    }
    if (!exact) patterns.emplace_back("**");
    return patterns;
  }

  // As a glob. A byte that is not UTF-8, which YAML cannot hold, becomes '?', which matches it.
  static std::string Readable(const std::string& argument) {
    std::string readable;
    for (std::size_t at = 0; at < argument.size();) {
      const std::uint32_t symbol = NextSymbol(argument, at);
      std::string character;
      AppendSymbol(symbol, character);
      readable += symbol >= kStrayByte ? "?" : EscapeGlob(character);
    }
    return argument.starts_with(kRegexPrefix) ? "\\" + readable : readable;
  }

  static std::string List(const std::vector<std::string>& texts) {
    std::string list;
    for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + YamlScalar(text);
    return list;
  }

  static std::string Conditions(const When& when) {
    std::string conditions =
        when.exe.empty() ? "script: " + List(when.script) : "exe: " + List(when.exe);
    if (when.anonymous == true) conditions += ", anonymous: true";
    if (when.args) conditions += ", args: [" + List(*when.args) + "]";
    return conditions;
  }

  Profile profile_;
  const ExecRequest& request_;
  const Places& places_;
  const FileLookup& lookup_;
  ProgramBinder binder_;
  std::vector<CommandRule> rules_;
};

std::string Place(const RuleReference& rule) {
  const std::string at = rule.at.ToString();
  if (!at.empty()) return text::Escape(at);
  return rule.name.empty() ? LayerName(rule.layer) : "'" + text::Escape(rule.name) + "'";
}

}  // namespace

std::string SmallestChange(const Policy& policy, const ExecRequest& request, const Places& places,
                           const FileLookup& lookup) {
  if (request.images.empty()) return "Nothing: there is no program to judge.";
  const Verdict verdict = policy.Decide(request);
  if (verdict.rule.layer == Layer::kFloor && verdict.action != Action::kAllow) {
    return "No profile can: the floor decides (" + Place(verdict.rule) + ").";
  }
  const Action wanted = verdict.action == Action::kAllow ? Action::kDeny : Action::kAllow;
  Proposal proposal(policy, request, places, lookup);
  if (!proposal.Reach(wanted, verdict)) {
    return std::string("No further rule can: change or remove the rule that decides (") +
           LayerName(verdict.rule.layer) + ", " + Place(verdict.rule) + ").";
  }
  const auto& documents = policy.profile().documents;
  const std::string file = documents.empty() ? "the profile" : text::Escape(documents.front().file);
  return "# first under `commands: rules:` of " + file + "\n" + proposal.ToYaml();
}

}  // namespace cellrun::policy
