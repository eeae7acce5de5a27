// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/memory.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "lib/sys/file.h"

namespace cellrun::sys {
namespace {

constexpr int kFrozen = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

// What is mapped from the program's file and was never written, so that nothing is lost with it.
struct Segments {
  struct {
    void* start;
    std::size_t bytes;
  } at[8];
  std::size_t count = 0;
};
int CollectUnwritten(dl_phdr_info* info, std::size_t, void* result) {
  auto& segments = *static_cast<Segments*>(result);
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (std::size_t i = 0; i < info->dlpi_phnum && segments.count < std::size(segments.at); ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    const std::uintptr_t start = begin & ~(page - 1);
    segments.at[segments.count++] = {reinterpret_cast<void*>(start),
                                     begin + segment.p_memsz - start};
  }
  return 1;
}

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
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return ErrnoError("lseek");
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

int PollAtRest(std::span<pollfd> descriptors, int timeout_ms) noexcept {
  Segments segments;
  // The program itself comes first, and is all there is where it is linked statically.
  dl_iterate_phdr(CollectUnwritten, &segments);
  for (std::size_t i = 0; i < segments.count; ++i) {
    (void)madvise(segments.at[i].start, segments.at[i].bytes, MADV_DONTNEED);
  }
  // From here: each function that is called brings its surroundings back.
  return poll(descriptors.data(), descriptors.size(), timeout_ms);
}

}  // namespace cellrun::sys
