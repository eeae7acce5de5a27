// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/task.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/thread.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxStatusBytes = 16 * 1024;

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The last word of the line "NAME:\t… word".
std::optional<pid_t> LastNumber(std::string_view status, std::string_view name) {
  std::size_t at = status.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  at += name.size();
  std::string_view line = status.substr(at, status.find('\n', at) - at);
  const std::size_t blank = line.find_last_of(" \t");
  if (blank != std::string_view::npos) line.remove_prefix(blank + 1);
  const std::optional<std::uint64_t> number = ParseNumber(line);
  if (!number.has_value()) return std::nullopt;
  return static_cast<pid_t>(*number);
}

Result<std::string> ReadStatus(pid_t tid) {
  return sys::ReadWholeFileAt(AT_FDCWD, ProcPath(tid, "status").c_str(), kMaxStatusBytes);
}
Error BadStatus() {
  return Error(EPROTO, "read", "a status file in /proc");
}

std::vector<pid_t> AllNumbers(std::string_view status, std::string_view name) {
  std::vector<pid_t> numbers;
  const std::size_t start = status.find(name);
  if (start == std::string_view::npos) return numbers;
  std::string_view line = status.substr(start + name.size());
  line = line.substr(0, line.find('\n'));
  while (true) {
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos) return numbers;
    const std::size_t end = std::min(line.find_first_of(" \t", first), line.size());
    const std::optional<std::uint64_t> number = ParseNumber(line.substr(first, end - first));
    if (!number.has_value()) return {};
    numbers.push_back(static_cast<pid_t>(*number));
    line.remove_prefix(end);
  }
}

Result<std::uint64_t> StartTimeOf(const std::string& stat) {
  // Field 22, counted from the end of the name, which may itself contain blanks and parentheses.
  std::size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return BadStatus();
  const std::size_t end = stat.find(' ', at + 1);
  const auto number = ParseNumber(std::string_view(stat).substr(at + 1, end - at - 1));
  if (!number.has_value()) return BadStatus();
  return *number;
}

}  // namespace

std::string ProcPath(pid_t tid, const char* name) {
  std::string path = "/proc/";
  path += std::to_string(tid);
  path += '/';
  path += name;
  return path;
}

Result<pid_t> ThreadGroup(pid_t tid) {
  // Most are the leader of their group, and this costs a fifth of opening a pidfd and a twentieth
  // of reading text.
  if (sys::IsThreadOf(tid, tid)) return tid;
  const std::string status = TRY(ReadStatus(tid));
  const std::optional<pid_t> tgid = LastNumber(status, "\nTgid:\t");
  if (!tgid.has_value() || *tgid <= 0) return BadStatus();
  return *tgid;
}

Result<InnerIds> ReadInnerIds(pid_t tid) {
  const std::string status = TRY(ReadStatus(tid));
  const std::optional<pid_t> inner_tgid = LastNumber(status, "\nNStgid:");
  const std::optional<pid_t> inner_tid = LastNumber(status, "\nNSpid:");
  if (!inner_tgid.has_value() || !inner_tid.has_value()) return BadStatus();
  return InnerIds{.tgid = *inner_tgid, .tid = *inner_tid};
}

Result<bool> IsOwnThread(pid_t tid, pid_t inner_number) {
  const InnerIds ids = TRY(ReadInnerIds(tid));
  if (ids.tid == inner_number || ids.tgid == inner_number) return true;
  std::error_code error;
  const std::filesystem::directory_iterator threads(ProcPath(TRY(ThreadGroup(tid)), "task"), error);
  for (const auto& thread : threads) {
    const std::optional<std::uint64_t> number = ParseNumber(thread.path().filename().string());
    if (!number.has_value()) continue;
    const Result<InnerIds> other = ReadInnerIds(static_cast<pid_t>(*number));  // it may have ended
    if (other.ok() && other->tid == inner_number) return true;
  }
  return false;
}

bool ProcessNumbers::Is(const ProcessNumbers& inner) const {
  return start_time == inner.start_time && !inner.tgids.empty() &&
         inner.tgids.size() <= tgids.size() &&
         std::equal(inner.tgids.rbegin(), inner.tgids.rend(), tgids.rbegin());
}

