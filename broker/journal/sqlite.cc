// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/sqlite.h"

#include <sqlite3.h>

#include <cstdlib>
#include <memory>
#include <utility>

namespace cellrun::journal {
namespace {

int ErrnoOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_IOERR:
      return EIO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    case SQLITE_READONLY:
      return EROFS;
    case SQLITE_CANTOPEN:
      return ENOENT;
    case SQLITE_NOMEM:
      return ENOMEM;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return EACCES;
    case SQLITE_INTERRUPT:
      return ETIMEDOUT;
    case SQLITE_TOOBIG:
      return E2BIG;
    default:
      return EINVAL;
  }
}

Error SqliteError(sqlite3* handle, int code, const char* operation) {
  const int extended = handle != nullptr ? sqlite3_extended_errcode(handle) : code;
  const char* message = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  int result = ErrnoOf(extended);
  // A failed system call is more exact than SQLite's class of it.
  if ((result == EIO || result == ENOENT) && handle != nullptr) {
    const int system = sqlite3_system_errno(handle);
    if (system > 0) result = system;
  }
  return Error(result, operation, message);
}

int CheckDeadline(void* deadline) {
  using Clock = std::chrono::steady_clock;
  return Clock::now() > *static_cast<Clock::time_point*>(deadline) ? 1 : 0;
}

// SQLITE_TRANSIENT, which is a C-style cast: SQLite copies the text.
// NOLINTNEXTLINE(performance-no-int-to-ptr): SQLite's interface
const auto kCopied = reinterpret_cast<sqlite3_destructor_type>(std::intptr_t{-1});

// A file may come from elsewhere (`audit verify FILE`): its schema is not trusted to run functions,
// and its pages are checked before they are used.
constexpr const char* kConnectionSettings =
    "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
    "PRAGMA temp_store = MEMORY;";

// SQLite's NOFOLLOW refuses a link in any part of the path; only the last part matters here.
Result<std::string> WithRealParent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(parent.c_str(), nullptr),
                                                         &std::free);
  if (!real) return ErrnoError("realpath");
  return std::string(real.get()) + "/" + path.substr(slash + 1);  // npos + 1 is 0
}

std::string ImmutableUri(const std::string& path) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      const auto byte = static_cast<unsigned char>(c);
      uri.append({'%', kDigits[byte >> 4], kDigits[byte & 0xf]});
    } else {
      uri.push_back(c);
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

Result<Database> Database::Open(const std::string& path, Mode mode) {
  std::string name = TRY(WithRealParent(path));
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
  flags |= mode == Mode::kWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  if (mode == Mode::kReadImmutable) {
    name = ImmutableUri(name);
    flags |= SQLITE_OPEN_URI;
  }
  Database database;
  const int code = sqlite3_open_v2(name.c_str(), &database.handle_, flags, nullptr);
  if (code != SQLITE_OK) return SqliteError(database.handle_, code, "opening the database");
  sqlite3_busy_timeout(database.handle_, 2000);
  sqlite3_db_config(database.handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database.handle_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(database.handle_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  TRY(database.Execute(kConnectionSettings));
  return database;
}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), deadline_(std::move(other.deadline_)) {}

Database& Database::operator=(Database&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(deadline_, other.deadline_);
  return *this;
}

Database::~Database() {
  // v2: a statement that is still open keeps the connection until it is finalised.
  sqlite3_close_v2(handle_);
}

Result<void> Database::Execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return SqliteError(handle_, code, "database");
  return {};
}

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return SqliteError(handle_, code, "database query");
  return Statement(statement);
}

Result<std::int64_t> Database::QueryNumber(std::string_view sql) {
  Statement statement = TRY(Prepare(sql));
  if (!TRY(statement.Step())) return Error(EBADMSG, "database query", "no row");
  return statement.Number(0);
}

bool Database::Moved() {
  int moved = 0;
  sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

void Database::SetDeadline(std::chrono::milliseconds from_now) {
  if (!deadline_) deadline_ = std::make_unique<Clock::time_point>();
  *deadline_ = Clock::now() + from_now;
  // Every 4000 instructions of SQLite's machine: well below a millisecond.
  sqlite3_progress_handler(handle_, 4000, CheckDeadline, deadline_.get());
}

Statement::Statement(Statement&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), bind_error_(other.bind_error_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(bind_error_, other.bind_error_);
  return *this;
}

Statement::~Statement() {
  sqlite3_finalize(handle_);
}

Statement& Statement::Bind(int parameter, std::int64_t number) {
  bind_error_ |= sqlite3_bind_int64(handle_, parameter, number);
  return *this;
}

Statement& Statement::Bind(int parameter, std::string_view text) {
  bind_error_ |=
      sqlite3_bind_text64(handle_, parameter, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindCopy(int parameter, std::string_view text) {
  bind_error_ |=
      sqlite3_bind_text64(handle_, parameter, text.data(), text.size(), kCopied, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view bytes) {
  bind_error_ |= sqlite3_bind_blob64(handle_, parameter, bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::Step() {
  if (bind_error_ != SQLITE_OK) {
    return SqliteError(sqlite3_db_handle(handle_), bind_error_, "database parameter");
  }
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(handle_), code, "database");
}

Result<void> Statement::Run() {
  Result<bool> row = true;
  do {
    row = Step();
  } while (row.ok() && row.value());
  Reset();
  if (!row.ok()) return std::move(row).error();
  return {};
}

void Statement::Reset() {
  sqlite3_reset(handle_);  // repeats the error that Step already returned
  sqlite3_clear_bindings(handle_);
  bind_error_ = SQLITE_OK;
}

std::int64_t Statement::Number(int column) const {
  return sqlite3_column_int64(handle_, column);
}

std::string_view Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::string_view Statement::Blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

}  // namespace cellrun::journal
