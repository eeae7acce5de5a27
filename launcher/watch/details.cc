// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/details.h"

#include <algorithm>

namespace cellrun::watch {
namespace {

constexpr std::size_t kPlainArguments = 24;  // that fit one row; more are listed

std::string LastPart(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string Plural(std::uint64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void AddWho(Sheet& sheet, const Ask& ask) {
  const Charset charset = sheet.charset();
  std::string who = DisplaySafe(ask.cell, charset);
  if (!ask.profile.empty()) who += ", profile " + DisplaySafe(ask.profile, charset);
  if (ask.waiting > 1) who += ", " + std::to_string(ask.waiting) + " processes wait";
  sheet.Add("cell", who, Style::kStrong);
  std::string chain = "pid " + std::to_string(ask.pid);
  for (const std::string& parent : ask.parents) chain += " <- " + DisplayQuoted(parent, charset);
  sheet.Add("process", chain);
  sheet.Add("directory", DisplayQuoted(ask.cwd, charset));
}

void AddArgumentRows(Sheet& sheet, const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    sheet.Add("  [" + std::to_string(i) + "]", DisplayQuoted(arguments[i], sheet.charset()),
              Style::kStrong);
  }
}

void AddArguments(Sheet& sheet, const Ask& ask) {
  const std::string size =
      Plural(ask.argv.size(), "argument") + ", " + Plural(ask.argv_bytes, "byte");
  const bool few = ask.argv.size() <= kPlainArguments && ask.argv_bytes <= sheet.room();
  const std::string row = few ? DisplayArguments(ask.argv, sheet.charset()) : "";
  if (few && Columns(row) <= sheet.room()) {
    sheet.Add("runs", row, Style::kStrong);
    sheet.Add("", size, Style::kFaint);
  } else {
    sheet.Add("runs", size + (ask.argv_cut ? ": not all of it is here yet" : ", one a line"));
    AddArgumentRows(sheet, ask.argv);
  }
  if (ask.original_argv.empty()) return;
  sheet.Add("asked for", "the rule rewrote this:", Style::kWarning);
  AddArgumentRows(sheet, ask.original_argv);
}

// "sha256:" is what the label says already; so it fits a row of 80.
std::string_view Digits(std::string_view hash) {
  constexpr std::string_view kPrefix = "sha256:";
  return hash.starts_with(kPrefix) ? hash.substr(kPrefix.size()) : hash;
}

void AddImage(Sheet& sheet, const Ask& ask) {
  const Charset charset = sheet.charset();
  std::string program = DisplayQuoted(ask.program, charset);
  if (!ask.strategy.empty()) program += ", run " + DisplaySafe(ask.strategy, charset);
  sheet.Add("program", program);
  for (const std::string& link : ask.chain) sheet.Add("run by", DisplayQuoted(link, charset));
  sheet.Add("sha256", DisplaySafe(Digits(ask.image_hash), charset));
  if (ask.writable) {
    sheet.Add("", "! THE CELL COULD HAVE WRITTEN IT, or a program that runs it", Style::kBad);
  } else {
    sheet.Add("", "the cell could not have written it");
  }
  if (ask.script_copy.empty()) return;
  sheet.Add("script", "runs from a copy that the cell cannot change: " +
                          DisplayQuoted(ask.script_copy, charset));
  sheet.Add("sha256", DisplaySafe(Digits(ask.script_hash), charset));
}

void AddEnvironment(Sheet& sheet, const Ask& ask) {
  if (ask.environment.empty()) sheet.Add("variables", "no change that matters");
  const auto value = [&](const std::optional<std::string>& text) {
    return text ? DisplayQuoted(*text, sheet.charset()) : std::string("(not set)");
  };
  for (const EnvironmentChange& change : ask.environment) {
    sheet.Add("! variable",
              DisplayQuoted(change.name, sheet.charset()) + ": " + value(change.before) + " -> " +
                  value(change.after),
              Style::kWarning);
  }
}

void AddWhy(Sheet& sheet, const Ask& ask) {
  sheet.Add("rule", RuleText(ask, sheet.charset()));
  if (!ask.reason.empty()) sheet.AddRaw("reason", ask.reason);
  for (const std::string& risk : ask.risks) sheet.AddRaw("! risk", risk, Style::kWarning);
  if (ask.approvers > 1) {
    std::string needed = std::to_string(ask.approvers) + " people must approve";
    for (const std::string& name : ask.approved_by) {
      needed += ", approved by " + DisplaySafe(name, sheet.charset());
    }
    sheet.Add("! approval", needed, Style::kWarning);
  }
  if (!ask.said_by_cell.empty()) {
    sheet.Add("cell says", "the cell's own words, which nobody has checked:", Style::kWarning);
    sheet.Add("", "\"" + DisplaySafe(ask.said_by_cell, sheet.charset()) + "\"");
  }
}

}  // namespace

void Sheet::Add(std::string_view label, std::string_view safe, Style style) {
  std::string margin(label.substr(0, kMargin - 1));
  margin.resize(kMargin, ' ');
  for (std::string& row : Wrap(safe, room())) {
    lines_.push_back({Span{margin, Style::kFaint}, Span{std::move(row), style}});
    margin.assign(kMargin, ' ');
  }
}

void Sheet::AddRaw(std::string_view label, std::string_view untrusted, Style style) {
  Add(label, DisplaySafe(untrusted, charset_), style);
}

void Sheet::AddText(std::string_view label, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    AddRaw(label, text.substr(0, end));
    label = "";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::vector<Line> DetailLines(const Ask& ask, std::size_t columns, Charset charset) {
  Sheet sheet(columns, charset);
  AddWho(sheet, ask);
  AddArguments(sheet, ask);
  AddImage(sheet, ask);
  AddEnvironment(sheet, ask);
  AddWhy(sheet, ask);
  return sheet.Take();
}

std::string RuleText(const Ask& ask, Charset charset) {
  std::string text;
  if (!ask.rule_file.empty()) {
    text = DisplaySafe(LastPart(ask.rule_file), charset) + ":" + std::to_string(ask.rule_line);
  }
  if (!ask.rule_name.empty()) {
    text += (text.empty() ? "\"" : " \"") + DisplaySafe(ask.rule_name, charset) + "\"";
  }
  return text.empty() ? "no rule" : text;
}

}  // namespace cellrun::watch
