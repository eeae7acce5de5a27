// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/tools.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/text.h"
#include "lib/policy/show_rules.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kMaxTools = 256;

// No profile has a name with a space.
std::string SourceName(const std::string& tool) {
  return "tool add " + tool;
}

// JSON is YAML; ASCII, so that nothing in it is special.
policy::Source DocumentOf(const policy::Tool& tool, const std::string& by) {
  const nlohmann::ordered_json document = {{"cellrun", 1}, {"tools", {policy::ToolValue(tool)}}};
  const std::string text = document.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return {.name = SourceName(tool.name),
          .origin = SourceName(tool.name),
          .text = "# by " + text::Escape(by) + "\n" + text + "\n",
          .layer = policy::Layer::kCommandLine};
}

bool Contains(const std::vector<policy::Source>& sources, const std::string& tool) {
  return std::any_of(sources.begin(), sources.end(),
                     [&](const policy::Source& source) { return source.name == SourceName(tool); });
}

}  // namespace

Result<void> Tools::Add(Cell& cell, const policy::Tool& tool, const std::string& by) {
  if (!cell.setup().ghost_of.empty()) return Error(EINVAL, "", "this cell has no tools");
  if (cell.setup().tools.Has(tool.name))
    return Error(EEXIST, "", "the cell has a tool " + text::Escape(tool.name));
  if (cell.setup().policy->profile().tools.size() >= kMaxTools)
    return Error(EINVAL, "", "the cell has too many tools");
  std::vector<policy::Source> sources = *cell.setup().sources;
  std::erase_if(sources,
                [&](const policy::Source& source) { return source.name == SourceName(tool.name); });
  sources.push_back(DocumentOf(tool, by));
  const std::vector<policy::Problem> problems = refresh_.Adopt(cell, std::move(sources));
  if (!problems.empty()) return Error(EINVAL, "", problems[0].ToString());
  // Last: what is found in PATH runs as its rule says.
  return cell.setup().tools.Add(tool.name);
}

Result<void> Tools::Remove(Cell& cell, const std::string& name) {
  const auto entries = List(cell);
  const bool there = std::any_of(entries.begin(), entries.end(),
                                 [&](const Entry& entry) { return entry.tool->name == name; });
  if (!there) return Error(ENOENT, "", "the cell has no tool " + text::Escape(name));
  TRY(cell.setup().tools.Remove(name));
  if (!Contains(*cell.setup().sources, name)) return {};
  std::vector<policy::Source> sources = *cell.setup().sources;
  std::erase_if(sources,
                [&](const policy::Source& source) { return source.name == SourceName(name); });
  const std::vector<policy::Problem> problems = refresh_.Adopt(cell, std::move(sources));
  if (!problems.empty()) return Error(EINVAL, "", problems[0].ToString());
  return {};
}

std::vector<Tools::Entry> Tools::List(const Cell& cell) {
  std::vector<Entry> entries;
  for (const policy::Tool& tool : cell.setup().policy->profile().tools) {
    if (!cell.setup().tools.Has(tool.name)) continue;
    entries.push_back({.tool = &tool, .added = Contains(*cell.setup().sources, tool.name)});
  }
  return entries;
}

}  // namespace cellrun::cells
