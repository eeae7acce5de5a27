// SPDX-License-Identifier: Apache-2.0
#include "broker/daemon/tool_routes.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "broker/approvals/terminal.h"
#include "lib/base/text.h"
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
