// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

// The verbs that read the journal. Each returns the exit status (0 done, 1 failed or denied or
// finding, 2 wrong value) after having written its output and error; option syntax is the caller's.
namespace cellrun::history {

enum class Output : std::uint8_t { kTable, kJson, kJsonLines };
enum class Color : std::uint8_t { kAuto, kAlways, kNever };

// Where the journal is asked for. With a broker: its API. Without: the database itself.
struct Places {
  std::string api_socket;      // RUNTIME/api.sock
  std::string database;        // STATE/journal.db
  std::string broker_program;  // reads the database where no broker runs
};

struct HistoryOptions {
  Places places;
  std::string cell;                          // name, id or unique prefix; "" for all
  std::vector<std::string> kinds, verdicts;  // as in the record; empty: all
  std::string since, until;                  // RFC 3339 or a duration back: "30s" "5m" "2h" "3d"
  std::string exe;                           // glob of the path, or of the name if it has no '/'
  std::string text;                          // part of any field
  std::uint64_t limit = 0;                   // the newest N; 0: 100 in a table, else all
  bool follow = false;
  Output output = Output::kTable;
  Color color = Color::kAuto;
  bool headers = true;
};
int History(const HistoryOptions& options);

struct WhyOptions {
  Places places;
  std::uint64_t record = 0;          // `why ID`
  std::vector<std::string> command;  // `why -- COMMAND…`; one of the two is given
  std::string profile;               // --profile; "": the one that `run` would use
  std::string workspace;             // --workspace; ""
  Output output = Output::kTable;
  Color color = Color::kAuto;
};
int Why(const WhyOptions& options);
// The same in a cell, by what its broker says: `command`, or what was denied last.
int WhyInside(const WhyOptions& options);

struct AuditVerifyOptions {
  Places places;
  std::string file;  // a copy of a database; "": the journal itself
  std::string head;  // "SEQ:HASH" kept elsewhere: must be in the chain
  Output output = Output::kTable;
};
int AuditVerify(const AuditVerifyOptions& options);

struct AuditExportOptions {
  Places places;
  std::string file;
  std::string format = "jsonl";  // or "ocsf"
  std::string cell, since, until;
};
int AuditExport(const AuditExportOptions& options);

}  // namespace cellrun::history
