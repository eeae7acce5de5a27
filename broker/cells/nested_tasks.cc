// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/nested_tasks.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lib/sys/file.h"
#include "lib/sys/process.h"

namespace cellrun::cells {
namespace {

Result<std::vector<std::string>> Numbers(const UniqueFd& directory, const char* name) {
  UniqueFd listed = TRY(sys::OpenAt(directory.get(), name, O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(listed.get()), closedir);
  if (stream == nullptr) return ErrnoError("fdopendir");
  (void)listed.Release();
  std::vector<std::string> numbers;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
  while (const dirent* entry = readdir(stream.get())) {
    const std::string found(&entry->d_name[0]);
    if (std::all_of(found.begin(), found.end(), [](unsigned char c) { return isdigit(c) != 0; })) {
      numbers.push_back(found);
    }
  }
  return numbers;
}

// Each thread may have its own.
bool IsOutside(const UniqueFd& process, ino_t tree) {
  const Result<std::vector<std::string>> threads = Numbers(process, "task");
  if (!threads.ok()) return false;  // it has ended
  return std::any_of(threads->begin(), threads->end(), [&](const std::string& thread) {
    const std::string path = "task/" + thread + "/ns/mnt";
    const Result<struct stat> facts = sys::FstatAt(process.get(), path.c_str(), 0);
    return facts.ok() && facts->st_ino != tree;
  });
}

// How many there were.
Result<int> KillOnce(const UniqueFd& proc, ino_t tree) {
  int found = 0;
  for (const std::string& number : TRY(Numbers(proc, "."))) {
    const Result<UniqueFd> process =
        sys::OpenAt(proc.get(), number.c_str(), O_RDONLY | O_DIRECTORY);
    if (!process.ok() || !IsOutside(*process, tree)) continue;
    ++found;
    // Such a directory stands for its process as a pidfd does, whatever the number becomes.
    (void)sys::PidfdSendSignal(*process, SIGKILL);  // ESRCH: it has ended
  }
  return found;
}

}  // namespace

Result<void> KillOutsideOfTree(pid_t init_pid) {
  constexpr std::chrono::seconds kLimit{2};
  constexpr std::chrono::milliseconds kPause{1};
  const std::string init = "/proc/" + std::to_string(init_pid);
  const UniqueFd proc =
      TRY(sys::OpenAt(AT_FDCWD, (init + "/root/proc").c_str(), O_RDONLY | O_DIRECTORY));
  const struct stat tree = TRY(sys::FstatAt(AT_FDCWD, (init + "/ns/mnt").c_str(), 0));
  const std::chrono::nanoseconds deadline = sys::MonotonicNow() + kLimit;
  while (TRY(KillOnce(proc, tree.st_ino)) > 0) {
    if (sys::MonotonicNow() > deadline) return Error(EBUSY, "killing nested tasks");
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

}  // namespace cellrun::cells
