// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun::shim {

// PID 1 of a cell: carries out the orders that come on kControlFd, reaps, reports; ends, and the
// cell with it, when the last holder of that socket's other end has gone. Trusts the broker, and
// nothing in the cell: it is not dumpable, no process of the cell can trace it, read its memory or
// take its descriptors.
//
// Once it has installed the filter its own calls are filtered too, and the thread that would answer
// them may be waiting for init: it never executes and never connects.
[[noreturn]] void RunInit();

}  // namespace cellrun::shim
