// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "broker/approvals/ask_json.h"
#include "broker/approvals/secrets.h"
#include "broker/journal/encode.h"
#include "broker/journal/schema.h"
#include "lib/base/log.h"
#include "lib/sys/file.h"
#include "lib/sys/random.h"

namespace cellrun::approvals {
namespace {

using journal::Database;
using journal::Statement;

constexpr std::int64_t kApplicationId = 0x61736b73;  // "asks"
constexpr std::int64_t kSchemaVersion = 1;
constexpr std::size_t kMaxWaiting = 20'000;
constexpr std::size_t kMaxWaitingBytes = std::size_t{16} << 20;
constexpr std::uint64_t kKept = 20'000;  // asks that are over
constexpr std::uint64_t kPruneEvery = 1'000;
// An ask that is answered or gives up at once is written once; one that a person sees is on disk.
constexpr std::chrono::milliseconds kGroupWindow{2};

constexpr const char* kTables = R"(
CREATE TABLE asks (
  ord INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  cell TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  json TEXT NOT NULL
) STRICT;
CREATE INDEX asks_id ON asks (id);
CREATE INDEX asks_pending ON asks (ord) WHERE state = 'pending';
CREATE TABLE rules (
  id TEXT PRIMARY KEY,
  scope INTEGER NOT NULL,
  cell TEXT NOT NULL,
  name TEXT NOT NULL,
  workspace TEXT NOT NULL,
  verdict INTEGER NOT NULL,
  text TEXT NOT NULL,
  exe TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  by TEXT NOT NULL,
  ask TEXT NOT NULL
) STRICT;
)";

std::chrono::system_clock::time_point FromMicroseconds(std::int64_t micros) {
  return std::chrono::system_clock::time_point(std::chrono::microseconds(micros));
}

Result<Database> OpenDatabase(const std::string& path) {
  Database database = TRY(Database::Open(path, Database::Mode::kWrite));
  // A lost last moment loses no answer: those are in the journal, and what waits is denied anyway.
  TRY(
      database.Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                       "PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -1024;"));
  const std::int64_t objects = TRY(database.QueryNumber("SELECT count(*) FROM sqlite_schema"));
  if (objects == 0) {
    TRY(database.Execute("BEGIN IMMEDIATE"));
    TRY(database.Execute(kTables));
    TRY(database.Execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str()));
    TRY(database.Execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str()));
    TRY(database.Execute("COMMIT"));
  }
  if (TRY(database.QueryNumber("PRAGMA application_id")) != kApplicationId ||
      TRY(database.QueryNumber("PRAGMA user_version")) != kSchemaVersion) {
    return Error(EBADMSG, "", "it was not written by this release");
  }
  return database;
}

Result<std::vector<Rule>> ReadRules(Database& database) {
  Statement select = TRY(database.Prepare(
      "SELECT id, scope, cell, name, workspace, verdict, text, exe, created, expires, by, ask"
      " FROM rules"));
  std::vector<Rule> rules;
  while (TRY(select.Step())) {
    const std::int64_t scope = select.Number(1);
    const std::int64_t verdict = select.Number(5);
    if (scope < 0 || scope > 3 || verdict < 0 || verdict > 2) {
      return Error(EBADMSG, "", "a rule in it is damaged");
    }
    Rule rule{.id = std::string(select.Text(0)),
              .scope = static_cast<Scope>(scope),
              .cell_id = std::string(select.Text(2)),
              .cell_name = std::string(select.Text(3)),
              .workspace = std::string(select.Text(4)),
              .verdict = static_cast<policy::Action>(verdict),
              .text = std::string(select.Text(6)),
              .exe = std::string(select.Text(7)),
              .created = FromMicroseconds(select.Number(8)),
              .expires = std::nullopt,
              .by = std::string(select.Text(10)),
              .ask = std::string(select.Text(11))};
    if (select.Number(9) != 0) rule.expires = FromMicroseconds(select.Number(9));
    rules.push_back(std::move(rule));
  }
  return rules;
}

Result<std::vector<Store::Orphan>> DenyPending(Database& database) {
  const std::string now = journal::FormatTime(std::chrono::system_clock::now());
  Statement deny = TRY(database.Prepare(
      "UPDATE asks SET state = 'denied', json = json_set(json, '$.state', 'denied', '$.left_ms', 0,"
      " '$.waiting', 0, '$.answer', json_object('by', 'restart', 'at', ?, 'scope', 'once', "
      "'reason',"
      " 'the broker was restarted while it waited', 'edited', json('false'), 'after_ms', 0))"
      " WHERE state = 'pending' RETURNING id, cell, json"));
  deny.Bind(1, now);
  std::vector<Store::Orphan> orphans;
  while (TRY(deny.Step())) {
    orphans.push_back(
        {std::string(deny.Text(0)), std::string(deny.Text(1)), std::string(deny.Text(2))});
  }
  return orphans;
}

std::string NamesOf(const std::vector<State>& states) {
  std::string list;
  for (const State state : states) {
    list += (list.empty() ? "'" : ", '") + std::string(StateName(state)) + "'";
  }
  return "(" + list + ")";
}

