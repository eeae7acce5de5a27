// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/schema.h"

#include <fcntl.h>
#include <unistd.h>

#include "broker/journal/digest.h"
#include "lib/sys/file.h"
#include "lib/sys/random.h"

namespace cellrun::journal {
namespace {

// docs/journal.md describes the tables. The columns beside `record` are for queries; audit verify
// compares them with the record, which is what is hashed.
constexpr const char* kTables = R"(
CREATE TABLE records (
  seq INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  cell TEXT NOT NULL,
  kind TEXT NOT NULL,
  verdict TEXT NOT NULL,
  exe TEXT NOT NULL,
  record TEXT NOT NULL,
  prev BLOB NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE INDEX records_cell ON records (cell, seq);
CREATE INDEX records_time ON records (time);
CREATE INDEX records_refused ON records (seq) WHERE verdict <> 'allow';
CREATE INDEX records_follow_up ON records (json_extract(record, '$.of'))
  WHERE json_extract(record, '$.of') IS NOT NULL;
CREATE INDEX records_cell_name ON records (json_extract(record, '$.name')) WHERE kind = 'cell';
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE anchor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL,
  goal INTEGER NOT NULL) STRICT;
CREATE TABLE documents (digest TEXT PRIMARY KEY, text BLOB NOT NULL, seen INTEGER NOT NULL) STRICT;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
)";

std::string FileName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

Result<void> CheckVersion(Database& database, const std::string& path) {
  const std::int64_t application = TRY(database.QueryNumber("PRAGMA application_id"));
  const std::int64_t version = TRY(database.QueryNumber("PRAGMA user_version"));
  if (application != kApplicationId) {
    return Error(EBADMSG, "opening the journal", path + " is not a cellrun journal");
  }
  if (version != kSchemaVersion) {
    return Error(EBADMSG, "opening the journal",
                 path + " was written by another release (format " + std::to_string(version) +
                     ", expected " + std::to_string(kSchemaVersion) + ")");
  }
  return {};
}

Result<void> MakeTables(Database& database) {
  TRY(database.Execute("BEGIN IMMEDIATE"));
  TRY(database.Execute(kTables));
  const std::string key = sys::RandomHex(32);
  const Digest start{};
  Statement secret = TRY(database.Prepare("INSERT INTO secrets VALUES ('argv', ?)"));
  TRY(secret.BindBlob(1, key).Run());
  Statement head = TRY(database.Prepare("INSERT INTO head VALUES (1, 0, ?)"));
  TRY(head.BindBlob(1, Bytes(start)).Run());
  Statement anchor = TRY(database.Prepare("INSERT INTO anchor VALUES (1, 0, ?, 0)"));
  TRY(anchor.BindBlob(1, Bytes(start)).Run());
  TRY(database.Execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str()));
  TRY(database.Execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str()));
  return database.Execute("COMMIT");
}

Result<void> MakeParents(const std::string& directory) {
  for (std::size_t slash = directory.find('/', 1); slash != std::string::npos;
       slash = directory.find('/', slash + 1)) {
    const Result<void> made = sys::MkdirAt(AT_FDCWD, directory.substr(0, slash).c_str(), 0700);
    if (!made.ok() && made.error().code() != EEXIST) return made.error();
  }
  return {};
}

Result<Database> OpenChecked(const std::string& path) {
  Database database = TRY(Database::Open(path, Database::Mode::kWrite));
  // Both before the first table: they cannot change afterwards without a rewrite of the file.
  TRY(database.Execute("PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE;"));
  const std::int64_t objects = TRY(database.QueryNumber("SELECT count(*) FROM sqlite_schema"));
  TRY(
      database.Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                       "PRAGMA journal_size_limit = 16777216; PRAGMA wal_autocheckpoint = 1000;"));
  if (objects == 0 && TRY(database.QueryNumber("PRAGMA application_id")) == 0) {
    TRY(MakeTables(database));
  }
  TRY(CheckVersion(database, path));
  return database;
}

}  // namespace

Result<void> CheckStateDirectory(const std::string& directory) {
  TRY(MakeParents(directory).With(directory));
  const Result<void> made = sys::MkdirAt(AT_FDCWD, directory.c_str(), 0700);
  if (!made.ok() && made.error().code() != EEXIST) return Result<void>(made).With(directory);
  const struct stat info =
      TRY(sys::FstatAt(AT_FDCWD, directory.c_str(), AT_SYMLINK_NOFOLLOW).With(directory));
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
    return Error(EPERM, "checking the state directory",
                 directory + " must be a directory of ours that nobody else can write");
  }
  return {};
}

Result<void> CheckDatabaseFile(const std::string& path) {
  const UniqueFd file =
      TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600)
              .With(path));
  const struct stat info = TRY(sys::Fstat(file));
  if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || info.st_nlink != 1) {
    return Error(EPERM, "checking the journal", path + " must be a file of ours with one name");
  }
  if ((info.st_mode & 077) != 0) TRY(sys::Fchmod(file, 0600));
  return {};
}

Error DamagedError(const std::string& path, const std::string& what) {
  return Error(EBADMSG, "checking the journal",
               path + ": " + what + "; see 'cellrun audit verify', then move the file away");
}

Result<Database> OpenForWriting(const std::string& path) {
  Result<Database> database = OpenChecked(path);
  if (database.ok() || database.error().context().starts_with(path)) return database;
  if (database.error().code() == EBADMSG) return DamagedError(path, database.error().context());
  return std::move(database).With(path);
}

Result<Database> OpenForReading(const std::string& path) {
  Database database = TRY(Database::Open(path, Database::Mode::kRead).With(path));
  Result<void> checked = CheckVersion(database, path);
  if (!checked.ok()) {
    if (checked.error().code() == EBADMSG) return std::move(checked).error().With(FileName(path));
    // A WAL database needs its -shm file; where none can be made, nobody writes either.
    database = TRY(Database::Open(path, Database::Mode::kReadImmutable).With(path));
    TRY(CheckVersion(database, path));
  }
  return database;
}

}  // namespace cellrun::journal
