// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/launch.h"

#include <signal.h>

#include <array>

#include "lib/wire/strict_json.h"

namespace cellrun::wire {
namespace {

using nlohmann::json;

constexpr std::array kStreamNames = {"given", "terminal", "null"};
constexpr std::array kLayerNames = {"floor",     "remembered", "command-line",
                                    "workspace", "profile",    "inherited"};
constexpr std::int64_t kMaxMilliseconds = std::int64_t{1000} * 60 * 60 * 24 * 366;
constexpr std::size_t kMaxDocuments = 64;

json TextsToJson(const std::vector<std::string>& texts) {
  json array = json::array();
  for (const std::string& text : texts) array.push_back(TextToJson(text));
  return array;
}
json PairsToJson(const std::vector<std::pair<std::string, std::string>>& pairs) {
  json array = json::array();
  for (const auto& [name, value] : pairs) {
    array.push_back({{"name", TextToJson(name)}, {"value", TextToJson(value)}});
  }
  return array;
}
json SourcesToJson(const std::vector<policy::Source>& documents) {
  json array = json::array();
  for (const policy::Source& source : documents) {
    array.push_back({{"name", TextToJson(source.name)},
                     {"origin", TextToJson(source.origin)},
                     {"layer", kLayerNames.at(static_cast<std::size_t>(source.layer))}});
  }
  return array;
}
void ReadSources(ObjectReader& reader, std::vector<policy::Source>& documents) {
  reader.Objects("documents", [&](ObjectReader& entry) {
    policy::Source& source = documents.emplace_back();
    entry.Text("name", source.name);
    entry.Text("origin", source.origin);
    entry.Choice("layer", source.layer, kLayerNames);
  });
  if (documents.size() > kMaxDocuments) reader.Fail("documents", "are too many");
}

}  // namespace

Result<std::string> MessageType(const json& message) {
  if (!message.is_object() || !message.contains("type") || !message["type"].is_string()) {
    return Error(EINVAL, "message", "type: is missing");
  }
  return message["type"].get_ref<const std::string&>();
}

std::string Encode(const RunRequest& request) {
  json streams = json::array();
  for (const Stream stream : request.streams) {
    streams.push_back({{"is", kStreamNames.at(static_cast<std::size_t>(stream))}});
  }
  return json{{"type", "run"},
              {"name", TextToJson(request.name)},
              {"profile", TextToJson(request.profile)},
              {"documents", SourcesToJson(request.documents)},
              {"workspace", TextToJson(request.workspace)},
              {"workspace_read_only", request.workspace_read_only},
              {"working_directory", TextToJson(request.working_directory)},
              {"home", TextToJson(request.home)},
              {"user", TextToJson(request.user)},
              {"arguments", request.argv.size()},
              {"variables", request.environment.size()},
              {"set_environment", PairsToJson(request.set_environment)},
              {"read", TextsToJson(request.read)},
              {"write", TextsToJson(request.write)},
              {"publish", TextsToJson(request.publish)},
              {"network", TextsToJson(request.network)},
              {"observe", request.observe},
              {"report", request.report},
              {"time_limit_ms", request.time_limit.count()},
              {"streams", std::move(streams)},
              {"rows", request.rows},
              {"columns", request.columns},
              {"term", TextToJson(request.term)}}
      .dump();
}

Result<RunRequest> DecodeRunRequest(const json& message) {
  RunRequest request;
  std::size_t arguments = 0;
  std::size_t variables = 0;
  std::int64_t time_limit_ms = 0;
  ObjectReader reader(message, "run");
  reader.Type("run");
  reader.Text("name", request.name);
  reader.Text("profile", request.profile);
  ReadSources(reader, request.documents);
  reader.Text("workspace", request.workspace);
  reader.Bool("workspace_read_only", request.workspace_read_only);
  reader.Text("working_directory", request.working_directory);
  reader.Text("home", request.home);
  reader.Text("user", request.user);
  reader.Small("arguments", arguments, 1, kMaxStrings);
  reader.Small("variables", variables, 0, kMaxStrings);
  reader.Objects("set_environment", [&](ObjectReader& entry) {
    auto& [name, value] = request.set_environment.emplace_back();
    entry.Text("name", name);
    entry.Text("value", value);
  });
  reader.Texts("read", request.read);
  reader.Texts("write", request.write);
  reader.Texts("publish", request.publish);
  reader.Texts("network", request.network);
  reader.Bool("observe", request.observe);
  reader.Bool("report", request.report);
  reader.Number("time_limit_ms", 0, kMaxMilliseconds, time_limit_ms);
  std::size_t stream = 0;
  reader.Objects("streams", [&](ObjectReader& entry) {
    Stream is = Stream::kNull;
    entry.Choice("is", is, kStreamNames);
    if (stream < std::size(request.streams)) request.streams[stream] = is;
    ++stream;
  });
  if (stream != std::size(request.streams)) reader.Fail("streams", "are not three");
  reader.Small("rows", request.rows, 0, UINT16_MAX);
  reader.Small("columns", request.columns, 0, UINT16_MAX);
  reader.Text("term", request.term);
  TRY(reader.Finish());
  request.argv.resize(arguments);
  request.environment.resize(variables);
  request.time_limit = std::chrono::milliseconds(time_limit_ms);
  return request;
}

std::string Encode(const Refusal& refusal) {
  return json{{"type", "refused"},
              {"status", refusal.status},
              {"what", TextToJson(refusal.what)},
              {"cause", TextToJson(refusal.cause)},
              {"suggest", TextToJson(refusal.suggest)}}
      .dump();
}
Result<Refusal> DecodeRefusal(const json& message) {
  Refusal refusal;
  ObjectReader reader(message, "refused");
  reader.Type("refused");
  reader.Small("status", refusal.status, 1, 255);
  reader.Text("what", refusal.what);
  reader.Text("cause", refusal.cause);
  reader.Text("suggest", refusal.suggest);
  TRY(reader.Finish());
  return refusal;
}

std::string Encode(const ExitReport& report) {
  return json{{"type", "exit"},
              {"started", report.started},
              {"exec_error", report.exec_error},
              {"wait_status", report.wait_status},
              {"timed_out", report.timed_out},
              {"output_ended", report.output_ended},
              {"memory_kills", report.memory_kills},
              {"lost", TextToJson(report.lost)},
              {"allowed", report.allowed},
              {"asked", report.asked},
              {"denied", report.denied},
              {"denials", TextsToJson(report.denials)},
              {"quarantined", TextsToJson(report.quarantined)},
              {"layers", TextsToJson(report.layers)},
              {"cut_limits", TextsToJson(report.cut_limits)}}
      .dump();
}
Result<ExitReport> DecodeExitReport(const json& message) {
  ExitReport report;
  ObjectReader reader(message, "exit");
  reader.Type("exit");
  reader.Bool("started", report.started);
  reader.Small("exec_error", report.exec_error, 0, 4095);
  reader.Small("wait_status", report.wait_status, INT32_MIN, INT32_MAX);
  reader.Bool("timed_out", report.timed_out);
  reader.Bool("output_ended", report.output_ended);
  reader.Count("memory_kills", report.memory_kills);
  reader.Text("lost", report.lost);
  reader.Count("allowed", report.allowed);
  reader.Count("asked", report.asked);
  reader.Count("denied", report.denied);
  reader.Texts("denials", report.denials);
  reader.Texts("quarantined", report.quarantined);
  reader.Texts("layers", report.layers);
  reader.Texts("cut_limits", report.cut_limits);
  TRY(reader.Finish());
  return report;
}

std::string Encode(const Hello& hello) {
  json message{{"type", "hello"}, {"cellrun", hello.version}, {"build", hello.build}};
  if (hello.pid != 0) message["pid"] = hello.pid;
  return message.dump();
}
Result<Hello> DecodeHello(const json& message) {
  Hello hello;
  ObjectReader reader(message, "hello");
  reader.Type("hello");
  reader.Text("cellrun", hello.version);
  reader.Text("build", hello.build);
  reader.MaybeSmall("pid", hello.pid, 1, INT32_MAX);
  TRY(reader.Finish());
  return hello;
}

std::string Encode(const Started& started) {
  return json{
      {"type", "started"}, {"pid", started.pid}, {"lost_layers", TextsToJson(started.lost_layers)}}
      .dump();
}
Result<Started> DecodeStarted(const json& message) {
  Started started;
  ObjectReader reader(message, "started");
  reader.Type("started");
  reader.Small("pid", started.pid, 1, INT32_MAX);
  reader.Texts("lost_layers", started.lost_layers);
  TRY(reader.Finish());
  return started;
}

std::string Encode(const Resize& resize) {
  return json{{"type", "resize"}, {"rows", resize.rows}, {"columns", resize.columns}}.dump();
}
Result<Resize> DecodeResize(const json& message) {
  Resize resize;
  ObjectReader reader(message, "resize");
  reader.Type("resize");
  reader.Small("rows", resize.rows, 0, UINT16_MAX);
  reader.Small("columns", resize.columns, 0, UINT16_MAX);
  TRY(reader.Finish());
  return resize;
}

std::string EncodeNeed(const std::vector<std::string>& documents) {
  return json{{"type", "need"}, {"documents", TextsToJson(documents)}}.dump();
}
Result<std::vector<std::string>> DecodeNeed(const json& message) {
  std::vector<std::string> documents;
  ObjectReader reader(message, "need");
  reader.Type("need");
  reader.Texts("documents", documents);
  TRY(reader.Finish());
  return documents;
}

std::string EncodeDocuments(const std::vector<policy::Source>& documents) {
  return json{{"type", "documents"}, {"documents", SourcesToJson(documents)}}.dump();
}
Result<std::vector<policy::Source>> DecodeDocuments(const json& message) {
  std::vector<policy::Source> documents;
  ObjectReader reader(message, "documents");
  reader.Type("documents");
  ReadSources(reader, documents);
  TRY(reader.Finish());
  return documents;
}

std::string EncodeSignal(int signal) {
  return json{{"type", "signal"}, {"signal", signal}}.dump();
}
Result<int> DecodeSignal(const json& message) {
  int signal = 0;
  ObjectReader reader(message, "signal");
  reader.Type("signal");
  reader.Small("signal", signal, 1, SIGRTMAX);
  TRY(reader.Finish());
  return signal;
}

std::string EncodeCgroups() {
  return json{{"type", "cgroups"}}.dump();
}
std::string EncodeRelay() {
  return json{{"type", "relay"}}.dump();
}
std::string EncodeStreams() {
  return json{{"type", "streams"}}.dump();
}
std::string EncodeOutputEnd() {
  return json{{"type", "output-end"}}.dump();
}
std::string EncodeTerminal() {
  return json{{"type", "terminal"}}.dump();
}

std::string EncodeDraining() {
  return json{{"type", "draining"}}.dump();
}

}  // namespace cellrun::wire
