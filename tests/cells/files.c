// SPDX-License-Identifier: Apache-2.0
// files DIRECTORY COUNT: makes COUNT files of 1 KiB in 20 directories below DIRECTORY, looks at,
// reads, renames and removes them. Prints the nanoseconds that took.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kDirectories = 20, kBytes = 1024 };

static char directory[4096];
static char content[kBytes];

static const char* Name(char* name, size_t size, long number, const char* end) {
  snprintf(name, size, "%s/%ld/file%ld%s", directory, number % kDirectories, number, end);
  return name;
}

static int Make(long number) {
  char name[4200];
  const int fd = open(Name(name, sizeof name, number, ""), O_CREAT | O_EXCL | O_WRONLY, 0644);
  if (fd < 0) return -1;
  const int written = write(fd, content, kBytes) == kBytes ? 0 : -1;
  return close(fd) == 0 ? written : -1;
}

static int Use(long number) {
  char name[4200], other[4200], buffer[kBytes];
  struct stat facts;
  if (stat(Name(name, sizeof name, number, ""), &facts) != 0) return -1;
  const int fd = open(name, O_RDONLY);
  if (fd < 0 || read(fd, buffer, kBytes) != kBytes || close(fd) != 0) return -1;
  if (rename(name, Name(other, sizeof other, number, ".new")) != 0) return -1;
  return unlink(other);
}

int main(int argc, char** argv) {
  if (argc != 3 || strlen(argv[1]) >= sizeof directory) return 2;
  strcpy(directory, argv[1]);
  const long count = atol(argv[2]);
  memset(content, 'x', sizeof content);
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  if (mkdir(directory, 0755) != 0) return 1;
  char name[4200];
  for (int i = 0; i < kDirectories; ++i) {
    snprintf(name, sizeof name, "%s/%d", directory, i);
    if (mkdir(name, 0755) != 0) return 1;
  }
  for (long i = 0; i < count; ++i) {
    if (Make(i) != 0) return 1;
  }
  for (long i = 0; i < count; ++i) {
    if (Use(i) != 0) return 1;
  }
  for (int i = 0; i < kDirectories; ++i) {
    snprintf(name, sizeof name, "%s/%d", directory, i);
    if (rmdir(name) != 0) return 1;
  }
  if (rmdir(directory) != 0) return 1;
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%lld\n",
         (long long)(end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec));
  return 0;
}
