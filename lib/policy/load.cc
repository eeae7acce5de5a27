// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/load.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "lib/base/text.h"
#include "lib/policy/document.h"
#include "lib/policy/merge.h"
#include "lib/policy/schema_check.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kShownProblems = 20;

void SortByPlace(std::vector<Problem>* problems) {
  std::stable_sort(problems->begin(), problems->end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.at.line, a.at.column) < std::tie(b.at.line, b.at.column);
  });
}

// What is shown as the file: a document that came by name only is called by it.
Source WithOrigin(const Source& source) {
  Source named = source;
  if (named.origin.empty()) named.origin = source.name.empty() ? "profile" : source.name;
  return named;
}

std::vector<Problem> ParseDocument(const Source& source, const Places& places, Document* document) {
  YamlNode root;
  std::vector<Problem> problems = ReadYaml(source, &root);
  // What could be read is checked too, so that one run of the editor can mend both.
  if (root.kind != YamlNode::Kind::kNull || problems.empty()) {
    std::vector<Problem> more = CheckAgainstSchema(source, root);
    problems.insert(problems.end(), more.begin(), more.end());
  }
  if (problems.empty()) problems = ReadDocument(source, root, places, document);
  SortByPlace(&problems);
  return problems;
}

// A profile that extends itself, through whatever others, has no order of strength.
void CheckRounds(const std::vector<Source>& sources, const std::vector<Document>& documents,
                 std::vector<Problem>* problems) {
  std::map<std::string_view, std::size_t> by_name;
  for (std::size_t i = 0; i < documents.size(); ++i) by_name.emplace(sources[i].name, i);
  enum class State : std::uint8_t { kNew, kOpen, kDone };
  std::vector<State> states(documents.size(), State::kNew);
  // The documents on the way, each with the next reference to follow.
  std::vector<std::pair<std::size_t, std::size_t>> way;
  for (std::size_t start = 0; start < documents.size(); ++start) {
    if (states[start] != State::kNew) continue;
    states[start] = State::kOpen;
    way.emplace_back(start, 0);
    while (!way.empty()) {
      auto& [at, next] = way.back();
      if (next == documents[at].extends.size()) {
        states[at] = State::kDone;
        way.pop_back();
        continue;
      }
      const Reference& base = documents[at].extends[next++];
      const auto found = by_name.find(base.name);
      if (found == by_name.end() || states[found->second] == State::kDone) continue;
      if (states[found->second] == State::kOpen) {
        problems->push_back({base.at, "'" + base.name + "' extends this profile again", "", ""});
        continue;
      }
      states[found->second] = State::kOpen;
      way.emplace_back(found->second, 0);
    }
  }
}

// Everything that is extended must be there: a missing base may be what denies.
void CheckExtends(const std::vector<Source>& sources, const std::vector<Document>& documents,
                  std::vector<Problem>* problems) {
  std::set<std::string_view> names;
  for (const Source& source : sources) names.insert(source.name);
  std::size_t chain = 0;
  for (const Document& document : documents) {
    if (document.layer >= Layer::kProfile) ++chain;
    for (const Reference& base : document.extends) {
      if (names.contains(base.name)) continue;
      problems->push_back(
          {base.at, "'" + base.name + "' is not there", "the name of a profile", ""});
    }
  }
  CheckRounds(sources, documents, problems);
  if (chain <= static_cast<std::size_t>(kMaxExtends)) return;
  problems->push_back({documents.back().at, std::to_string(chain) + " profiles in one chain",
                       "at most " + std::to_string(kMaxExtends), ""});
}

// "/a/strict.yaml" -> "strict".
std::string Stem(const std::string& path) {
  std::string stem = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  const std::size_t dot = stem.rfind('.');
  if (dot != std::string::npos && dot > 0) stem.resize(dot);
  return stem;
}

void NameProfile(const std::vector<Source>& sources, Profile* profile) {
  if (!profile->name.empty()) return;
  const auto source = std::find_if(sources.begin(), sources.end(), [](const Source& candidate) {
    return candidate.layer == Layer::kProfile;
  });
  if (source == sources.end()) return;
  profile->name = source->name.empty() ? Stem(source->origin) : source->name;
}

}  // namespace

std::string Problem::ToString() const {
  std::string text = text::Escape(at.ToString()) + ": " + what;
  if (!expected.empty()) text += "; expected " + expected;
  if (!suggest.empty()) text += "; did you mean '" + suggest + "'?";
  return text;
}

Checked<std::vector<std::string>> ReadExtends(const Source& source) {
  // Where paths lead makes no difference to what is extended.
  const Places nowhere{"/home", "/workspace"};
  const Source named = WithOrigin(source);
  Document document;
  std::vector<Problem> problems = ParseDocument(named, nowhere, &document);
  if (problems.size() > kShownProblems) problems.resize(kShownProblems);
  if (!problems.empty()) return problems;
  std::vector<std::string> names;
  for (Reference& base : document.extends) names.push_back(std::move(base.name));
  return names;
}

Checked<Profile> LoadProfile(const std::vector<Source>& sources, const Places& places) {
  std::vector<Problem> problems;
  std::vector<Document> documents(sources.size());
  for (std::size_t i = 0; i < sources.size() && problems.size() < kShownProblems; ++i) {
    const Source named = WithOrigin(sources[i]);
    std::vector<Problem> found = ParseDocument(named, places, &documents[i]);
    problems.insert(problems.end(), std::make_move_iterator(found.begin()),
                    std::make_move_iterator(found.end()));
  }
  if (problems.empty()) CheckExtends(sources, documents, &problems);
  if (problems.size() > kShownProblems) problems.resize(kShownProblems);
  if (!problems.empty()) return problems;
  Checked<Profile> merged = MergeDocuments(std::move(documents));
  if (merged.ok()) {
    NameProfile(sources, &merged.value());
    return merged;
  }
  problems = merged.problems();
  if (problems.size() > kShownProblems) problems.resize(kShownProblems);
  return problems;
}

}  // namespace cellrun::policy
