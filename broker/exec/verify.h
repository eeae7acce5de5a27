// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/exec/image.h"
#include "broker/exec/tracee.h"
#include "broker/notify/remote_memory.h"
#include "lib/base/result.h"

namespace cellrun::exec {

// What must be true of a process in its exec stop: its image, arguments, environment and working
// directory are those that were judged, and it gained no rights. Nothing of it can change any more:
// the memory is private to the process, and its other threads are gone.
struct Expectation {
  FileVersion image;
  const std::vector<std::string>* argv = nullptr;  // as the kernel left it; null: not compared
  const std::vector<std::string>* env = nullptr;   // null: not compared
  // As the judgement read it, from the directory itself: what rules and records speak of is where
  // the process is, whatever is renamed meanwhile. Null: not compared.
  const std::string* working_directory = nullptr;
  // Of the working directory, where its name alone says little.
  std::optional<policy::FileId> directory_id = std::nullopt;
  std::string image_hash;  // not empty: the image is hashed again (nobody can write it now)
};

// An error is a mismatch, also when something cannot be looked at; its text says what.
Result<void> VerifyExec(const Tracee& tracee, const Expectation& expected,
                        notify::MemoryScratch& scratch);

}  // namespace cellrun::exec
