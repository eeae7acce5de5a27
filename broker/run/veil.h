// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "broker/journal/record.h"
#include "broker/run/redactor.h"

namespace cellrun::run {

// Keeps the secrets of ghosts out of the journal: what such a cell executes and connects to may
// name them. Everything is passed on to the journal, which outlives this. Thread-safe.
class Veil final : public journal::Sink {
 public:
  explicit Veil(journal::Sink& journal) : journal_(journal) {}

  // From now on, in the records of that cell. The values are overwritten.
  void Cover(const std::string& cell_id, std::vector<std::string> secrets);
  void Forget(const std::string& cell_id);

  std::uint64_t Append(journal::Record record) override;
  void SetResult(std::uint64_t seq, std::string result) override;
  [[nodiscard]] bool Healthy() const override { return journal_.Healthy(); }

 private:
  journal::Sink& journal_;
  std::atomic<std::size_t> covered_ = 0;  // most often there is none
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Redactor>> redactors_;  // by the cell's id
};

}  // namespace cellrun::run
