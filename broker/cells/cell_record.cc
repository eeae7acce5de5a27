// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_record.h"

#include <nlohmann/json.hpp>

#include "lib/base/text.h"

namespace cellrun::cells {

journal::Record RecordOf(const Cell::Setup& setup, const CellMoment& moment) {
  journal::Record record =
      journal::RecordNow(journal::Kind::kCell, setup.plan.id, moment.init_pid, setup.plan.host_uid);
  record.argv = setup.request.argv;
  record.cwd = setup.request.working_directory;
  record.name = setup.plan.name;
  record.verdict = policy::Action::kAllow;
  record.result = moment.result;
  record.layers = moment.layers;
  nlohmann::json facts = {{"profile", setup.request.profile},
                          {"workspace", text::Escape(setup.request.workspace)},
                          {"observe", setup.request.observe}};
  if (!setup.ghost_of.empty()) facts["ghost_of"] = setup.ghost_of;
  if (setup.exec != 0) facts["exec"] = setup.exec;
  if (!setup.documents.empty())
    facts["documents"] = nlohmann::json::parse(setup.documents, nullptr, false);
  if (record.result == "ended") {
    facts["wait_status"] = moment.report.wait_status;
    facts["timed_out"] = moment.report.timed_out;
    if (moment.report.output_ended) facts["output_ended"] = true;
    if (moment.report.memory_kills > 0) facts["memory_kills"] = moment.report.memory_kills;
    facts["lost"] = text::Escape(moment.report.lost);
    if (!setup.wall.cgroup().empty()) facts["wall"] = setup.wall.Counters();
    if (!moment.lookups.empty()) facts["lookups"] = moment.lookups;
    facts["verdicts"] = {{"allow", moment.report.allowed},
                         {"ask", moment.report.asked},
                         {"deny", moment.report.denied}};
  } else {
    facts["read"] = nlohmann::json::array();
    for (const std::string& path : setup.request.read) facts["read"].push_back(text::Escape(path));
    facts["write"] = nlohmann::json::array();
    for (const std::string& path : setup.request.write)
      facts["write"].push_back(text::Escape(path));
    facts["publish"] = nlohmann::json::array();
    for (const net::PortMapping& mapping : setup.ports)
      facts["publish"].push_back(mapping.OuterText() + ":" + std::to_string(mapping.inner));
    facts["env"] = nlohmann::json::array();
    for (const auto& [name, value] : setup.request.set_environment)
      facts["env"].push_back(text::Escape(name));
    for (const std::string& warning : setup.plan.warnings)
      facts["warnings"].push_back(text::Escape(warning));
  }
  record.detail = facts.dump();
  return record;
}

net::CellIdentity NetIdentity(const Cell::Setup& setup) {
  return {.id = setup.plan.id,
          .name = setup.plan.name,
          .profile = setup.plan.profile,
          .workspace = setup.request.workspace,
          .user = setup.caller.user_inside(),
          .inside_uid = setup.plan.inside_uid,
          .ghost_of = setup.ghost_of,
          .exec = setup.exec};
}

}  // namespace cellrun::cells
