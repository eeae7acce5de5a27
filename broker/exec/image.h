// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "broker/exec/resolve.h"
#include "broker/exec/shebang.h"
#include "lib/base/result.h"

namespace cellrun::exec {

// What identifies the bytes of a file as long as only well-behaved hosts write it: not enough where
// two writes fall into one clock tick, so never used for what a cell can write.
struct FileVersion {
  policy::FileId id;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;
  bool operator==(const FileVersion&) const = default;

  static FileVersion Of(const struct stat& facts);
};

// How the kernel would run a file.
struct ImageFormat {
  enum class Kind { kProgram, kLoader, kScript, kUnknown };  // unknown: ENOEXEC, says the kernel
  Kind kind = Kind::kUnknown;
  Shebang shebang;  // of a script
};

// Looks into images, and remembers those that the cell cannot write. Thread-safe.
class ImageInspector {
 public:
  // `cell_uid`, `cell_gid`: who must be able to read it.
  ImageInspector(uid_t cell_uid, gid_t cell_gid) noexcept : uid_(cell_uid), gid_(cell_gid) {}

  // EACCES also for an image that the cell may execute but not read: its memory would belong to
  // another user namespace and the broker could no longer look into the process.
  [[nodiscard]] Result<ImageFormat> Inspect(const File& file);
  // 64 hex digits. EFBIG over kMaxHashedBytes; ECANCELED when `stop` became true.
  [[nodiscard]] Result<std::string> Hash(const File& file, const std::atomic<bool>* stop);

 private:
  struct Known {
    ImageFormat format;
    std::string hash;
  };
  struct VersionHash {
    std::size_t operator()(const FileVersion& version) const noexcept;
  };
  [[nodiscard]] std::optional<Known> Find(const FileVersion& version) const;
  void Remember(const FileVersion& version, Known known);
  [[nodiscard]] bool CellMayRead(const struct stat& facts) const;

  const uid_t uid_;
  const gid_t gid_;
  mutable std::mutex mutex_;
  std::unordered_map<FileVersion, Known, VersionHash> known_;  // guarded by mutex_
  std::mutex hashing_;  // one at a time: a cell cannot keep every core busy with it
};

}  // namespace cellrun::exec
