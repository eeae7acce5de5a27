/* SPDX-License-Identifier: Apache-2.0 */
/* What a test tells the fault library (faults.c) in the broker, through a file that both have
 * mapped: the file named by CELLRUN_TEST_FAULTS. */
#pragma once

#include <stdint.h>

enum FaultAction {
  kFaultNone,  /* calls are counted */
  kFaultError, /* the call is not made, and fails with `error` */
  kFaultKill,  /* the process is killed by SIGKILL instead of making the call */
  kFaultHold,  /* the thread waits before the call until it is released, some seconds at most */
};

/* Every member is read and written atomically. */
struct FaultPlan {
  int32_t armed;        /* calls count only while it is 1 */
  int32_t action;       /* enum FaultAction */
  int32_t error;        /* an errno */
  int32_t held;         /* 1: a thread waits (kFaultHold); set to 0 by the test it goes on */
  int64_t at;           /* which call, from 1 */
  int64_t calls;        /* made since armed, in all threads */
  int64_t wall_shift_s; /* added to what CLOCK_REALTIME says; at once, armed or not */
  char fired[48];       /* the call that was hit; "" while none was */
};
