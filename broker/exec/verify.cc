// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/verify.h"

#include <elf.h>
#include <fcntl.h>

#include <cstring>
#include <string_view>

#include "broker/exec/hash.h"
#include "broker/exec/task.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxAuxiliary = 48;  // pairs; 6.18 has 25

Error Mismatch(const char* what) {
  return Error(EPERM, what);
}

Result<void> VerifyImage(pid_t pid, const Expectation& expected) {
  const std::string exe = ProcPath(pid, "exe");
  const struct stat facts = TRY(sys::FstatAt(AT_FDCWD, exe.c_str(), 0));
  if (!(FileVersion::Of(facts) == expected.image)) return Mismatch("another image");
  if (expected.image_hash.empty()) return {};
  const UniqueFd contents = TRY(sys::OpenAt(AT_FDCWD, exe.c_str(), O_RDONLY));
  if (TRY(HashContents(contents, nullptr)) != expected.image_hash) {
    return Mismatch("another image");
  }
  return {};
}

// The words that the kernel put on the new stack: argc, argv[], 0, envp[], 0, auxv.
class StackWords {
 public:
  static Result<StackWords> Read(notify::RemoteMemory& memory, std::uint64_t stack,
                                 std::size_t strings) {
    StackWords words;
    const std::size_t needed = strings + 3;
    words.words_.resize(needed + 2 * kMaxAuxiliary);
    std::vector<std::uint64_t>& all = words.words_;
    const std::size_t bytes =
        TRY(memory.ReadSome(stack, {reinterpret_cast<char*>(all.data()), all.size() * 8}));
    all.resize(bytes / sizeof(std::uint64_t));
    if (all.size() < needed) return Mismatch("another stack");
    return words;
  }
  std::uint64_t operator[](std::size_t index) const { return words_[index]; }

  // uid and effective uid, gid and effective gid: the same two by two.
  [[nodiscard]] bool GainedNothing(std::size_t first) const {
    std::uint64_t uid = 0, euid = 1, gid = 0, egid = 1;
    for (std::size_t i = first; i + 1 < words_.size() && words_[i] != AT_NULL; i += 2) {
      if (words_[i] == AT_UID) uid = words_[i + 1];
      if (words_[i] == AT_EUID) euid = words_[i + 1];
      if (words_[i] == AT_GID) gid = words_[i + 1];
      if (words_[i] == AT_EGID) egid = words_[i + 1];
    }
    return uid == euid && gid == egid;
  }

 private:
  std::vector<std::uint64_t> words_;
};

// Compares one list of strings, whose pointers start at words[first], with the bytes at `at`, and
// moves `at` behind it.
Result<void> CompareList(const StackWords& words, std::size_t first,
                         const std::vector<std::string>& strings, std::uint64_t base,
                         std::string_view block, std::size_t* at, const char* what) {
  for (std::size_t i = 0; i < strings.size(); ++i) {
    const std::string_view wanted(strings[i].c_str(), strings[i].size() + 1);
    if (words[first + i] != base + *at) return Mismatch(what);
    if (block.substr(*at, wanted.size()) != wanted) return Mismatch(what);
    *at += wanted.size();
  }
  if (words[first + strings.size()] != 0) return Mismatch(what);
  return {};
}

std::size_t TotalBytes(const std::vector<std::string>& strings) {
  std::size_t bytes = 0;
  for (const std::string& text : strings) bytes += text.size() + 1;
  return bytes;
}

// The kernel lays all strings out one behind the other, arguments first.
Result<void> VerifyStrings(notify::RemoteMemory& memory, std::uint64_t stack,
                           const Expectation& expected) {
  const std::vector<std::string>& argv = *expected.argv;
  const std::vector<std::string>& env = *expected.env;
  const StackWords words = TRY(StackWords::Read(memory, stack, argv.size() + env.size()));
  if (words[0] != argv.size()) return Mismatch("other arguments");
  std::string block(TotalBytes(argv) + TotalBytes(env), '\0');
  const std::uint64_t base = words[1];
  TRY(memory.Read(base, block));
  std::size_t at = 0;
  TRY(CompareList(words, 1, argv, base, block, &at, "other arguments"));
  const std::size_t env_words = argv.size() + 2;
  TRY(CompareList(words, env_words, env, base, block, &at, "another environment"));
  if (!words.GainedNothing(env_words + env.size() + 1)) return Mismatch("other credentials");
  return {};
}

}  // namespace

Result<void> VerifyExec(const Tracee& tracee, const Expectation& expected,
                        notify::MemoryScratch& scratch) {
  TRY(VerifyImage(tracee.pid(), expected));
  if (expected.argv != nullptr && expected.env != nullptr) {
    notify::RemoteMemory memory(tracee.pid(), scratch);
    const user_regs_struct registers = TRY(tracee.Registers());
    TRY(VerifyStrings(memory, registers.rsp, expected));
  }
  if (expected.working_directory != nullptr &&
      TRY(ReadWorkingDirectory(tracee.pid())) != *expected.working_directory) {
    return Mismatch("another working directory");
  }
  if (expected.directory_id.has_value()) {
    const struct stat facts = TRY(sys::FstatAt(AT_FDCWD, ProcPath(tracee.pid(), "cwd").c_str(), 0));
    if (!(policy::FileId{facts.st_dev, facts.st_ino} == *expected.directory_id)) {
      return Mismatch("another working directory");
    }
  }
  return {};
}

}  // namespace cellrun::exec
