// SPDX-License-Identifier: Apache-2.0
// What a file's first bytes say about how the kernel runs it, and what a loader's command line says
// it will run: any bytes are understood or refused.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/exec/elf.h"
#include "broker/exec/loader.h"
#include "broker/exec/shebang.h"
#include "lib/base/check.h"
#include "lib/base/unique_fd.h"

using namespace cellrun;

namespace {

void CheckShebang(std::string_view header) {
  const std::optional<exec::Shebang> shebang = exec::ParseShebang(header);
  if (!shebang) return;
  CHECK(header.starts_with("#!"));
  // As the kernel has it: a NUL ends a name but not the line, so what is left may be empty, and
  // blanks before the end of a file without a newline stay.
  const std::string_view line = header.substr(0, header.find('\n'));
  if (line.size() == header.size() || line.find('\0') != std::string_view::npos) return;
  CHECK(!shebang->interpreter.empty());
  CHECK(shebang->interpreter.find_first_of(std::string_view(" \t\n\0", 4)) == std::string::npos);
  CHECK(header.find(shebang->interpreter) != std::string_view::npos);
  if (!shebang->argument) return;
  CHECK(!shebang->argument->empty());
  CHECK(shebang->argument->find('\n') == std::string::npos);
  CHECK(header.find(*shebang->argument) != std::string_view::npos);
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  CHECK(!is_blank(shebang->argument->front()) && !is_blank(shebang->argument->back()));
}

void CheckElf(std::string_view bytes) {
  static const UniqueFd file(memfd_create("fuzz", MFD_CLOEXEC));
  CHECK(ftruncate(file.get(), 0) == 0);
  CHECK(pwrite(file.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  const exec::ElfKind kind = exec::InspectElf(bytes.substr(0, exec::kHeaderBytes), file);
  if (kind != exec::ElfKind::kNone)
    CHECK(
        bytes.starts_with("\x7f"
                          "ELF"));
}

void CheckLoader(std::string_view bytes) {
  std::vector<std::string> argv;
  while (!bytes.empty()) {
    argv.emplace_back(bytes.substr(0, bytes.find('\0')));
    bytes.remove_prefix(std::min(bytes.size(), argv.back().size() + 1));
  }
  const exec::LoaderCommand command = exec::ParseLoaderCommand(argv);
  if (command.kind != exec::LoaderCommand::Kind::kProgram) return;
  CHECK(command.program > 0 && command.program < argv.size());
  // Not an option, and not what the loader would search for in its own way.
  CHECK(argv[command.program].find('/') != std::string::npos);
  CHECK(!argv[command.program].starts_with("--"));
  CHECK(command.argv.size() == argv.size() - command.program);
  for (std::size_t i = 1; i < command.argv.size(); ++i)
    CHECK(command.argv[i] == argv[command.program + i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckShebang(bytes.substr(0, exec::kHeaderBytes));
  CheckElf(bytes);
  CheckLoader(bytes);
  return 0;
}
