// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "launcher/client/http.h"
#include "launcher/history/history.h"
#include "launcher/history/source.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::history {
namespace {

using nlohmann::json;

std::string HeadOf(const json& report) {
  const json head = report.value("head", json::object());
  return std::to_string(head.value("seq", 0ULL)) + ":" + text::Escape(head.value("hash", ""));
}

std::string ReportText(const json& report) {
  const std::string database = text::Quote(report.value("database", ""));
  if (!report.value("intact", false)) {
    const std::uint64_t bad = report.value("bad", 0ULL);
    const std::string where = bad == 0 ? "" : "record " + std::to_string(bad) + ": ";
    return "damaged: " + database + "\n" + where + text::Escape(report.value("problem", "")) +
           "\n" + std::to_string(report.value("records", 0ULL)) + " records before it are intact\n";
  }
  std::string text =
      "intact: " + database + "\n" + std::to_string(report.value("records", 0ULL)) + " records";
  const std::uint64_t pruned = report.value("pruned_through", 0ULL);
  if (pruned > 0) text += "; those up to " + std::to_string(pruned) + " were pruned by size";
  return text + "\nhead: " + HeadOf(report) + "\n";
}

}  // namespace

int AuditVerify(const AuditVerifyOptions& options) {
  const Source source(options.places, options.file);
  if (source.empty()) {
    (void)output::Print("there is no journal yet: " + text::Quote(options.places.database) + "\n");
    return 0;
  }
  std::vector<std::pair<std::string, std::string>> query;
  if (!options.head.empty()) query.emplace_back("head", options.head);
  json report;
  const auto outcome = source.Object(client::Target("/v1/audit/verify", query), report);
  if (outcome.error) return PrintOutcome(outcome);
  const bool as_table = options.output == Output::kTable;
  (void)output::Print(as_table ? ReportText(report) : report.dump() + "\n");
  return report.value("intact", false) ? 0 : 1;
}

}  // namespace cellrun::history
