// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/report.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"

namespace cellrun::launcher {
namespace {

using nlohmann::json;

json Texts(const std::vector<std::string>& texts) {
  json array = json::array();
  for (const std::string& text : texts) array.push_back(text::Escape(text));
  return array;
}

json Denials(const std::vector<std::string>& records) {
  json array = json::array();
  for (const std::string& record : records) {
    Result<json> parsed = wire::ParseStrictJson(record);
    array.push_back(parsed.ok() ? std::move(parsed).value() : json(text::Escape(record)));
  }
  return array;
}

json Changed(const std::vector<Change>& changes) {
  json array = json::array();
  for (const Change& change : changes) {
    array.push_back({{"path", text::Escape(change.path)},
                     {"kind", change.kind},
                     {"size", change.size},
                     {"self_executing", change.self_executing}});
  }
  return array;
}

}  // namespace

std::variant<RunReport, ErrorForm> RunReport::Open(const std::string& file,
                                                   const std::string& workspace) {
  constexpr mode_t kMode = 0666;  // less the umask
  Result<UniqueFd> opened =
      sys::OpenAt(AT_FDCWD, file.c_str(), O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK, kMode);
  if (!opened.ok())
    return ErrorForm{"cannot write the report " + file, opened.error().ToString(), "--report FILE"};
  RunReport report(std::move(opened).value(), workspace);
  report.before_ = TakeSnapshot(workspace);
  report.started_ = sys::MonotonicNow();
  return report;
}

Result<void> RunReport::Write(const wire::CellPlan& plan, const wire::ExitReport& exit,
                              int exit_status) {
  const auto elapsed = std::chrono::duration<double>(sys::MonotonicNow() - started_);
  json out = {{"cell", {{"id", plan.id}, {"name", plan.name}}},
              {"profile", text::Escape(plan.profile)},
              {"exit", exit_status},
              {"seconds", std::round(elapsed.count() * 1000) / 1000},
              {"verdicts", {{"allow", exit.allowed}, {"ask", exit.asked}, {"deny", exit.denied}}},
              {"denials", Denials(exit.denials)},
              {"quarantined", Texts(exit.quarantined)},
              {"layers", Texts(exit.layers)},
              {"cut_limits", Texts(exit.cut_limits)},
              {"output_ended", exit.output_ended},
              {"memory_kills", exit.memory_kills}};
  const std::optional<Snapshot> after = before_ ? TakeSnapshot(workspace_) : std::nullopt;
  if (after) {
    std::vector<Change> changes = CompareSnapshots(*before_, *after);
    const struct stat own = TRY(sys::Fstat(file_));
    std::erase_if(changes, [&](const Change& change) {
      const auto found = after->find(change.path);
      return found != after->end() && found->second.inode == own.st_ino;
    });
    out["changed"] = Changed(changes);
  } else {
    out["changed"] = json::array();
    out["changed_off"] =
        "the workspace has more than " + std::to_string(kMaxSnapshotEntries) + " entries";
  }
  constexpr int kIndent = 2;
  const std::string text = out.dump(kIndent) + "\n";
  // EINVAL: a pipe or a device, which has nothing to cut off.
  const Result<void> emptied = sys::Ftruncate(file_, 0);
  if (!emptied.ok() && emptied.error().code() != EINVAL) return emptied;
  return sys::WriteAll(file_, text);
}

}  // namespace cellrun::launcher
