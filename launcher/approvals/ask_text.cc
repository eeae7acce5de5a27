// SPDX-License-Identifier: Apache-2.0
#include "launcher/approvals/ask_text.h"

#include <sys/ioctl.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "launcher/watch/ask.h"
#include "launcher/watch/details.h"
#include "lib/base/text.h"

namespace cellrun::approvals {
namespace {

using nlohmann::json;

constexpr std::size_t kColumns = 100;
constexpr std::size_t kLeastColumns = 40;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string StateText(const json& ask) {
  const std::string state = Text(ask, "state");
  if (state == "pending") {
    return "pending, " + TimeText(ask.value("left_ms", std::int64_t{0})) + " left, then " +
           (Text(ask, "on_timeout") == "allow" ? "it runs" : "it is denied");
  }
  std::string text = text::Escape(state);
  const auto answer = ask.find("answer");
  if (answer == ask.end() || !answer->is_object()) return text;
  text += ": " + text::Escape(Text(*answer, "by"));
  if (const std::string reason = Text(*answer, "reason"); !reason.empty()) {
    text += ", " + text::Quote(reason);
  }
  if (answer->value("edited", false)) text += ", edited";
  return text;
}

}  // namespace

std::string TimeText(std::int64_t milliseconds) {
  const std::int64_t seconds = (milliseconds + 999) / 1000;
  if (seconds < 60) return std::to_string(seconds) + "s";
  const std::int64_t minutes = seconds / 60;
  if (minutes < 60) return std::to_string(minutes) + "m " + std::to_string(seconds % 60) + "s";
  if (minutes < 48 * 60)
    return std::to_string(minutes / 60) + "h " + std::to_string(minutes % 60) + "m";
  return std::to_string(minutes / (24 * 60)) + "d";
}

std::string CommandText(const json& ask) {
  std::vector<std::string> argv;
  const auto found = ask.find("argv");
  if (found != ask.end() && found->is_array()) {
    for (const json& argument : *found) {
      if (argument.is_string()) argv.push_back(argument.get<std::string>());
    }
  }
  return text::QuoteArguments(argv) + (ask.value("argv_cut", false) ? " …" : "");
}

std::string AskText(const json& object, std::size_t columns) {
  const auto ask = watch::AskFromJson(object);
  if (!ask) return "";
  const auto row = [](std::string label, const std::string& text) {
    label.resize(watch::kMargin, ' ');
    return label + text + "\n";
  };
  std::string text = row("ask", text::Escape(ask->id)) + row("state", StateText(object)) +
                     row("digest", text::Escape(ask->digest));
  for (const watch::Line& line : watch::DetailLines(*ask, columns, watch::Charset::kUtf8)) {
    std::string one;
    for (const watch::Span& span : line) one += span.text;
    text += one.substr(0, one.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::size_t ColumnsOf(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kColumns;
  return std::max<std::size_t>(size.ws_col, kLeastColumns);
}

}  // namespace cellrun::approvals
