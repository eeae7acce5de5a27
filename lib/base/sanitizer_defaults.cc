// SPDX-License-Identifier: Apache-2.0
// Part of programs that are built with a sanitizer. The search for leaks has the process traced,
// which nobody may inside a cell: it is on where the environment says so, and a process in a cell
// has none.
extern "C" const char* __asan_default_options();   // NOLINT(bugprone-reserved-identifier): its name
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier)
  return "detect_leaks=0";
}
