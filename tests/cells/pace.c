// SPDX-License-Identifier: Apache-2.0
// pace COUNT PAUSE PROGRAM: starts PROGRAM COUNT times, PAUSE microseconds after the end of the one
// before. Prints "MEDIAN P99" of the nanoseconds from the start of each to its end.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static int Compare(const void* a, const void* b) {
  const long long x = *(const long long*)a, y = *(const long long*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const long count = atol(argv[1]), pause = atol(argv[2]);
  if (count < 1 || count > 1000000) return 2;
  long long* times = calloc((size_t)count, sizeof *times);
  if (times == NULL) return 1;
  char* words[] = {argv[3], NULL};
  for (long i = 0; i < count; ++i) {
    const struct timespec rest = {pause / 1000000, pause % 1000000 * 1000};
    nanosleep(&rest, NULL);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pid_t pid = -1;
    int status = -1;
    if (posix_spawn(&pid, argv[3], NULL, NULL, words, environ) != 0) return 1;
    if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    times[i] = (end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec);
  }
  qsort(times, (size_t)count, sizeof *times, Compare);
  printf("%lld %lld\n", times[count / 2], times[count * 99 / 100]);
  free(times);
  return 0;
}
