// SPDX-License-Identifier: Apache-2.0
#include "broker/daemon/tool_routes.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "broker/approvals/terminal.h"
#include "lib/base/text.h"
#include "lib/policy/show_rules.h"
#include "lib/policy/units.h"
#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

namespace cellrun::daemon {
namespace {

using http::ErrorResponse;
using http::Request;
using http::Response;
using nlohmann::json;

json ObjectOf(const cells::Tools::Entry& entry) {
  const policy::Tool& tool = *entry.tool;
  return {{"name", tool.name},
          {"run", policy::StrategyName(tool.run)},
          {"image", text::Escape(tool.ghost.image)},
          {"network", tool.ghost.network},
          {"secrets", tool.ghost.secrets},
          {"write", tool.ghost.write},
          {"limits", policy::LimitsValue(tool.ghost.limits)},
          {"added", entry.added}};
}

Response Failure(const Error& error) {
  const int status = error.code() == EEXIST ? 409 : error.code() == ENOENT ? 404 : 400;
  return ErrorResponse(status, "the tools cannot be changed",
                       error.context().empty() ? error.ToString() : error.context());
}

Response NoCell(const std::string& name) {
  return ErrorResponse(404, "there is no cell " + text::Escape(name), "", "cellrun ps");
}

// A text that `parse` reads, as profiles have it.
template <typename T, typename Parse>
void MaybeParsed(wire::ObjectReader& reader, const char* name, Parse parse,
                 std::optional<policy::Placed<T>>& out) {
  if (!reader.Has(name)) return;
  std::string text;
  reader.Text(name, text);
  if (!reader.ok()) return;
  const std::optional<T> value = parse(text);
  if (!value) return reader.Fail(name, "cannot be read");
  out = {.value = *value, .at = {}, .layer = policy::Layer::kCommandLine};
}

void MaybeNumber(wire::ObjectReader& reader, const char* name,
                 std::optional<policy::Placed<std::uint64_t>>& out) {
  if (!reader.Has(name)) return;
  std::uint64_t number = 0;
  reader.Count(name, number);
  out = {.value = number, .at = {}, .layer = policy::Layer::kCommandLine};
}

std::optional<double> ParseNumber(const std::string& text) {
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Those that a cell can have; what is too much or too little, the policy's reader says.
void ReadLimits(wire::ObjectReader& reader, policy::Limits& limits) {
  MaybeNumber(reader, "processes", limits.processes);
  MaybeNumber(reader, "files", limits.files);
  MaybeParsed(reader, "cpus", ParseNumber, limits.cpus);
  MaybeParsed(reader, "time", policy::ParseDuration, limits.time);
  MaybeParsed(reader, "memory", policy::ParseSize, limits.memory_bytes);
  MaybeParsed(reader, "output", policy::ParseSize, limits.output_bytes);
}

Result<policy::Tool> ReadTool(const std::string& body) {
  const json parsed = TRY(wire::ParseStrictJson(body));
  constexpr std::array kPlaces{"ghost", "mirror"};
  enum class Place : std::uint8_t { kGhost, kMirror } place = Place::kGhost;
  policy::Tool tool;
  wire::ObjectReader reader(parsed, "tool");
  reader.Text("name", tool.name);
  if (reader.Has("run")) reader.Choice("run", place, kPlaces);
  reader.MaybeText("image", tool.ghost.image);
  reader.MaybeTexts("network", tool.ghost.network);
  reader.MaybeTexts("secrets", tool.ghost.secrets);
  reader.MaybeTexts("write", tool.ghost.write);
  reader.MaybeObject("limits",
                     [&](wire::ObjectReader& limits) { ReadLimits(limits, tool.ghost.limits); });
  TRY(reader.Finish());
  tool.run = place == Place::kGhost ? policy::Strategy::kGhost : policy::Strategy::kMirror;
  return tool;
}

std::string By(const Request& request) {
  const std::string terminal = approvals::TerminalOf(request.peer.pid);
  return "uid " + std::to_string(request.peer.uid) + (terminal.empty() ? "" : " on " + terminal);
}

}  // namespace

void RegisterToolRoutes(http::Router& router, const cells::Registry& registry,
                        cells::Tools& tools) {
  router.Add("GET", "/v1/cells/:cell/tools", [&registry](const Request& request) {
    const cells::Cell* cell = registry.Find(request.Parameter("cell"));
    if (cell == nullptr) return NoCell(request.Parameter("cell"));
    json list = {{"tools", json::array()}};
    for (const auto& entry : cells::Tools::List(*cell)) list["tools"].push_back(ObjectOf(entry));
    return Response{.status = 200, .body = list.dump()};
  });
  router.Add("POST", "/v1/cells/:cell/tools", [&registry, &tools](const Request& request) {
    cells::Cell* cell = registry.Find(request.Parameter("cell"));
    if (cell == nullptr) return NoCell(request.Parameter("cell"));
    const Result<policy::Tool> tool = ReadTool(request.body);
    if (!tool.ok()) return Failure(tool.error());
    const Result<void> added = tools.Add(*cell, *tool, By(request));
    if (!added.ok()) return Failure(added.error());
    return Response{.status = 201, .body = json({{"name", tool->name}}).dump()};
  });
  router.Add("DELETE", "/v1/cells/:cell/tools/:name", [&registry, &tools](const Request& request) {
    cells::Cell* cell = registry.Find(request.Parameter("cell"));
    if (cell == nullptr) return NoCell(request.Parameter("cell"));
    const std::string name = request.Parameter("name");
    const Result<void> removed = tools.Remove(*cell, name);
    if (!removed.ok()) return Failure(removed.error());
    return Response{.status = 200, .body = json({{"name", text::Escape(name)}}).dump()};
  });
}

}  // namespace cellrun::daemon
