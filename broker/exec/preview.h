// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

// An exec that a process of a cell could make, to be judged without making it.
struct PreviewOrder {
  std::shared_ptr<const policy::Policy> policy;
  pid_t init_pid = 0;  // of the cell; as pid in the broker's pid namespace
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // of that process
  uid_t host_uid = 0;
  gid_t host_gid = 0;
  uid_t inside_uid = 0;
  std::string user;
  std::string path;
  std::vector<std::string> argv;  // not empty
};

struct Preview {
  policy::ExecRequest request;
  policy::Verdict verdict;
  std::shared_ptr<const policy::Policy> policy;  // what the verdict points into
};

// As the process stands: its directory, its variables, its parent as the caller. May take long
// (files are looked into, and hashed where a rule wants that): not on the loop's thread. ESRCH: the
// process has gone; else the errno of the lookup.
Result<Preview> PreviewExec(PreviewOrder order);

}  // namespace cellrun::exec
