// SPDX-License-Identifier: Apache-2.0
// storm spawn|fork|vfork THREADS COUNT PROGRAM: starts PROGRAM COUNT times in all and waits for
// each. Prints "STARTED FAILED NANOSECONDS"; a program that does not exit with 0 has failed.
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static const char* mode;
static char* program;
static atomic_long left, started, failed;

static pid_t StartOne(void) {
  char* argv[] = {program, NULL};
  if (strcmp(mode, "spawn") == 0) {
    pid_t pid = -1;
    return posix_spawn(&pid, program, NULL, NULL, argv, environ) == 0 ? pid : -1;
  }
  const pid_t pid = strcmp(mode, "vfork") == 0 ? vfork() : fork();
  if (pid == 0) {
    execve(program, argv, environ);
    _exit(127);
  }
  return pid;
}

static void* Work(void* unused) {
  (void)unused;
  while (atomic_fetch_sub(&left, 1) > 0) {
    int status = -1;
    const pid_t pid = StartOne();
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0) {
      atomic_fetch_add(&started, 1);
    } else {
      atomic_fetch_add(&failed, 1);
    }
  }
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  mode = argv[1];
  const int threads = atoi(argv[2]);
  atomic_store(&left, atol(argv[3]));
  program = argv[4];
  if (threads < 1 || threads > 64) return 2;

  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  pthread_t ids[64];
  for (int i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], NULL, Work, NULL) != 0) return 3;
  }
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%ld %ld %lld\n", atomic_load(&started), atomic_load(&failed),
         (long long)(end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec));
  return atomic_load(&failed) == 0 ? 0 : 1;
}
