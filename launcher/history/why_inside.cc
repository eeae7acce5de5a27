// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "launcher/client/error_form.h"
#include "launcher/client/inside.h"
#include "launcher/history/explanation_text.h"
#include "launcher/history/history.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"
#include "lib/wire/strict_json.h"

namespace cellrun::history {
namespace {

using nlohmann::json;

constexpr int kFailed = 1;

// As execvp(3) looks for it; "" where it is nowhere.
std::string FindInPath(const std::string& word) {
  if (word.find('/') != std::string::npos) return word;
  const char* const path = getenv("PATH");  // NOLINT(concurrency-mt-unsafe): single-threaded
  const std::string places = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  for (std::size_t at = 0; at <= places.size();) {
    const std::size_t end = std::min(places.find(':', at), places.size());
    const std::string place = end == at ? "." : places.substr(at, end - at);
    if (access((place + "/" + word).c_str(), X_OK) == 0) return place + "/" + word;
    at = end + 1;
  }
  return "";
}

json Question(const WhyOptions& options, const std::string& path) {
  json question = {{"type", "why"}};
  if (options.command.empty()) return question;
  question["path"] = wire::TextToJson(path);
  for (const std::string& word : options.command)
    question["argv"].push_back(wire::TextToJson(word));
  return question;
}

json ExplanationIn(const json& answer) {
  if (answer.contains("explanation")) return answer["explanation"];
  json record = answer.value("record", json::object());
  return {{"record", record},
          {"verdict", record.value("verdict", "")},
          {"rule", record.value("rule", json::object())},
          {"reason", record.value("reason", "")},
          {"trials", json::array()},
          {"notes", json::array()}};
}

}  // namespace

int WhyInside(const WhyOptions& options) {
  const auto fail = [](const std::string& what, const std::string& cause) {
    launcher::PrintError({what, cause, ""});
    return kFailed;
  };
  if (options.record != 0)
    return fail("the journal cannot be read in a cell", "cellrun why says what was denied last");
  const std::string path = options.command.empty() ? "" : FindInPath(options.command[0]);
  if (!options.command.empty() && path.empty())
    return fail("there is no program " + text::Escape(options.command[0]) + " here", "");
  const Result<json> answer = client::TellBroker(Question(options, path));
  if (!answer.ok()) return fail("no explanation", text::Escape(answer.error().context()));
  const json explanation = ExplanationIn(*answer);
  constexpr const char* kWhen[] = {"auto", "always", "never"};
  const bool color = output::UseColor(kWhen[static_cast<std::size_t>(options.color)]);
  (void)output::Print(options.output == Output::kTable
                          ? ExplanationText(explanation, color)
                          : output::Document(explanation, output::Format::kJsonLines));
  return explanation.value("verdict", "") == "allow" ? 0 : 1;
}

}  // namespace cellrun::history
