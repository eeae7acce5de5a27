// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <utility>

#include "lib/sys/file.h"

namespace cellrun::sys {
namespace {

constexpr int kFrozen = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : start_(std::exchange(other.start_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
Mapping::~Mapping() {
  if (start_ != nullptr) CHECK(munmap(start_, bytes_) == 0);
}

Result<UniqueFd> MakeSealedMemfd(const char* name, std::string_view bytes) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoError("memfd_create");
  TRY(WriteAll(fd, bytes));
  if (fcntl(fd.get(), F_ADD_SEALS, kFrozen) != 0) return ErrnoError("fcntl(F_ADD_SEALS)");
  return fd;
}

Result<Mapping> MapSealedMemfd(const UniqueFd& fd, std::size_t limit_bytes) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0) return ErrnoError("fcntl(F_GET_SEALS)");
  if ((seals & kFrozen) != kFrozen) return Error(EPERM, "memory file is not sealed");
  const struct stat facts = TRY(Fstat(fd));
  const auto bytes = static_cast<std::size_t>(facts.st_size);
  if (bytes > limit_bytes) return Error(EFBIG, "memory file");
  if (bytes == 0) return Mapping();
  void* start = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (start == MAP_FAILED) return ErrnoError("mmap");
  return Mapping(start, bytes);
}

}  // namespace cellrun::sys
