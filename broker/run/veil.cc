// SPDX-License-Identifier: Apache-2.0
#include "broker/run/veil.h"

#include <string.h>

#include <utility>

namespace cellrun::run {
namespace {

void Replace(Redactor& redactor, std::string& text) {
  std::string replaced = redactor.Take(text);
  replaced += redactor.Finish();
  text = std::move(replaced);
}

void Replace(Redactor& redactor, journal::Record& record) {
  for (std::string* text : {&record.path, &record.exe, &record.cwd, &record.parent, &record.to,
                            &record.name, &record.reason, &record.detail}) {
    Replace(redactor, *text);
  }
  for (std::string& text : record.argv) Replace(redactor, text);
  for (std::string& text : record.chain) Replace(redactor, text);
}

}  // namespace

void Veil::Cover(const std::string& cell_id, std::vector<std::string> secrets) {
  auto redactor = std::make_unique<Redactor>(secrets);
  for (std::string& secret : secrets) explicit_bzero(secret.data(), secret.size());
  const std::lock_guard lock(mutex_);
  redactors_[cell_id] = std::move(redactor);
  covered_ = redactors_.size();
}

void Veil::Forget(const std::string& cell_id) {
  const std::lock_guard lock(mutex_);
  redactors_.erase(cell_id);
  covered_ = redactors_.size();
}

std::uint64_t Veil::Append(journal::Record record) {
  if (covered_ > 0) {
    const std::lock_guard lock(mutex_);
    const auto found = redactors_.find(record.cell);
    if (found != redactors_.end()) Replace(*found->second, record);
  }
  return journal_.Append(std::move(record));
}

void Veil::SetResult(std::uint64_t seq, std::string result) {
  journal_.SetResult(seq, std::move(result));
}

}  // namespace cellrun::run
