// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/profile_test.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "lib/base/text.h"
#include "lib/policy/network_policy.h"
#include "lib/policy/writable_tree.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kHeadBytes = 256;      // BINPRM_BUF_SIZE
constexpr std::size_t kMaxInterpreters = 5;  // as the kernel follows

// The files of this machine, and besides them one of each name that it does not have.
class TestMachine {
 public:
  TestMachine(const Profile& profile, const Places& places, const ProgramLookup& lookup)
      : places_(places), lookup_(lookup), writable_(profile, places) {
    for (const auto& directory : profile.path) directories_.push_back(directory.value);
    const bool usual =
        std::find(directories_.begin(), directories_.end(), kUsual) != directories_.end();
    invented_in_ = usual || directories_.empty() ? std::string(kUsual) : directories_.front();
  }

  [[nodiscard]] FileLookup Files() {
    return [this](const std::string& path) -> std::optional<FileFacts> {
      if (auto facts = lookup_(path)) return facts->file;
      const std::size_t slash = path.rfind('/');
      if (slash == std::string::npos || path.substr(0, slash) != invented_in_) return std::nullopt;
      // Not where a later directory of `path` really has it.
      for (const std::string& directory : directories_) {
        if (lookup_(directory + path.substr(slash))) return std::nullopt;
      }
      return Invent(path).file;
    };
  }

  // The file that `name` means to a program in `cwd`, and its interpreters.
  std::vector<ExecImage> Chain(std::vector<std::string> argv, const std::string& cwd) {
    std::vector<ExecImage> images;
    std::string name = argv.front();
    ProgramFacts facts = Find(name, cwd);
    while (true) {
      const std::optional<std::string> interpreter = ReadInterpreter(facts.head);
      ExecImage image;
      image.path = facts.file.canonical;
      image.id = facts.file.id;
      image.kind = interpreter ? ExecImage::Kind::kScript : ExecImage::Kind::kBinary;
      image.writable = writable_.Contains(image.path);
      if (!images.empty()) image.argv = argv;
      images.push_back(std::move(image));
      if (!interpreter || images.size() > kMaxInterpreters) return images;
      argv = InterpreterArgv(facts.head, name, argv);
      name = *interpreter;
      facts = FindPath(NormalizePath(Absolute(*interpreter, cwd)));
    }
  }

  [[nodiscard]] std::string Absolute(const std::string& path, const std::string& cwd) const {
    if (path == "~" || path.starts_with("~/")) return places_.home + path.substr(1);
    return path.starts_with('/') ? path : cwd + "/" + path;
  }

 private:
  static constexpr std::string_view kUsual = "/usr/bin";

  ProgramFacts Find(const std::string& name, const std::string& cwd) {
    if (name.find('/') != std::string::npos) return FindPath(NormalizePath(Absolute(name, cwd)));
    for (const std::string& directory : directories_) {
      std::string path = directory;
      path.append("/").append(name);
      if (auto facts = lookup_(path)) return *facts;
    }
    return Invent(invented_in_ + "/" + name);
  }

  ProgramFacts FindPath(const std::string& path) {
    if (auto facts = lookup_(path)) return *facts;
    return Invent(path);
  }

  ProgramFacts Invent(const std::string& path) {
    // No file system has this device number.
    constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();
    const auto [entry, fresh] = invented_.try_emplace(path, invented_.size() + 1);
    return {.file = {.id = {kNowhere, entry->second}, .canonical = path}, .head = ""};
  }

  const Places& places_;
  const ProgramLookup& lookup_;
  WritableTree writable_;
  std::vector<std::string> directories_;
  std::string invented_in_;
  std::map<std::string, std::uint64_t> invented_;
};

ExecRequest MakeRequest(const TestCase& test, const Places& places, TestMachine& machine) {
  ExecRequest request;
  request.cwd = test.cwd.empty() ? places.workspace
                                 : NormalizePath(machine.Absolute(test.cwd, places.workspace));
  request.raw_path = test.exec.front();
  request.argv = test.exec;
  request.images = machine.Chain(test.exec, request.cwd);
  for (const auto& [name, value] : test.env) {
    request.env.emplace_back(name).append("=").append(value);
  }
  if (test.writable) request.images.front().writable = *test.writable;
  if (test.anonymous) request.images.front().anonymous = *test.anonymous;
  constexpr std::uint32_t kOrdinaryUser = 1000;
  request.uid = kOrdinaryUser;
  return request;
}

// `wanted` is a rule's name or FILE:LINE, where FILE may lack its directory.
bool IsRule(const RuleReference& rule, const std::string& wanted) {
  if (wanted.empty() || rule.name == wanted) return true;
  const std::string place = rule.at.file + ":" + std::to_string(rule.at.line);
  return place == wanted || place.ends_with("/" + wanted);
}

