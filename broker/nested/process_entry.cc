// SPDX-License-Identifier: Apache-2.0
#include "broker/nested/process_entry.h"

#include <fcntl.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "broker/exec/task.h"
#include "lib/sys/file.h"

namespace cellrun::nested {
namespace {

void AppendNumbers(const std::string& text, std::vector<pid_t>& numbers) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    pid_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error == std::errc()) numbers.push_back(number);
    at = next + 1;  // behind the blank
  }
}

// The process first, then what its threads have started.
std::vector<pid_t> Family(pid_t tgid) {
  constexpr std::size_t kMaxListBytes = 1 << 20;
  std::vector<pid_t> family = {tgid};
  std::error_code error;
  const std::filesystem::directory_iterator threads(exec::ProcPath(tgid, "task"), error);
  for (const auto& thread : threads) {
    const std::string path = thread.path().string() + "/children";
    const Result<std::string> children =
        sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), kMaxListBytes);
    if (children.ok()) AppendNumbers(*children, family);
  }
  return family;
}

}  // namespace

Result<pid_t> ProcessOfEntry(const UniqueFd& entry, pid_t caller) {
  const exec::ProcessNumbers wanted = TRY(exec::ReadProcessNumbers(entry.get(), "."));
  for (const pid_t pid : Family(TRY(exec::ThreadGroup(caller)))) {
    const Result<exec::ProcessNumbers> numbers =
        exec::ReadProcessNumbers(AT_FDCWD, "/proc/" + std::to_string(pid));
    if (numbers.ok() && numbers->Is(wanted)) return pid;
  }
  return Error(ESRCH, "looking for a process");
}

}  // namespace cellrun::nested
