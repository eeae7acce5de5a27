// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/strays.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "lib/sys/file.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kMaxStat = 4096;

// Empty: the namespace has ended.
std::vector<std::string> Numbers(const UniqueFd& procfs) {
  std::vector<std::string> numbers;
  Result<UniqueFd> listed = sys::OpenAt(procfs.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!listed.ok()) return numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(listed->get()), closedir);
  if (stream == nullptr) return numbers;
  (void)listed->Release();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
  while (const dirent* entry = readdir(stream.get())) {
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') numbers.emplace_back(&entry->d_name[0]);
  }
  return numbers;
}

// When it began, in clock ticks; nothing for one that has ended.
std::optional<std::string> BeginningOf(const UniqueFd& procfs, const std::string& number) {
  const Result<std::string> stat =
      sys::ReadWholeFileAt(procfs.get(), (number + "/stat").c_str(), kMaxStat);
  // Its name may hold anything but ends with the last bracket; the state is the third field, the
  // beginning the twenty-second.
  const std::size_t name_end = stat.ok() ? stat->rfind(')') : std::string::npos;
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat->substr(name_end + 1));
  std::string field;
  if (!(fields >> field) || field == "Z" || field == "X") return std::nullopt;
  constexpr int kFurther = 19;
  for (int i = 0; i < kFurther; ++i) fields >> field;
  return field;
}

}  // namespace

Strays Strays::Of(pid_t init) {
  Strays made;
  const std::string path = "/proc/" + std::to_string(init) + "/root/proc";
  Result<UniqueFd> procfs = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  // The procfs of an inner namespace has no number for this process.
  if (procfs.ok() && !sys::ReadLinkAt(procfs->get(), "self").ok())
    made.processes_ = std::move(*procfs);
  return made;
}

bool Strays::Look(const Cgroup& cgroup) {
  if (!processes_.valid()) return false;
  std::set<Process> outside;
  // Nearly always the numbers agree, and that is all there is to read.
  if (Numbers(processes_).size() != cgroup.Count().value_or(0)) outside = Outside(cgroup);
  const bool twice = std::any_of(outside.begin(), outside.end(), [this](const Process& process) {
    return suspects_.contains(process);
  });
  suspects_ = std::move(outside);
  return twice;
}

std::set<Strays::Process> Strays::Outside(const Cgroup& cgroup) const {
  std::set<Process> outside;
  for (const std::string& number : Numbers(processes_)) {
    const auto beginning = BeginningOf(processes_, number);
    if (beginning && !cgroup.Has(processes_.get(), number).value_or(true))
      outside.emplace(number, *beginning);
  }
  return outside;
}

}  // namespace cellrun::net
