// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "broker/journal/sqlite.h"
#include "lib/base/result.h"

namespace cellrun::journal {

inline constexpr std::int64_t kApplicationId = 0x63656c6c;  // "cell"
inline constexpr std::int64_t kSchemaVersion = 1;

// The state directory made (0700) or checked, then the database made (0600) or checked: owner,
// mode, no link.
Result<void> CheckStateDirectory(const std::string& directory);
Result<void> CheckDatabaseFile(const std::string& path);

// Opens for writing; makes the tables in a new file. EBADMSG: some other file, or one of a later
// release.
Result<Database> OpenForWriting(const std::string& path);
// Opens for reading. Also a copy on a read-only medium.
Result<Database> OpenForReading(const std::string& path);

// "journal.db is …; see 'cellrun audit verify …'".
Error DamagedError(const std::string& path, const std::string& what);

}  // namespace cellrun::journal
