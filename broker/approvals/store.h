// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "broker/approvals/book.h"
#include "broker/approvals/rules.h"
#include "broker/journal/sqlite.h"

namespace cellrun::approvals {

// approvals.db of the state directory: every ask as it came out, and the remembered rules, beside
// the files in which a person can read those. One thread writes, in groups; what is written often
// between two groups is written once.
class Store {
 public:
  // An ask that waited when the last broker ended: it is denied now.
  struct Orphan {
    std::string id, cell, json;
  };
  struct Opened {
    std::unique_ptr<Store> store;
    std::vector<Rule> rules;
    std::vector<Orphan> orphans;
    std::uint64_t last_order = 0;  // of all asks that there were
  };
  // EPERM, EBADMSG: what is there is not ours, or damaged; the message names it.
  static Result<Opened> Open(const std::string& state_directory);
  // Writes what waits.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // False: too much waits for the disk already.
  [[nodiscard]] bool HasRoom() const;
  void Put(const Entry& entry);
  void PutRule(const Rule& rule);
  void RemoveRule(const std::string& id);
  // Replaces the files of the directory with these (path → text).
  void WriteFiles(std::map<std::string, std::string> files);

  // Asks after `after`, oldest first, at most `rows`; also what waited to be written when this was
  // called. `done` runs on the store's thread.
  struct Row {
    std::uint64_t order = 0;
    State state = State::kDenied;
    std::string json;
  };
  struct Query {
    std::vector<State> states;
    std::string cell;  // name or start of an id; "": any
    std::uint64_t after = 0;
    std::size_t rows = 256;
  };
  void Find(Query query, std::function<void(Result<std::vector<Row>>)> done);
  // So that Find gives the newest `count`: a value for `after`.
  void FindNewest(Query query, std::uint64_t count,
                  std::function<void(Result<std::uint64_t>)> done);
  // One that is over, by id or start of one: the newest.
  void FindOne(std::string id, std::function<void(Result<std::optional<Row>>)> done);

 private:
  explicit Store(journal::Database database, std::string directory);
  void Serve();
  Result<void> WriteGroup(const std::map<std::uint64_t, Entry>& asks,
                          const std::map<std::string, std::optional<Rule>>& rules);
  Result<void> WriteRules(const std::map<std::string, std::optional<Rule>>& rules);
  Result<void> Prune();
  void ReplaceFiles(const std::map<std::string, std::string>& files);
  Result<std::vector<Row>> Select(const Query& query, const char* order, std::size_t rows);

  journal::Database database_;
  const std::string directory_;  // of the files
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Entry> asks_;               // by order
  std::size_t bytes_ = 0;                             // of asks_
  std::map<std::string, std::optional<Rule>> rules_;  // nothing: remove it
  std::optional<std::map<std::string, std::string>> files_;
  std::deque<std::function<void()>> queries_;
  bool stop_ = false;
  std::uint64_t written_ = 0;  // since the last Prune
  std::thread thread_;
};

}  // namespace cellrun::approvals
