// SPDX-License-Identifier: Apache-2.0
// mark [as=NAME]: leaves one byte in ./ran.NAME, so that whoever looks from outside can count how
// often it ran. Without the argument NAME is the variable MARK, and without that the last four
// bytes of the program's own file: two copies differ in them alone. No library: a race runs it a
// hundred thousand times.
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>

static long Call(long number, long a, long b, long c) {
  long result = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
  return result;
}

static const char* After(const char* text, const char* prefix) {
  for (; *prefix != '\0'; ++text, ++prefix) {
    if (*text != *prefix) return NULL;
  }
  return text;
}

static const char* Tail(char* place) {
  const long self = Call(SYS_open, (long)"/proc/self/exe", O_RDONLY, 0);
  Call(SYS_lseek, self, -4, 2 /* SEEK_END */);
  Call(SYS_read, self, (long)place, 4);
  return place;
}

// Called with the stack that the kernel made: argc, argv, NULL, envp, NULL.
__attribute__((noreturn, used)) void Mark(long* stack) {
  char** argv = (char**)(stack + 1);
  char** variables = argv + *stack + 1;
  char tail[8] = "";
  const char* name = NULL;
  if (*stack > 1) name = After(argv[1], "as=");
  for (; name == NULL && *variables != NULL; ++variables) name = After(*variables, "MARK=");
  if (name == NULL) name = Tail(tail);

  char path[80] = "ran.";
  size_t at = 4;
  while (*name != '\0' && at + 1 < sizeof path) path[at++] = *name++;
  path[at] = '\0';
  const long fd = Call(SYS_open, (long)path, O_WRONLY | O_APPEND | O_CREAT, 0666);
  Call(SYS_write, fd, (long)"x", 1);
  Call(SYS_exit_group, fd < 0, 0, 0);
  __builtin_unreachable();
}

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call Mark\n");
