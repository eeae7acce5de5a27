// SPDX-License-Identifier: Apache-2.0
#include "launcher/port_verb.h"

#include <nlohmann/json.hpp>
#include <string>

#include "launcher/approvals/broker.h"
#include "launcher/client/error_form.h"
#include "launcher/client/http.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"
#include "lib/policy/network_target.h"

namespace cellrun::launcher {
namespace {

using nlohmann::json;
using options::Arguments;
using options::OptionId;

constexpr int kDone = 0, kFailed = 1, kUsage = 2;

std::string Outer(const json& port) {
  const std::string address = text::Escape(port.value("address", ""));
  const bool bracketed = address.find(':') != std::string::npos;
  return (bracketed ? "[" + address + "]" : address) + ":" + std::to_string(port.value("port", 0));
}

// Of one port, where it is; of all, which is where.
std::string TextOf(const json& ports, bool one) {
  std::string text;
  for (const json& port : ports)
    text += (one ? "" : std::to_string(port.value("inner", 0)) + " -> ") + Outer(port) + "\n";
  return text;
}

}  // namespace

int PortVerb(const Arguments& arguments) {
  const std::string& cell = arguments.words[0];
  const bool one = arguments.words.size() > 1;
  const auto wanted = one ? policy::ParsePorts(arguments.words[1]) : std::nullopt;
  if (one && (!wanted || wanted->first != wanted->second)) {
    PrintError({text::Quote(arguments.words[1]) + " is no port", "1 to 65535 is expected", ""});
    return kUsage;
  }
  json object;
  const approvals::Reply reply =
      approvals::Call("GET", "/v1/cells/" + client::EncodePart(cell) + "/ports", nullptr, object);
  if (reply.no_broker()) {
    PrintError({"no broker runs, so there are no cells", "", "cellrun ps"});
    return kFailed;
  }
  if (!reply.ok()) return approvals::Fail(reply);
  json ports = json::array();
  for (const json& port : object.value("ports", json::array())) {
    if (!wanted || port.value("inner", 0) == wanted->first) ports.push_back(port);
  }
  if (one && ports.empty()) {
    PrintError({"the cell " + text::Quote(cell) + " does not publish " + arguments.words[1], "",
                "cellrun port " + text::Escape(cell)});
    return kFailed;
  }
  const auto format = output::FormatFromName(arguments.Get(OptionId::kOutput, "table"));
  const bool table = format == output::Format::kTable;
  return output::Print(table ? TextOf(ports, one) : output::Document(ports, format)) ? kDone
                                                                                     : kFailed;
}

}  // namespace cellrun::launcher