// How near a document is: 0 is the profile itself; what is stronger than any document is 0 too.
std::size_t Distance(const Profile& profile, const std::string& file) {
  const auto& documents = profile.documents;
  const auto found = std::find_if(documents.begin(), documents.end(),
                                  [&](const Position& at) { return at.file == file; });
  return found == documents.end() ? 0 : static_cast<std::size_t>(found - documents.begin());
}

Verdict Judge(const TestCase& test, const Policy& policy, const NetworkPolicy& network,
              const Places& places, TestMachine& machine) {
  if (!test.exec.empty()) return policy.Decide(MakeRequest(test, places, machine));
  if (const std::optional<Destination> destination = ParseDestination(test.connect)) {
    return network.Decide(*destination);
  }
  Verdict verdict;
  verdict.message = "`connect` is not HOST:PORT";
  return verdict;
}

std::string Describe(const RuleReference& rule) {
  std::string text = rule.name.empty() ? "a rule" : "'" + text::Escape(rule.name) + "'";
  if (rule.at.line != 0) text += " (" + text::Escape(rule.at.ToString()) + ")";
  return text;
}

}  // namespace

std::string TestOutcome::ToString() const {
  const std::string what =
      test.exec.empty() ? "connect " + text::Quote(test.connect) : text::QuoteArguments(test.exec);
  std::string line = text::Escape(test.at.ToString()) + ": " + what + ": ";
  if (overridden) return line + ActionName(got) + ", overridden by " + Describe(rule);
  line += std::string(passed ? "" : "expected ") + ActionName(test.expect);
  if (passed) return line + " by " + Describe(rule);
  if (!test.rule.empty()) line += " by '" + text::Escape(test.rule) + "'";
  line += std::string(", got ") + ActionName(got) + " by " + Describe(rule);
  return message.empty() ? line : line + ": " + text::Escape(message);
}

Checked<std::vector<TestOutcome>> RunProfileTests(const Profile& profile, const Places& places,
                                                  const ProgramLookup& lookup,
                                                  const GroupMembers& built_in) {
  TestMachine machine(profile, places, lookup);
  const auto policy = Policy::Compile(profile, places, machine.Files());
  if (!policy.ok()) return policy.problems();
  const auto network = NetworkPolicy::Compile(profile, std::chrono::system_clock::now(), built_in);
  if (!network.ok()) return network.problems();
  std::vector<TestOutcome> outcomes;
  for (const TestCase& test : profile.tests) {
    const Verdict verdict = Judge(test, *policy.value(), network.value(), places, machine);
    TestOutcome outcome{.test = test,
                        .passed = verdict.action == test.expect && IsRule(verdict.rule, test.rule),
                        .overridden = false,
                        .got = verdict.action,
                        .rule = verdict.rule,
                        .message = verdict.message};
    outcome.overridden = !outcome.passed &&
                         Distance(profile, verdict.rule.at.file) < Distance(profile, test.at.file);
    outcome.passed = outcome.passed || outcome.overridden;
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

std::optional<std::string> ReadInterpreter(std::string_view head) {
  constexpr std::string_view kBlanks = " \t";
  head = head.substr(0, kHeadBytes);
  if (!head.starts_with("#!")) return std::nullopt;
  head.remove_prefix(2);
  head = head.substr(0, head.find('\n'));
  const std::size_t start = head.find_first_not_of(kBlanks);
  if (start == std::string_view::npos) return std::nullopt;
  head.remove_prefix(start);
  const std::string_view name = head.substr(0, head.find_first_of(std::string_view(" \t\0", 3)));
  if (name.empty()) return std::nullopt;
  return std::string(name);
}

std::vector<std::string> InterpreterArgv(std::string_view head, const std::string& script,
                                         const std::vector<std::string>& argv) {
  constexpr std::string_view kBlanks = " \t";
  const std::string interpreter = ReadInterpreter(head).value_or("");
  std::vector<std::string> made = {interpreter};
  head = head.substr(0, kHeadBytes);
  head = head.substr(0, head.find_first_of(std::string_view("\n\0", 2)));
  head.remove_prefix(std::min(head.size(), head.find(interpreter) + interpreter.size()));
  const std::size_t start = head.find_first_not_of(kBlanks);
  if (start != std::string_view::npos) {
    made.emplace_back(head.substr(start, head.find_last_not_of(kBlanks) + 1 - start));
  }
  made.push_back(script);
  if (!argv.empty()) made.insert(made.end(), argv.begin() + 1, argv.end());
  return made;
}

}  // namespace cellrun::policy
