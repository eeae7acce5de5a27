// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "broker/exec/image.h"
#include "broker/exec/resolve.h"
#include "lib/base/result.h"
#include "lib/policy/request.h"

namespace cellrun::exec {

// Everything that one execve would run, found out before it runs.
struct Chain {
  // As policy::ExecRequest wants it: what was named (of a loader: its payload), then interpreters
  // or the loader. `files` go with `images`.
  std::vector<policy::ExecImage> images;
  std::vector<File> files;
  // What the kernel will have made of it: the image of the process, and its arguments.
  std::size_t final_image = 0;
  std::vector<std::string> final_argv;
  // Where in final_argv the scripts of the chain are named: the file itself first.
  std::vector<std::size_t> script_arguments;
  // What rules look at: the payload's arguments where a loader runs one, else as given.
  std::vector<std::string> judged_argv;
  std::string refused;  // not empty: no rule can allow this; why
};

struct ChainRequest {
  Lookup lookup;
  // What the kernel calls the file: the path as given, or /dev/fd/N[/path] for a descriptor.
  std::string name;
  const std::vector<std::string>& argv;
};

// Unwraps scripts, as often as the kernel would, and dynamic loaders. The error is the errno that
// the kernel would give: ENOENT (also for a missing interpreter), EACCES, ELOOP (too many), ….
// `named` is what request.lookup resolved to.
Result<Chain> Unwrap(const Resolver& resolver, ImageInspector& inspector, ChainRequest request,
                     File named);

}  // namespace cellrun::exec
