// SPDX-License-Identifier: Apache-2.0
// prober LAST: makes each system call up to number LAST once, in a process of its own, with
// arguments that no call can do anything with (bad pointers, descriptors, flags: all bits set), and
// prints a line for each: NUMBER and 0, the errno, or -SIGNAL for one that ended the process.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// They do not return, return twice, write to every disk, or leave a queue behind.
static int is_left_out(long number) {
  switch (number) {
    case SYS_rt_sigreturn:
    case SYS_fork:
    case SYS_vfork:
    case SYS_exit:
    case SYS_exit_group:
    case SYS_pause:
    case SYS_sync:
    case SYS_msgget:
      return 1;
    default:
      return 0;
  }
}

static int result_of(long number) {
  const pid_t child = fork();
  if (child < 0) return -1000;
  if (child == 0) {
    alarm(5);
    errno = 0;
    const long bad = -1;
    const long result = syscall(number, bad, bad, bad, bad, bad, bad);
    _exit(result == -1 ? errno : 0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1001;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const long last = strtol(argv[1], NULL, 10);
  for (long number = 0; number <= last; ++number) {
    if (!is_left_out(number)) printf("%ld %d\n", number, result_of(number));
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