State StateOf(std::string_view name) {
  for (const State state :
       {State::kPending, State::kApproved, State::kDenied, State::kExpired, State::kWithdrawn}) {
    if (name == StateName(state)) return state;
  }
  return State::kDenied;
}

Store::Row RowOf(const Statement& select) {
  return {.order = static_cast<std::uint64_t>(select.Number(0)),
          .state = StateOf(select.Text(1)),
          .json = std::string(select.Text(2))};
}

// What is kept: without the secrets that a person may have to see once.
std::string JsonOf(const Entry& entry) {
  Ask ask = *entry.ask;
  if (!HideSecrets(ask)) {
    return AskJson(entry, Detail::kList, std::chrono::steady_clock::now());
  }
  Entry kept = entry;
  kept.ask = ask;
  return AskJson(kept, Detail::kList, std::chrono::steady_clock::now());
}

Result<void> WriteFileWhole(const std::string& path, const std::string& text) {
  const std::string temporary = path + "." + sys::RandomHex(4);
  const UniqueFd file =
      TRY(sys::OpenAt(AT_FDCWD, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)
              .With(temporary));
  TRY(sys::WriteAll(file, text).With(temporary));
  return sys::RenameAt2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), 0).With(path);
}

}  // namespace

Result<Store::Opened> Store::Open(const std::string& state_directory) {
  TRY(journal::CheckStateDirectory(state_directory));
  const std::string path = state_directory + "/approvals.db";
  TRY(journal::CheckDatabaseFile(path));
  Opened opened;
  Database database = TRY(OpenDatabase(path).With(path));
  opened.rules = TRY(ReadRules(database).With(path));
  opened.orphans = TRY(DenyPending(database).With(path));
  opened.last_order = static_cast<std::uint64_t>(
      TRY(database.QueryNumber("SELECT ifnull(max(ord), 0) FROM asks").With(path)));
  opened.store.reset(new Store(std::move(database), state_directory + "/approvals"));
  return opened;
}

Store::Store(journal::Database database, std::string directory)
    : database_(std::move(database)), directory_(std::move(directory)) {
  thread_ = std::thread([this] { Serve(); });
}

Store::~Store() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Store::HasRoom() const {
  const std::lock_guard lock(mutex_);
  return asks_.size() < kMaxWaiting && bytes_ < kMaxWaitingBytes;
}

void Store::Put(const Entry& entry) {
  {
    const std::lock_guard lock(mutex_);
    const auto [place, added] = asks_.insert_or_assign(entry.order, entry);
    if (added) bytes_ += place->second.bytes;
  }
  changed_.notify_one();
}

void Store::PutRule(const Rule& rule) {
  {
    const std::lock_guard lock(mutex_);
    rules_[rule.id] = rule;
  }
  changed_.notify_one();
}

void Store::RemoveRule(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    rules_[id] = std::nullopt;
  }
  changed_.notify_one();
}

void Store::WriteFiles(std::map<std::string, std::string> files) {
  {
    const std::lock_guard lock(mutex_);
    files_ = std::move(files);
  }
  changed_.notify_one();
}

void Store::Find(Query query, std::function<void(Result<std::vector<Row>>)> done) {
  {
    const std::lock_guard lock(mutex_);
    queries_.emplace_back([this, query = std::move(query), done = std::move(done)] {
      done(Select(query, "ASC", query.rows));
    });
  }
  changed_.notify_one();
}

void Store::FindNewest(Query query, std::uint64_t count,
                       std::function<void(Result<std::uint64_t>)> done) {
  {
    const std::lock_guard lock(mutex_);
    queries_.emplace_back([this, query = std::move(query), count, done = std::move(done)] {
      const auto rows = Select(query, "DESC", count);
      if (!rows.ok()) return done(rows.error());
      done(rows->size() < count ? std::uint64_t{0} : rows->back().order - 1);
    });
  }
  changed_.notify_one();
}

void Store::FindOne(std::string id, std::function<void(Result<std::optional<Row>>)> done) {
  {
    const std::lock_guard lock(mutex_);
    queries_.emplace_back([this, id = std::move(id), done = std::move(done)] {
      const auto find = [&]() -> Result<std::optional<Row>> {
        Statement select = TRY(
            database_.Prepare("SELECT ord, state, json FROM asks WHERE id >= ?1 AND id < ?1 || 'g'"
                              " ORDER BY ord DESC LIMIT 1"));
        if (!TRY(select.Bind(1, id).Step())) return std::optional<Row>();
        return std::optional<Row>(RowOf(select));
      };
      done(find());
    });
  }
  changed_.notify_one();
}

Result<std::vector<Store::Row>> Store::Select(const Query& query, const char* order,
                                              std::size_t rows) {
  Statement select = TRY(database_.Prepare(
      "SELECT ord, state, json FROM asks WHERE ord > ?1 AND state IN " + NamesOf(query.states) +
      " AND (?2 = '' OR name = ?2 OR substr(cell, 1, length(?2)) = ?2) ORDER BY ord " + order +
      " LIMIT ?3"));
  select.Bind(1, static_cast<std::int64_t>(query.after))
      .Bind(2, query.cell)
      .Bind(3, static_cast<std::int64_t>(rows));
  std::vector<Row> found;
  while (TRY(select.Step())) found.push_back(RowOf(select));
  return found;
}

