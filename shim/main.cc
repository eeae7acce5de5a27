// SPDX-License-Identifier: Apache-2.0
// cellrun-shim: one program, several roles. The role follows from facts, never from argv, which in
// a cell belongs to whoever calls execve.
#include <sys/socket.h>
#include <unistd.h>

#include "lib/wire/control.h"
#include "shim/init.h"
#include "shim/wait.h"

namespace {

bool HasControlSocket() {
  int type = 0;
  socklen_t bytes = sizeof type;
  return getsockopt(cellrun::wire::kControlFd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 &&
         type == SOCK_SEQPACKET;
}

}  // namespace

int main(int /*count*/, char** arguments, char** environment) {
  if (getpid() == 1 && HasControlSocket()) cellrun::shim::RunInit();
  cellrun::shim::RunWaitingRoom(arguments, environment);
}
