// SPDX-License-Identifier: Apache-2.0
// What the attack programs share. Each runs one attack by its name and ends with a status that says
// how it went, the same without cellrun and in a cell; nothing else in the world ends with one of
// these by accident.
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum { kWon = 10, kHeld = 11, kNotTried = 12 };

struct Attack {
  const char* name;
  int arguments;  // at least
  int (*run)(char** arguments);
};

// Prints "won: …", "held: …" or "not tried: …" and returns the status that goes with it.
__attribute__((format(printf, 1, 2))) int Won(const char* format, ...);
__attribute__((format(printf, 1, 2))) int Held(const char* format, ...);
__attribute__((format(printf, 1, 2))) int NotTried(const char* format, ...);
const char* ErrorName(void);  // of errno

// A list of ways to do one thing: won if any of them succeeds. A way returns what the system call
// would.
struct Way {
  const char* name;
  long (*run)(char** arguments);
};
// Each in a child of its own; one that is killed has failed. Prints a line for each.
int TryWays(const struct Way* ways, size_t count, char** arguments);
// The same inside one child, which must end with 0 where it succeeded.
int InChild(long (*run)(char** arguments), char** arguments);

int RunAttack(const struct Attack* attacks, size_t count, int argc, char** argv);
#define COUNT(array) (sizeof(array) / sizeof *(array))

// Waits for it: exit status, or 128 + signal.
int StatusOf(pid_t pid);
// A connected or listening pathname socket; -1 on failure.
int ConnectTo(const char* path);
int ListenOn(const char* path);
// Listens at a path and gives everybody who connects a descriptor that `open_one` makes of the
// argument; ends only when that fails.
int HandOut(const char* path, int (*open_one)(const char* argument), const char* argument);
int ReceiveDescriptor(int socket);
