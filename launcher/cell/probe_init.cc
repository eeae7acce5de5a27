// SPDX-License-Identifier: Apache-2.0
// What tests start as a cell's init: says on the control socket what it sees, one "NAME=VALUE" a
// packet, and ends.
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "lib/wire/control.h"

namespace {

void Say(const std::string& name, const std::string& value) {
  const std::string line = name + "=" + value;
  (void)!send(cellrun::wire::kControlFd, line.data(), line.size(), 0);
}
std::string Errno(bool worked) {
  return worked ? "ok" : strerrorname_np(errno);
}

std::string List(const char* path) {
  std::vector<std::string> names;
  DIR* directory = opendir(path);
  if (directory == nullptr) return Errno(false);
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') names.emplace_back(&entry->d_name[0]);
  }
  closedir(directory);
  std::sort(names.begin(), names.end());
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : " ") + name;
  return joined;
}

void SayStatus() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    const std::size_t colon = line.find(":\t");
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    for (const char* wanted : {"Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapBnd",
                               "CapAmb", "NoNewPrivs", "Seccomp"}) {
      if (name == wanted) Say(name, line.substr(colon + 2));
    }
  }
}

std::string Create(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  const std::string result = Errno(fd >= 0);
  if (fd >= 0) close(fd);
  return result;
}

std::string OpenFds() {
  constexpr int kLast = 1024;
  std::string open_fds;
  for (int fd = 0; fd < kLast; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) open_fds += (open_fds.empty() ? "" : " ") + std::to_string(fd);
  }
  return open_fds;
}

std::string Execute(const char* path) {
  const pid_t child = fork();
  if (child == 0) {
    execl(path, path, nullptr);
    _exit(errno);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status) == 0 ? "ok" : strerrorname_np(WEXITSTATUS(status));
}

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void SayPlaces() {
  for (const char* path :
       {"/", "/home", "/root", "/run", "/tmp", "/run/cellrun", "/var", "/sys", "/dev/pts"}) {
    Say(std::string("ls ") + path, List(path));
  }
  for (const char* directory : {"/", "/usr", "/tmp", "/run/cellrun", "/run/cellrun/tools",
                                "/project", "/project/pinned", "/etc"}) {
    Say(std::string("create ") + directory, Create(std::string(directory) + "/new-file"));
  }
  Say("rename parent", Errno(rename("/project/parent", "/project/moved") == 0));
  Say("hidden file", FirstLine("/project/secret"));
  Say("hidden directory", List("/project/hidden"));
  Say("generated", FirstLine("/etc/passwd"));
  Say("mapped file", FirstLine("/project/mine"));
  struct stat facts {};
  Say("owner", stat("/project/mine", &facts) == 0 ? std::to_string(facts.st_uid) : Errno(false));
  Say("link", FirstLine("/project/outside-link"));
}

void SayKernelObjects() {
  char name[256] = {};
  gethostname(&name[0], sizeof name - 1);
  Say("hostname", &name[0]);
  ifreq loopback{};
  memcpy(&loopback.ifr_name[0], "lo", sizeof "lo");
  const int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  Say("lo", ioctl(socket_fd, SIOCGIFFLAGS, &loopback) == 0 && (loopback.ifr_flags & IFF_UP) != 0
                ? "up"
                : "down");
  close(socket_fd);
  const int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  char slave[64] = {};
  Say("pty", master >= 0 && ptsname_r(master, &slave[0], sizeof slave) == 0 ? std::string(&slave[0])
                                                                            : Errno(false));
  close(master);
  Say("tty", Errno(open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0));
  Say("max_user_namespaces", FirstLine("/proc/sys/user/max_user_namespaces"));
  rlimit core{};
  getrlimit(RLIMIT_CORE, &core);
  Say("oom_score_adj", FirstLine("/proc/self/oom_score_adj"));
  Say("core", std::to_string(core.rlim_max));
  Say("mem write", Errno(open("/proc/self/mem", O_WRONLY | O_CLOEXEC) >= 0));
  Say("exec tmp", Execute("/tmp/program"));
  Say("exec usr", Execute("/usr/bin/true"));
}

}  // namespace

int main(int argc, char** argv) {
  Say("argv", argc == 1 ? argv[0] : "many");
  Say("environment", environ[0] == nullptr ? "empty" : environ[0]);
  Say("pid",
      std::to_string(getpid()) + " " + std::to_string(getppid()) + " " + std::to_string(getsid(0)));
  Say("fds", OpenFds());
  SayStatus();
  std::string processes;
  for (const char c : List("/proc")) processes.push_back(c);
  Say("ls /proc", processes);
  // A program in a place that Landlock does not name for execution.
  std::ifstream from("/usr/bin/true", std::ios::binary);
  std::ofstream("/tmp/program", std::ios::binary)
      << std::string(std::istreambuf_iterator<char>(from), {});
  chmod("/tmp/program", 0755);
  SayPlaces();
  SayKernelObjects();
  return 0;
}
