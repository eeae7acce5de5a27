// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/image.h"

#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

#include "broker/exec/elf.h"
#include "broker/exec/hash.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxKnown = 2048;
constexpr std::int64_t kNanoseconds = 1'000'000'000;

std::int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * kNanoseconds + time.tv_nsec;
}

Result<ImageFormat> ReadFormat(const UniqueFd& contents) {
  std::array<char, kHeaderBytes> buffer{};
  const std::size_t bytes = TRY(sys::Pread(contents, buffer, 0));
  const std::string_view header(buffer.data(), bytes);
  if (std::optional<Shebang> shebang = ParseShebang(header)) {
    return ImageFormat{ImageFormat::Kind::kScript, std::move(*shebang)};
  }
  switch (InspectElf(header, contents)) {
    case ElfKind::kProgram:
      return ImageFormat{ImageFormat::Kind::kProgram, {}};
    case ElfKind::kLoader:
      return ImageFormat{ImageFormat::Kind::kLoader, {}};
    case ElfKind::kNone:
      break;
  }
  return ImageFormat{};
}

}  // namespace

FileVersion FileVersion::Of(const struct stat& facts) {
  return {.id = {facts.st_dev, facts.st_ino},
          .size = facts.st_size,
          .modified_ns = Nanoseconds(facts.st_mtim),
          .changed_ns = Nanoseconds(facts.st_ctim)};
}

std::size_t ImageInspector::VersionHash::operator()(const FileVersion& version) const noexcept {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;
  std::uint64_t mixed = version.id.inode * kOdd;
  mixed ^= version.id.device + static_cast<std::uint64_t>(version.changed_ns);
  return static_cast<std::size_t>(mixed * kOdd);
}

std::optional<ImageInspector::Known> ImageInspector::Find(const FileVersion& version) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(version);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}
void ImageInspector::Remember(const FileVersion& version, Known known) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_.insert_or_assign(version, std::move(known));
}

// A broker of the cell's own user finds out by opening; root, who has capabilities that the cell
// has not, may read what the cell may not.
bool ImageInspector::CellMayRead(const struct stat& facts) const {
  if (geteuid() != 0) return true;
  if (facts.st_uid == uid_) return (facts.st_mode & S_IRUSR) != 0;
  if (facts.st_gid == gid_) return (facts.st_mode & S_IRGRP) != 0;
  return (facts.st_mode & S_IROTH) != 0;
}

Result<ImageFormat> ImageInspector::Inspect(const File& file) {
  const FileVersion version = FileVersion::Of(file.facts);
  const bool lasting = !file.on_writable_mount && !file.anonymous;
  if (lasting) {
    if (std::optional<Known> known = Find(version)) return std::move(known->format);
  }
  if (!CellMayRead(file.facts)) return Error(EACCES, "openat");
  const UniqueFd contents = TRY(OpenContents(file));
  ImageFormat format = TRY(ReadFormat(contents));
  if (lasting) Remember(version, {format, ""});
  return format;
}

Result<std::string> ImageInspector::Hash(const File& file, const std::atomic<bool>* stop) {
  const FileVersion version = FileVersion::Of(file.facts);
  const bool lasting = !file.on_writable_mount && !file.anonymous;
  const std::lock_guard one_at_a_time(hashing_);
  std::optional<Known> known = lasting ? Find(version) : std::nullopt;
  if (known.has_value() && !known->hash.empty()) return std::move(known->hash);
  std::string hash = TRY(HashContents(TRY(OpenContents(file)), stop));
  if (known.has_value()) {
    known->hash = hash;
    Remember(version, std::move(*known));
  }
  return hash;
}

}  // namespace cellrun::exec
