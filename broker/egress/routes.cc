// SPDX-License-Identifier: Apache-2.0
#include "broker/egress/routes.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "broker/approvals/rule_text.h"
#include "broker/approvals/terminal.h"
#include "broker/net/upstream/servers.h"
#include "lib/base/text.h"
#include "lib/policy/load.h"
#include "lib/sys/file.h"
#include "lib/wire/floor.h"
#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

namespace cellrun::egress {
namespace {

using http::ErrorResponse;
using http::Request;
using http::Response;
using nlohmann::json;

constexpr std::int64_t kMaxMilliseconds = std::int64_t{366} * 24 * 3600 * 1000;

Response Json(const json& body) {
  return {.status = 200, .body = body.dump(-1, ' ', true, json::error_handler_t::replace) + "\n"};
}

std::string PortsText(const std::vector<policy::PortRange>& ranges) {
  std::string text;
  for (const auto& [first, last] : ranges) {
    if (!text.empty()) text += ",";
    text += std::to_string(first);
    if (last != first) text += "-" + std::to_string(last);
  }
  return text;
}

json RuleObject(const policy::NetworkRule& rule) {
  return {{"name", text::Escape(rule.name)},
          {"to", rule.to},
          {"ports", PortsText(rule.ports)},
          {"proto", rule.udp ? "udp" : "tcp"},
          {"then", policy::ActionName(rule.then)},
          {"expires", rule.expires},
          {"layer", policy::LayerName(rule.layer)},
          {"file", text::Escape(rule.at.file)},
          {"line", rule.at.line}};
}

json GrantObject(const Grant& grant) {
  return {{"id", grant.id},
          {"to", grant.to},
          {"proto", grant.allow ? "tcp" : "any"},
          {"then", grant.allow ? "allow" : "deny"},
          {"expires", grant.expires ? json(approvals::ExpiryText(*grant.expires)) : json()},
          {"by", text::Escape(grant.by)}};
}

// Who is asked for the addresses of names below a domain; null: of all that no other has. `written`
// as in a profile, empty: the system's, which are read anew for each name.
json ResolverObject(const json& domain, const std::vector<std::string>& written) {
  json servers = written;
  if (written.empty()) {
    for (const net::Endpoint& server : net::ServersOfFile("/etc/resolv.conf"))
      servers.push_back(net::ServersText({server}));
  }
  return {{"domain", domain}, {"servers", servers}, {"system", written.empty()}};
}
json ResolverObjects(const policy::Profile& profile) {
  json resolvers = json::array();
  for (const auto& [domain, split] : profile.dns_split)
    resolvers.push_back(ResolverObject(domain, split.value));
  resolvers.push_back(ResolverObject(nullptr, profile.dns_upstream));
  return resolvers;
}

// A cell by name, id, or the beginning of only one id.
cells::Cell* FindCell(const cells::Registry& registry, const std::string& wanted) {
  cells::Cell* found = nullptr;
  for (const auto& [id, cell] : registry.cells()) {
    if (id == wanted || cell->plan().name == wanted) return cell;
    if (!id.starts_with(wanted)) continue;
    if (found != nullptr) return nullptr;
    found = cell;
  }
  return found;
}

Response NoCell(const std::string& wanted) {
  return ErrorResponse(404, "no cell is called " + text::Quote(wanted), "", "cellrun ps");
}

// "e7": more likely one that has expired, or another cell's, than a host.
bool LooksLikeId(const std::string& text) {
  return text.size() > 1 && text[0] == 'e' &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

struct Order {
  std::string action, to;
  std::optional<std::chrono::milliseconds> for_time;
};
Result<Order> ReadOrder(const std::string& body) {
  const json document = TRY(wire::ParseStrictJson(body));
  wire::ObjectReader reader(document, "change");
  Order order;
  reader.Text("action", order.action);
  reader.MaybeText("to", order.to);
  if (reader.Has("for_ms")) {
    std::int64_t time = 0;
    reader.Number("for_ms", 1, kMaxMilliseconds, time);
    order.for_time = std::chrono::milliseconds(time);
  }
  TRY(reader.Finish());
  return order;
}

// The documents of the profile as their files are now.
Result<std::vector<policy::Source>> ReadAgain(const cells::Cell::Setup& setup) {
  std::vector<policy::Source> sources = TRY(wire::ReadFloor());
  for (const policy::Source& old : *setup.sources) {
    if (old.layer == policy::Layer::kFloor) continue;
    if (old.layer == policy::Layer::kCommandLine) {  // no file has it
      sources.push_back(old);
      continue;
    }
    policy::Source now = old;
    const bool absolute = old.origin.starts_with('/');
    const std::string path =
        absolute ? old.origin : setup.request.working_directory + "/" + old.origin;
    std::error_code code;
    const std::string real = std::filesystem::canonical(path, code).string();
    if (code) return Error(code.value(), "", text::Escape(path));
    // What the cell could have rewritten is not taken without a person who reads it. Where the name
    // leads counts, and so does a way there by its links.
    const std::string within = setup.request.workspace + "/";
    if (old.layer != policy::Layer::kWorkspace &&
        (path.starts_with(within) || real.starts_with(within)))
      return Error(EPERM, "", text::Escape(path) + " lies in the workspace, where the cell writes");
    now.text = TRY(sys::ReadWholeFileAt(AT_FDCWD, real.c_str(), policy::kMaxProfileBytes)
                       .With(text::Escape(path)));
    sources.push_back(std::move(now));
  }
  return sources;
}

}  // namespace

void Routes::Register(http::Router& router) {
  router.Add("GET", "/v1/cells/:cell/egress",
             [this](const Request& request) { return List(request); });
  router.Add("POST", "/v1/cells/:cell/egress",
             [this](const Request& request) { return Change(request); });
}

void Routes::ForgetCell(const std::string& cell_id) {
  timers_.erase(cell_id);
  broker_.grants.ForgetCell(cell_id);
}

Response Routes::List(const Request& request) const {
  const cells::Cell* cell = FindCell(broker_.registry, request.Parameter("cell"));
  if (cell == nullptr) return NoCell(request.Parameter("cell"));
  const policy::Profile& profile = cell->setup().policy->profile();
  json rules = json::array(), grants = json::array();
  for (const policy::NetworkRule& rule : profile.network_rules) rules.push_back(RuleObject(rule));
  for (const Grant& grant : broker_.grants.Of(cell->plan().id))
    grants.push_back(GrantObject(grant));
  return Json({{"cell", cell->plan().name},
               {"gateway", cell->plan().gateway},
               {"default", policy::ActionName(profile.network_default.value)},
               {"rules", rules},
               {"changes", grants},
               {"resolvers", cell->plan().gateway ? ResolverObjects(profile) : json::array()}});
}

Response Routes::Change(const Request& request) {
  cells::Cell* cell = FindCell(broker_.registry, request.Parameter("cell"));
  if (cell == nullptr) return NoCell(request.Parameter("cell"));
  const Result<Order> order = ReadOrder(request.body);
  if (!order.ok()) return ErrorResponse(400, "not a change", order.error().context());
  if (!cell->setup().ghost_of.empty()) {
    return ErrorResponse(409, "the network of a ghost cannot be changed",
                         "it runs one command, with what its rule names under `ghost: network`",
                         "change that rule: the next ghost of it has it");
  }
  if (!cell->plan().gateway) {
    return ErrorResponse(409, "nothing can be let out of this cell",
                         "its profile let nothing out when it started, so it has no gateway",
                         "start a cell whose profile has a network rule");
  }
  const std::string terminal = approvals::TerminalOf(request.peer.pid);
  const std::string by =
      "uid " + std::to_string(request.peer.uid) + (terminal.empty() ? "" : " on " + terminal);
  Grant grant{.id = {}, .to = order->to, .allow = true, .expires = {}, .by = by};
  if (order->for_time) grant.expires = std::chrono::system_clock::now() + *order->for_time;
  if (order->action == "add") return Add(*cell, std::move(grant));
  if (order->action == "remove") return Remove(*cell, order->to, by);
  if (order->action == "reload") return Reload(*cell);
  if (order->action == "bypass" && order->for_time) {
    grant.to = "*";
    return Add(*cell, std::move(grant));
  }
  return ErrorResponse(400, "not a change", "action: add, remove, reload, or bypass with for_ms");
}

Response Routes::Add(cells::Cell& cell, Grant grant) {
  const std::string id = cell.plan().id;
  const Result<Grant> added = broker_.grants.Add(id, std::move(grant));
  if (!added.ok()) {
    return ErrorResponse(added.error().code() == EINVAL ? 400 : 409, "the rule cannot be added",
                         added.error().context());
  }
  if (const auto problem = broker_.refresh.Problem(id, *cell.setup().sources)) {
    (void)broker_.grants.Remove(id, added->id);
    return ErrorResponse(409, "the rule cannot be added", *problem);
  }
  Apply(id);
  return Json(GrantObject(*added));
}

// A change of before is taken back; anything else is denied from now on.
Response Routes::Remove(cells::Cell& cell, const std::string& what, const std::string& by) {
  const std::string id = cell.plan().id;
  if (const std::optional<Grant> removed = broker_.grants.Remove(id, what)) {
    Apply(id);
    return Json(GrantObject(*removed));
  }
  if (LooksLikeId(what)) {
    return ErrorResponse(404, "the cell has no change " + text::Quote(what), "",
                         "cellrun egress list " + cell.plan().name);
  }
  return Add(cell, {.id = {}, .to = what, .allow = false, .expires = {}, .by = by});
}

Response Routes::Reload(cells::Cell& cell) {
  Result<std::vector<policy::Source>> sources = ReadAgain(cell.setup());
  if (!sources.ok())
    return ErrorResponse(409, "the profile cannot be read again", sources.error().ToString());
  const std::string id = cell.plan().id;
  if (const auto problem = broker_.refresh.Problem(id, *sources))
    return ErrorResponse(409, "the profile cannot be used", *problem);
  cell.ReplaceSources(std::make_shared<const std::vector<policy::Source>>(std::move(*sources)));
  Apply(id);
  return Json({{"reloaded", true}});
}

void Routes::Apply(const std::string& cell_id) {
  broker_.refresh.Refresh(cell_id,
                          [&](const cells::Cell& cell) { return cell.plan().id == cell_id; });
  ArmTimer(cell_id);
}

void Routes::ArmTimer(const std::string& cell_id) {
  timers_.erase(cell_id);
  const std::optional<Time> next = broker_.grants.NextExpiry(cell_id);
  if (!next) return;
  // A timer is monotonic and an expiry is not: it is looked at again at least so often.
  constexpr std::chrono::milliseconds kLookAgain{600'000};
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*next - std::chrono::system_clock::now());
  timers_[cell_id] = broker_.loop.After(
      std::clamp(left, std::chrono::milliseconds(1), kLookAgain), [this, id = cell_id] {
        if (broker_.grants.Expire(id, std::chrono::system_clock::now())) return Apply(id);
        ArmTimer(id);
      });
}

}  // namespace cellrun::egress
