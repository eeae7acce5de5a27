// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

// SQLite's C interface with owners. An error's code is the errno that fits best (ENOSPC, EIO,
// EBADMSG for a damaged file, EBUSY, …), its context is SQLite's message.
namespace cellrun::journal {

class Statement;

// One connection. Not thread-safe; may move between threads.
class Database {
 public:
  enum class Mode : std::uint8_t {
    kWrite,
    kRead,
    kReadImmutable,  // nobody writes the file: no locks, no -shm file
  };
  // The file must exist (ENOENT) and must not be a symlink.
  static Result<Database> Open(const std::string& path, Mode mode);
  Database() noexcept = default;
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  Result<void> Execute(const char* sql);  // one or more statements without results
  Result<Statement> Prepare(std::string_view sql);
  Result<std::int64_t> QueryNumber(std::string_view sql);  // first column of the only row
  // The file at the path is no longer the one that is open: what is written is lost.
  [[nodiscard]] bool Moved();
  // Statements fail with ETIMEDOUT after that long; counted from now.
  void SetDeadline(std::chrono::milliseconds from_now);
  [[nodiscard]] bool open() const { return handle_ != nullptr; }

 private:
  friend class Statement;
  using Clock = std::chrono::steady_clock;
  sqlite3* handle_ = nullptr;
  std::unique_ptr<Clock::time_point> deadline_;  // SQLite holds its address
};

class Statement {
 public:
  Statement() noexcept = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Parameters count from 1. Text and blobs are borrowed until the next Step or Reset.
  Statement& Bind(int parameter, std::int64_t number);
  Statement& Bind(int parameter, std::string_view text);
  Statement& BindCopy(int parameter, std::string_view text);
  Statement& BindBlob(int parameter, std::string_view bytes);
  Result<bool> Step();  // whether there is a row
  Result<void> Run();   // to the end, then Reset
  void Reset();

  // Columns count from 0; valid until the next Step.
  [[nodiscard]] std::int64_t Number(int column) const;
  [[nodiscard]] std::string_view Text(int column) const;
  [[nodiscard]] std::string_view Blob(int column) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* handle) noexcept : handle_(handle) {}
  sqlite3_stmt* handle_ = nullptr;
  int bind_error_ = 0;
};

}  // namespace cellrun::journal
