// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/elf.h"

#include <elf.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxProgramHeaders = 128;
constexpr std::size_t kMaxDynamicEntries = 512;
constexpr std::size_t kMaxStringBytes = 1 << 20;

// `count` structures from the file; fewer if it ends before.
template <typename T>
std::vector<T> ReadArray(const UniqueFd& contents, std::uint64_t offset, std::size_t count) {
  std::vector<char> raw(count * sizeof(T));
  const Result<std::size_t> bytes = sys::Pread(contents, raw, static_cast<off_t>(offset));
  std::vector<T> array(bytes.ok() ? bytes.value() / sizeof(T) : 0);
  if (!array.empty()) memcpy(array.data(), raw.data(), array.size() * sizeof(T));
  return array;
}

// Where the bytes at an address are in the file.
std::optional<std::uint64_t> FileOffset(const std::vector<Elf64_Phdr>& headers,
                                        std::uint64_t address) {
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type == PT_LOAD && address >= header.p_vaddr &&
        address - header.p_vaddr < header.p_filesz) {
      return header.p_offset + (address - header.p_vaddr);
    }
  }
  return std::nullopt;
}

struct Dynamic {
  std::uint64_t strings = 0, strings_bytes = 0, soname = 0, flags_1 = 0;
  bool has_soname = false;
};

Dynamic ReadDynamic(const UniqueFd& contents, const Elf64_Phdr& segment) {
  Dynamic dynamic;
  const std::size_t count =
      std::min<std::size_t>(segment.p_filesz / sizeof(Elf64_Dyn), kMaxDynamicEntries);
  for (const Elf64_Dyn& entry : ReadArray<Elf64_Dyn>(contents, segment.p_offset, count)) {
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_STRTAB) dynamic.strings = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRSZ) dynamic.strings_bytes = entry.d_un.d_val;
    if (entry.d_tag == DT_FLAGS_1) dynamic.flags_1 = entry.d_un.d_val;
    if (entry.d_tag == DT_SONAME) {
      dynamic.soname = entry.d_un.d_val;
      dynamic.has_soname = true;
    }
  }
  return dynamic;
}

bool IsLoaderName(std::string_view soname) {
  return soname.starts_with("ld-") || soname.starts_with("ld.so") || soname.starts_with("ld64") ||
         soname.starts_with("libc.musl");
}

// Names of symbols share the string table with the soname.
bool LooksLikeLoader(const UniqueFd& contents, const std::vector<Elf64_Phdr>& headers,
                     const Dynamic& dynamic) {
  const auto offset = FileOffset(headers, dynamic.strings);
  if (!offset.has_value()) return false;
  const std::size_t bytes = std::min<std::size_t>(dynamic.strings_bytes, kMaxStringBytes);
  const std::vector<char> raw = ReadArray<char>(contents, *offset, bytes);
  const std::string_view strings(raw.data(), raw.size());
  if (dynamic.has_soname && dynamic.soname < strings.size()) {
    const std::string_view soname = strings.substr(dynamic.soname);
    if (IsLoaderName(soname.substr(0, soname.find('\0')))) return true;
  }
  using std::string_view_literals::operator""sv;
  return strings.find("\0dlopen\0"sv) != std::string_view::npos ||
         strings.find("\0_rtld_global\0"sv) != std::string_view::npos;
}

std::optional<Elf64_Ehdr> ParseHeader(std::string_view bytes) {
  Elf64_Ehdr header{};
  if (bytes.size() < sizeof header) return std::nullopt;
  memcpy(&header, bytes.data(), sizeof header);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_machine != EM_X86_64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return std::nullopt;
  }
  return header;
}

}  // namespace

ElfKind InspectElf(std::string_view header, const UniqueFd& contents) {
  const std::optional<Elf64_Ehdr> elf = ParseHeader(header);
  if (!elf.has_value()) return ElfKind::kNone;
  if (elf->e_type != ET_DYN) return ElfKind::kProgram;
  const auto headers = ReadArray<Elf64_Phdr>(
      contents, elf->e_phoff, std::min<std::size_t>(elf->e_phnum, kMaxProgramHeaders));
  const Elf64_Phdr* dynamic_segment = nullptr;
  for (const Elf64_Phdr& segment : headers) {
    if (segment.p_type == PT_INTERP) return ElfKind::kProgram;
    if (segment.p_type == PT_DYNAMIC) dynamic_segment = &segment;
  }
  if (dynamic_segment == nullptr) return ElfKind::kProgram;
  const Dynamic dynamic = ReadDynamic(contents, *dynamic_segment);
  if ((dynamic.flags_1 & DF_1_PIE) != 0) return ElfKind::kProgram;
  return LooksLikeLoader(contents, headers, dynamic) ? ElfKind::kLoader : ElfKind::kProgram;
}

}  // namespace cellrun::exec
