// SPDX-License-Identifier: Apache-2.0
#include "launcher/history/explanation_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "launcher/history/record_row.h"
#include "lib/base/text.h"

namespace cellrun::history {
namespace {

using nlohmann::json;

constexpr std::size_t kFewestSkipped = 3;  // rules in a row that are only counted

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string RuleText(const json& rule) {
  std::string text = RuleOf(rule);
  const std::string name = Text(rule, "name");
  if (!name.empty() && name != text) text += " \"" + text::Escape(name) + "\"";
  return text;
}

void AddLine(std::string& out, const char* name, const std::string& value) {
  if (value.empty()) return;
  out.append(name).append(":").append(std::max<std::size_t>(1, 9 - std::string(name).size()), ' ');
  out.append(value).append("\n");
}

std::string Colored(const std::string& verdict, bool color) {
  if (!color) return text::Escape(verdict);
  const char* code = verdict == "deny" ? "31" : verdict == "ask" ? "33" : "32";
  return std::string("\x1b[1;") + code + "m" + text::Escape(verdict) + "\x1b[0m";
}

void AddSubject(const json& explanation, std::string& out) {
  const json record = explanation.value("record", json::object());
  const std::string name = Text(explanation, "cell_name");
  CellNames names;
  if (!name.empty()) names[Text(record, "cell")] = name;
  const Row row = RowOf(record, names, Clock::now());
  if (!row.id.empty()) {
    AddLine(out, "record", row.id + ", " + row.time + ", cell " + row.cell);
  }
  AddLine(out, "what", row.what);
  AddLine(out, "in", text::Escape(Text(record, "cwd")));
}

std::string TrialText(const json& trial, std::size_t width) {
  std::string rule = RuleText(trial.value("rule", json::object()));
  rule.resize(std::max(width, rule.size()), ' ');
  std::string then = text::Escape(Text(trial, "then"));
  then.resize(std::max<std::size_t>(5, then.size()), ' ');
  std::string outcome = "matches, but an earlier rule decided";
  if (trial.value("decided", false)) {
    outcome = "decides";
  } else if (!trial.value("matched", false)) {
    outcome = "no: " + text::Escape(Text(trial, "failed"));
  }
  return "  " + rule + "  " + then + "  " + outcome + "\n";
}

// A rule that names other programs or destinations: a profile has many of these, and none of them
// explains much.
bool IsForOthers(const json& trial) {
  const std::string failed = Text(trial, "failed");
  return !trial.value("matched", false) &&
         (failed.starts_with("exe: ") || failed.starts_with("to: "));
}

void AddTrials(const json& explanation, std::string& out) {
  const json trials = explanation.value("trials", json::array());
  if (trials.empty()) return;
  std::size_t width = 0;
  for (const json& trial : trials) {
    width = std::max(width, RuleText(trial.value("rule", json::object())).size());
  }
  width = std::min<std::size_t>(width, 60);
  const bool connects = Text(explanation.value("record", json::object()), "kind") == "connect";
  const char* others = connects ? " rules for other destinations\n" : " rules for other programs\n";
  out += "\nrules, in the order tried:\n";
  for (std::size_t i = 0; i < trials.size();) {
    std::size_t end = i;
    while (end < trials.size() && IsForOthers(trials[end])) ++end;
    if (end - i >= kFewestSkipped) {
      out += "  … " + std::to_string(end - i) + others;
      i = end;
    } else {
      out += TrialText(trials[i++], width);
    }
  }
}

// Line breaks stay; everything else was escaped where it was made.
void AddChange(const json& explanation, std::string& out) {
  const std::string change = Text(explanation, "change");
  if (change.empty()) return;
  out += "\nthe smallest change that alters it:\n";
  for (std::size_t begin = 0; begin < change.size();) {
    const std::size_t end = std::min(change.find('\n', begin), change.size());
    out += "  " + change.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
}

}  // namespace

std::string ExplanationText(const json& explanation, bool color) {
  std::string out;
  AddSubject(explanation, out);
  std::string verdict = Colored(Text(explanation, "verdict"), color);
  const json rule = explanation.value("rule", json::object());
  const std::string by = RuleText(rule);
  if (!by.empty()) verdict += " by " + by;
  const std::string layer = Text(rule, "layer");
  if (!layer.empty()) verdict += " (" + text::Escape(layer) + ")";
  AddLine(out, "verdict", verdict);
  AddLine(out, "reason", text::Escape(Text(explanation, "reason")));
  AddLine(out, "message", text::Escape(Text(explanation, "message")));
  AddLine(out, "instead", text::Escape(Text(explanation, "suggest")));
  std::string result = Text(explanation, "result");
  if (result.empty()) result = Text(explanation.value("record", json::object()), "result");
  AddLine(out, "result", text::Escape(result));
  AddTrials(explanation, out);
  AddChange(explanation, out);
  for (const json& note : explanation.value("notes", json::array())) {
    if (note.is_string()) out += "\nnote: " + text::Escape(note.get<std::string>()) + "\n";
  }
  return out;
}

}  // namespace cellrun::history