Result<ProcessNumbers> ReadProcessNumbers(int directory, const std::string& entry) {
  const std::string status =
      TRY(sys::ReadWholeFileAt(directory, (entry + "/status").c_str(), kMaxStatusBytes));
  ProcessNumbers numbers;
  numbers.tgids = AllNumbers(status, "\nNStgid:");
  numbers.tids = AllNumbers(status, "\nNSpid:");
  if (numbers.tgids.empty() || numbers.tgids.size() != numbers.tids.size()) return BadStatus();
  numbers.start_time = TRY(StartTimeOf(
      TRY(sys::ReadWholeFileAt(directory, (entry + "/stat").c_str(), kMaxStatusBytes))));
  return numbers;
}

Result<std::uint64_t> StartTime(pid_t pid) {
  return StartTimeOf(
      TRY(sys::ReadWholeFileAt(AT_FDCWD, ProcPath(pid, "stat").c_str(), kMaxStatusBytes)));
}

Result<bool> IsUnderWay(pid_t tid) {
  constexpr std::string_view kField = "\nState:\t";
  const std::string status = TRY(ReadStatus(tid));
  const std::size_t at = status.find(kField);
  if (at == std::string::npos || at + kField.size() >= status.size()) return BadStatus();
  return std::string_view("RDt").find(status[at + kField.size()]) != std::string_view::npos;
}
Result<std::chrono::nanoseconds> ProcessorTime(pid_t tid) {
  const std::string line =
      TRY(sys::ReadWholeFileAt(AT_FDCWD, ProcPath(tid, "schedstat").c_str(), kMaxStatusBytes));
  const auto number = ParseNumber(std::string_view(line).substr(0, line.find(' ')));
  if (!number.has_value()) return BadStatus();
  return std::chrono::nanoseconds(*number);
}

Result<std::string> ReadWorkingDirectory(pid_t tid) {
  return sys::ReadLinkAt(AT_FDCWD, ProcPath(tid, "cwd").c_str());
}
Result<std::string> ReadExecutablePath(pid_t tid) {
  return sys::ReadLinkAt(AT_FDCWD, ProcPath(tid, "exe").c_str());
}

Result<policy::FileId> ReadWorkingDirectoryId(pid_t tid) {
  const struct stat facts = TRY(sys::FstatAt(AT_FDCWD, ProcPath(tid, "cwd").c_str(), 0));
  return policy::FileId{facts.st_dev, facts.st_ino};
}

std::vector<std::string> ReadParents(pid_t pid, pid_t init_pid, std::size_t limit) {
  std::vector<std::string> parents;
  while (parents.size() < limit) {
    const Result<std::string> status = ReadStatus(pid);
    const std::optional<pid_t> parent =
        status.ok() ? LastNumber(*status, "\nPPid:\t") : std::nullopt;
    if (!parent.has_value() || *parent <= 1 || *parent == init_pid) break;
    pid = *parent;
    Result<std::string> program = ReadExecutablePath(pid);
    if (!program.ok()) break;
    parents.push_back(std::move(*program));
  }
  return parents;
}

Result<UniqueFd> OpenDescriptor(pid_t tid, int number) {
  if (number < 0) return Error(EBADF, "openat");
  const std::string path = ProcPath(tid, "fd/") + std::to_string(number);
  Result<UniqueFd> opened = sys::OpenAt(AT_FDCWD, path.c_str(), O_PATH);
  if (opened.ok()) return opened;
  if (opened.error().code() == ENOENT) return Error(EBADF, "openat");
  if (opened.error().code() != EACCES) return opened;
  // fd/ is closed for a task that is not dumpable; pidfd_getfd is not. Threads may have left the
  // shared table: what runs is compared with what was judged anyway.
  const UniqueFd pidfd = TRY(sys::PidfdOpen(TRY(ThreadGroup(tid))));
  return sys::PidfdGetfd(pidfd, number);
}

bool HasTerminal(pid_t tid) {
  const Result<struct stat> facts = sys::FstatAt(AT_FDCWD, ProcPath(tid, "fd/0").c_str(), 0);
  if (!facts.ok() || !S_ISCHR(facts->st_mode)) return false;
  const unsigned type = major(facts->st_rdev);
  constexpr unsigned kConsole = 4, kTty = 5, kFirstPts = 136, kLastPts = 143;
  return type == kConsole || type == kTty || (type >= kFirstPts && type <= kLastPts);
}

}  // namespace cellrun::exec
