// SPDX-License-Identifier: Apache-2.0
#include "launcher/broker/broker_verbs.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <variant>
#include <vector>

#include "launcher/client/error_form.h"
#include "launcher/client/http.h"
#include "launcher/client/inside.h"
#include "launcher/client/launch_broker.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"
#include "lib/sys/process.h"
#include "lib/wire/launch.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::broker {
namespace {

using launcher::ErrorForm;
using launcher::PrintError;
using nlohmann::json;

constexpr int kMaxAttempts = 5;
constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kNotFound = 404;
constexpr std::chrono::seconds kAnswerTime{10};
constexpr std::chrono::seconds kLeaveTime{15};

struct NotRunning {};
using Answer = std::variant<json, NotRunning, ErrorForm>;

// What the broker says about a refusal: {"error": {what, cause, try}}.
ErrorForm FromBroker(int status, const json& body) {
  ErrorForm form{
      .what = "the broker answered " + std::to_string(status), .cause = "", .suggest = ""};
  if (!body.is_object() || !body.contains("error") || !body["error"].is_object()) return form;
  const auto text = [&body](const char* key) {
    const auto found = body["error"].find(key);
    return found != body["error"].end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (!text("what").empty()) form.what = text("what");
  form.cause = text("cause");
  form.suggest = text("try");
  return form;
}

Answer Ask(const std::string& method, const std::string& target) {
  const auto directory = wire::RuntimeDirectory();
  if (!directory.ok()) {
    return ErrorForm{"no runtime directory", directory.error().ToString(), "cellrun doctor"};
  }
  client::HttpRequest request;
  request.method = method;
  request.target = target;
  request.timeout = kAnswerTime;
  const auto response = client::Call(*directory + "/api.sock", request);
  if (!response.ok()) {
    const int code = response.error().code();
    // Reset: one that ends while it is asked.
    if (code == ENOENT || code == ECONNREFUSED || code == ECONNRESET) return NotRunning{};
    return ErrorForm{"cannot ask the broker", response.error().ToString(), "cellrun doctor"};
  }
  auto body = wire::ParseStrictJson(response->body);
  if (response->status >= 200 && response->status < 300) {
    if (body.ok()) return std::move(body).value();
    return ErrorForm{"the broker's answer cannot be read", body.error().ToString(), ""};
  }
  if (response->status == kNotFound) {
    return ErrorForm{"the broker does not know this request", "it may be of another release",
                     "cellrun broker stop"};
  }
  return FromBroker(response->status, body.ok() ? *body : json());
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "";
  // The broker has escaped what comes from cells; a number or list shows as JSON.
  return found->is_string() ? text::EscapeShort(found->get<std::string>(), 4096)
                            : found->dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Duration(std::uint64_t seconds) {
  constexpr std::array<std::pair<std::uint64_t, const char*>, 3> kUnits = {
      {{86400, "d"}, {3600, "h"}, {60, "m"}}};
  for (const auto& [length, name] : kUnits) {
    if (seconds >= 2 * length) return std::to_string(seconds / length) + name;
  }
  return std::to_string(seconds) + "s";
}

std::string StatusTable(const json& status) {
  std::vector<std::vector<std::string>> rows = {{}};
  for (const char* key : {"pid", "version", "build", "cells", "runtime_directory"}) {
    rows.push_back({key, Text(status, key)});
  }
  const auto uptime = status.find("uptime_seconds");
  if (uptime != status.end() && uptime->is_number_unsigned()) {
    rows.push_back({"uptime", Duration(uptime->get<std::uint64_t>())});
  }
  const auto journal = status.find("journal");
  if (journal != status.end() && journal->is_object()) {
    const bool healthy = journal->value("healthy", false);
    rows.push_back({"journal", std::string(healthy ? "healthy" : "BROKEN: everything is denied") +
                                   ", " + Text(*journal, "records") + " records in " +
                                   Text(*journal, "path")});
  }
  return output::Table(rows, false);
}

// A pidfd taken before the order cannot name another process afterwards.
bool WaitForEnd(const Result<UniqueFd>& pidfd) {
  if (!pidfd.ok()) return pidfd.error().code() == ESRCH;
  pollfd wait{.fd = pidfd->get(), .events = POLLIN, .revents = 0};
  const auto deadline = sys::MonotonicNow() + kLeaveTime;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - sys::MonotonicNow());
    const int ready = poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

int SayNotRunning() {
  launcher::PrintNote("no broker runs");
  return kFailed;
}

// The cell that a ghost runs a command for; its id where it has just ended.
std::string NameOf(const json& cells, const std::string& id) {
  if (id.empty()) return "-";
  for (const json& cell : cells) {
    if (Text(cell, "id") == id) return Text(cell, "name");
  }
  return id;
}

std::string CellRows(const json& cells, bool headers) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "ID", "PROFILE", "STATE", "GHOST OF", "CREATED", "WORKSPACE"}};
  for (const json& cell : cells) {
    rows.push_back({Text(cell, "name"), Text(cell, "id").substr(0, 12), Text(cell, "profile"),
                    Text(cell, "state"), NameOf(cells, Text(cell, "ghost_of")),
                    Text(cell, "created"), Text(cell, "workspace")});
  }
  return output::Table(rows, headers);
}

}  // namespace

