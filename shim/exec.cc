// SPDX-License-Identifier: Apache-2.0
#include "shim/exec.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

namespace cellrun::shim {
namespace {

constexpr char kDefaultPath[] = "/usr/local/bin:/usr/bin:/bin";
constexpr char kShell[] = "/bin/sh";

const char* FindPath(char** environment) {
  constexpr char kName[] = "PATH=";
  constexpr size_t kNameBytes = sizeof kName - 1;
  for (char** variable = environment; *variable != nullptr; variable++) {
    if (strncmp(*variable, kName, kNameBytes) == 0) return *variable + kNameBytes;
  }
  return kDefaultPath;
}

int ExecOne(const char* path, const Command& command) {
  execve(path, command.arguments, command.environment);
  if (errno != ENOEXEC) return errno;
  char** arguments = command.arguments - 1;
  char* name = arguments[1];
  arguments[0] = const_cast<char*>(kShell);
  arguments[1] = const_cast<char*>(path);
  execve(kShell, arguments, command.environment);
  const int code = errno;
  arguments[1] = name;
  return code;
}

// What sends the search on to the next directory, as in glibc.
bool IsElsewhere(int code) {
  return code == ENOENT || code == ENOTDIR || code == EACCES || code == ESTALE || code == ENODEV ||
         code == ETIMEDOUT;
}

}  // namespace

int ExecInPath(const Command& command) {
  const size_t name_bytes = strlen(command.program);
  if (name_bytes == 0) return ENOENT;
  if (strchr(command.program, '/') != nullptr) return ExecOne(command.program, command);
  if (name_bytes > NAME_MAX) return ENAMETOOLONG;
  char path[PATH_MAX + NAME_MAX + 2];
  int remembered = ENOENT;
  const char* directory = FindPath(command.environment);
  while (true) {
    const char* end = strchrnul(directory, ':');
    const auto bytes = static_cast<size_t>(end - directory);
    if (bytes < PATH_MAX) {  // longer ones cannot be opened
      memcpy(path, directory, bytes);
      path[bytes] = '/';  // an empty directory is the current one
      memcpy(path + bytes + (bytes != 0 ? 1 : 0), command.program, name_bytes + 1);
      const int code = ExecOne(path, command);
      if (!IsElsewhere(code)) return code;
      if (code == EACCES) remembered = EACCES;
    }
    if (*end == '\0') return remembered;
    directory = end + 1;
  }
}

}  // namespace cellrun::shim
