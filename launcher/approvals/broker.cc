// SPDX-License-Identifier: Apache-2.0
#include "launcher/approvals/broker.h"

#include <nlohmann/json.hpp>

#include "launcher/client/http.h"
#include "launcher/client/inside.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::approvals {
namespace {

using launcher::ErrorForm;
using nlohmann::json;

constexpr int kWrongValue = 400;
constexpr std::chrono::milliseconds kAnswerTime{30'000};

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

ErrorForm ErrorOf(std::string_view body, int status) {
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("error") || !parsed["error"].is_object()) {
    return {"the broker answered " + std::to_string(status), "it may be of another release",
            "cellrun broker status"};
  }
  const json& error = parsed["error"];
  return {Text(error, "what"), Text(error, "cause"), Text(error, "try")};
}

Reply Unreachable(const Error& error) {
  Reply reply;
  if (client::IsInside()) {
    reply.error = client::NotFromInside();
    return reply;
  }
  reply.no_broker_ = error.code() == ENOENT || error.code() == ECONNREFUSED;
  reply.error = reply.no_broker_
                    ? ErrorForm{"no broker runs, so nothing waits for an answer", "", ""}
                    : ErrorForm{"cannot ask the broker", error.ToString(), "cellrun doctor"};
  return reply;
}

Reply ReplyOf(const Result<client::HttpResponse>& response) {
  if (!response.ok()) return Unreachable(response.error());
  Reply reply;
  reply.status = response->status;
  if (response->status >= 300) reply.error = ErrorOf(response->body, response->status);
  return reply;
}

}  // namespace

Reply Call(const std::string& method, const std::string& target, const json& body, json& object) {
  const auto directory = wire::RuntimeDirectory();
  if (!directory.ok()) return Unreachable(directory.error());
  client::HttpRequest request{.method = method, .target = target, .timeout = kAnswerTime};
  if (!body.is_null()) {
    request.body = body.dump(-1, ' ', true, json::error_handler_t::replace);
  }
  const auto response = client::Call(*directory + "/api.sock", request);
  Reply reply = ReplyOf(response);
  if (!reply.ok()) return reply;
  object = json::parse(response->body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    reply.error = ErrorForm{"the broker's answer makes no sense", "", "cellrun broker logs"};
  }
  return reply;
}

Reply CallForLines(const std::string& target, bool follow,
                   const std::function<bool(std::string_view)>& line) {
  const auto directory = wire::RuntimeDirectory();
  if (!directory.ok()) return Unreachable(directory.error());
  std::optional<ErrorForm> broken;
  const auto response = client::CallForLines(
      *directory + "/api.sock",
      {.target = target, .timeout = follow ? std::chrono::milliseconds(0) : kAnswerTime},
      [&](std::string_view text) {
        if (text.starts_with("{\"error\":")) {
          broken = ErrorOf(text, 0);
          return false;
        }
        return line(text);
      });
  Reply reply = ReplyOf(response);
  if (broken) reply.error = broken;
  return reply;
}

int Fail(const Reply& reply) {
  launcher::PrintError(*reply.error);
  return reply.status == kWrongValue ? 2 : 1;
}

}  // namespace cellrun::approvals