int Start() {
  if (const auto answer = Ask("GET", "/v1/status"); std::holds_alternative<json>(answer)) {
    launcher::PrintNote("the broker runs already, pid " + Text(std::get<json>(answer), "pid"));
    return kDone;
  }
  // Until one answers: where another one is about to leave, this one has to wait for its end, and
  // one that was killed may still take connections.
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const auto serving = []() -> Result<UniqueFd> {
      const std::string runtime = TRY(wire::RuntimeDirectory());
      return launcher::ConnectOrStart(runtime, runtime + "/launch.sock");
    }();
    if (!serving.ok()) {
      PrintError({"the broker did not start", serving.error().ToString(), "cellrun doctor"});
      return kFailed;
    }
    if (std::holds_alternative<json>(Ask("GET", "/v1/status"))) return kDone;
  }
  PrintError({"the broker did not start", "it left " + std::to_string(kMaxAttempts) + " times",
              "cellrun broker logs"});
  return kFailed;
}

int Stop(bool force) {
  const Answer before = Ask("GET", "/v1/status");
  if (std::holds_alternative<NotRunning>(before)) {
    launcher::PrintNote("no broker runs");
    return kDone;
  }
  if (const auto* error = std::get_if<ErrorForm>(&before)) {
    PrintError(*error);
    return kFailed;
  }
  const json& status = std::get<json>(before);
  const auto pid = status.find("pid");
  if (pid == status.end() || !pid->is_number_integer()) {
    PrintError({"the broker's answer has no pid", "", "cellrun doctor"});
    return kFailed;
  }
  const auto pidfd = sys::PidfdOpen(pid->get<pid_t>());
  const Answer answer = Ask("POST", force ? "/v1/stop?force=1" : "/v1/stop");
  if (const auto* error = std::get_if<ErrorForm>(&answer)) {
    PrintError(*error);
    return kFailed;
  }
  if (!WaitForEnd(pidfd)) {
    PrintError({"the broker is still there", "it did not end in time", "cellrun broker logs"});
    return kFailed;
  }
  return kDone;
}

int Status(const std::string& output) {
  const Answer answer = Ask("GET", "/v1/status");
  if (std::holds_alternative<NotRunning>(answer)) return SayNotRunning();
  if (const auto* error = std::get_if<ErrorForm>(&answer)) {
    PrintError(*error);
    return kFailed;
  }
  const json& status = std::get<json>(answer);
  const auto format = output::FormatFromName(output);
  const std::string text =
      format == output::Format::kTable ? StatusTable(status) : output::Document(status, format);
  return output::Print(text) ? kDone : kFailed;
}

int ListCells(const std::string& output, bool headers) {
  const Answer answer = Ask("GET", "/v1/cells");
  if (const auto* error = std::get_if<ErrorForm>(&answer)) {
    PrintError(*error);
    return kFailed;
  }
  const bool found = std::holds_alternative<json>(answer);
  if (!found && client::IsInside()) {
    PrintError(client::NotFromInside());
    return kFailed;
  }
  // No broker: no cells.
  const json cells = found ? std::get<json>(answer) : json::array();
  if (!cells.is_array()) {
    PrintError({"the broker's answer is no list of cells", "", "cellrun doctor"});
    return kFailed;
  }
  const auto format = output::FormatFromName(output);
  std::string text;
  if (format == output::Format::kName) {
    for (const json& cell : cells) text += Text(cell, "name") + "\n";
  } else if (format == output::Format::kTable) {
    text = CellRows(cells, headers);
  } else {
    text = output::Document(cells, format);
  }
  return output::Print(text) ? kDone : kFailed;
}

}  // namespace cellrun::broker