void Store::Serve() {
  pthread_setname_np(pthread_self(), "approvals");
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto something = [&] {
      return stop_ || !asks_.empty() || !rules_.empty() || files_ || !queries_.empty();
    };
    changed_.wait(lock, something);
    if (queries_.empty() && !stop_) {
      changed_.wait_for(lock, kGroupWindow, [&] { return stop_ || !queries_.empty(); });
    }
    const auto asks = std::exchange(asks_, {});
    const auto rules = std::exchange(rules_, {});
    const auto files = std::exchange(files_, std::nullopt);
    auto queries = std::exchange(queries_, {});
    const bool last = stop_;
    bytes_ = 0;
    lock.unlock();
    try {
      const Result<void> written = WriteGroup(asks, rules);
      if (!written.ok()) {
        log::Fail("approvals.db cannot be written", {{"error", written.error().ToString()}});
      }
      if (files) ReplaceFiles(*files);
      for (const auto& query : queries) query();
      queries.clear();  // what they hold goes before the lock is taken
    } catch (const std::exception& error) {
      log::Fail("approvals.db: a job failed", {{"what", error.what()}});
    }
    lock.lock();
    if (last) return;
  }
}

Result<void> Store::WriteGroup(const std::map<std::uint64_t, Entry>& asks,
                               const std::map<std::string, std::optional<Rule>>& rules) {
  if (asks.empty() && rules.empty()) return {};
  TRY(database_.Execute("BEGIN IMMEDIATE"));
  const auto write = [&]() -> Result<void> {
    Statement put = TRY(database_.Prepare("INSERT OR REPLACE INTO asks VALUES (?, ?, ?, ?, ?, ?)"));
    for (const auto& [order, entry] : asks) {
      const std::string json = JsonOf(entry);
      TRY(put.Bind(1, static_cast<std::int64_t>(order))
              .Bind(2, entry.id)
              .Bind(3, entry.ask->cell_id)
              .Bind(4, entry.ask->cell_name)
              .Bind(5, std::string_view(StateName(entry.state)))
              .Bind(6, json)
              .Run());
    }
    TRY(WriteRules(rules));
    written_ += asks.size();
    if (written_ >= kPruneEvery) {
      written_ = 0;
      TRY(Prune());
    }
    return database_.Execute("COMMIT");
  };
  Result<void> written = write();
  if (!written.ok()) (void)database_.Execute("ROLLBACK");  // the first error is the one to tell
  return written;
}

Result<void> Store::WriteRules(const std::map<std::string, std::optional<Rule>>& rules) {
  if (rules.empty()) return {};
  Statement put = TRY(database_.Prepare(
      "INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  Statement remove = TRY(database_.Prepare("DELETE FROM rules WHERE id = ?"));
  for (const auto& [id, rule] : rules) {
    if (!rule) {
      TRY(remove.Bind(1, id).Run());
      continue;
    }
    TRY(put.Bind(1, rule->id)
            .Bind(2, static_cast<std::int64_t>(rule->scope))
            .Bind(3, rule->cell_id)
            .Bind(4, rule->cell_name)
            .Bind(5, rule->workspace)
            .Bind(6, static_cast<std::int64_t>(rule->verdict))
            .Bind(7, rule->text)
            .Bind(8, rule->exe)
            .Bind(9, journal::Microseconds(rule->created))
            .Bind(10, rule->expires ? journal::Microseconds(*rule->expires) : std::int64_t{0})
            .Bind(11, rule->by)
            .Bind(12, rule->ask)
            .Run());
  }
  return {};
}

Result<void> Store::Prune() {
  Statement prune = TRY(database_.Prepare(
      "DELETE FROM asks WHERE state <> 'pending' AND ord <= (SELECT max(ord) FROM asks) - ?"));
  return prune.Bind(1, static_cast<std::int64_t>(kKept)).Run();
}

// For people to read; what counts is in the database.
void Store::ReplaceFiles(const std::map<std::string, std::string>& files) {
  const auto write = [&]() -> Result<void> {
    const Result<void> made = sys::MkdirAt(AT_FDCWD, directory_.c_str(), 0700);
    if (!made.ok() && made.error().code() != EEXIST) return made.error();
    for (const auto& [path, text] : files) TRY(WriteFileWhole(path, text));
    return {};
  };
  const Result<void> written = write();
  if (!written.ok()) {
    log::Warn("the remembered rules cannot be written as files",
              {{"error", written.error().ToString()}});
  }
  DIR* directory = opendir(directory_.c_str());
  if (directory == nullptr) return;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
  while (const dirent* entry = readdir(directory)) {
    const std::string name = &entry->d_name[0];
    const std::string path = directory_ + "/" + name;
    if (name.find(".yaml") == std::string::npos || files.contains(path)) continue;
    (void)sys::UnlinkAt(AT_FDCWD, path.c_str(), 0);  // it will be tried again
  }
  closedir(directory);
}

}  // namespace cellrun::approvals
