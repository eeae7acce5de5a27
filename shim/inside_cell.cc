// SPDX-License-Identifier: Apache-2.0
// For tests: what runs inside a cell of the shim's tests. Prints facts, one a line.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

void PrintResult(const char* what, long result) {
  printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

// Descriptors, but the one that lists them.
int PrintFds() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 1;
  while (const dirent* entry = readdir(directory)) {
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(directory)) printf("%d\n", fd);
  }
  closedir(directory);
  return 0;
}

// What one process may do to another one's memory, descriptors and life.
int Attack(pid_t pid) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  PrintResult("pidfd_open", pidfd);
  PrintResult("pidfd_getfd 0", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
  PrintResult("pidfd_getfd 3", syscall(SYS_pidfd_getfd, pidfd, 3, 0));
  const std::string proc = "/proc/" + std::to_string(pid);
  PrintResult("mem", open((proc + "/mem").c_str(), O_RDWR | O_CLOEXEC));
  PrintResult("fd", open((proc + "/fd/3").c_str(), O_RDWR | O_CLOEXEC));
  PrintResult("environ", open((proc + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  PrintResult("exe", open((proc + "/exe").c_str(), O_RDONLY | O_CLOEXEC));
  char byte = 0;
  iovec local{.iov_base = &byte, .iov_len = 1};
  iovec remote{.iov_base = reinterpret_cast<void*>(0x400000), .iov_len = 1};
  PrintResult("process_vm_readv", process_vm_readv(pid, &local, 1, &remote, 1, 0));
  PrintResult("seize", ptrace(PTRACE_SEIZE, pid, nullptr, nullptr));
  return 0;
}

// A sibling instead of a child: its parent is ours, which is init.
int CloneParent() {
  const long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(5);
  printf("%ld\n", pid);
  return pid > 0 ? 0 : 1;
}

// Children of init that are dead and not reaped, once they had time to be.
int PrintZombies() {
  std::string found;
  for (int tries = 0; tries < 400; tries++) {
    found.clear();
    DIR* directory = opendir("/proc");
    if (directory == nullptr) return 1;
    while (const dirent* entry = readdir(directory)) {
      FILE* stat = fopen(("/proc/" + std::string(entry->d_name) + "/stat").c_str(), "re");
      if (stat == nullptr) continue;
      char state = 0;
      if (fscanf(stat, "%*d (%*[^)]) %c", &state) == 1 && state == 'Z') found = entry->d_name;
      fclose(stat);
    }
    closedir(directory);
    if (found.empty()) break;
    usleep(10'000);
  }
  puts(found.empty() ? "none" : found.c_str());
  return 0;
}

int PrintFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  printf("%lu %lu\n", limit.rlim_cur, limit.rlim_max);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string verb = count > 1 ? arguments[1] : "";
  if (verb == "fds") return PrintFds();
  if (verb == "attack" && count > 2) return Attack(atoi(arguments[2]));
  if (verb == "clone-parent") return CloneParent();
  if (verb == "zombies") return PrintZombies();
  if (verb == "file-limit") return PrintFileLimit();
  return 2;
}
