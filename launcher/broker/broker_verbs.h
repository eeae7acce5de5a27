// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

// `cellrun broker …` and `cellrun ps`. Each returns the exit status: 0 done, 1 failed (status: the
// broker does not run); errors are on stderr then. `output` is what -o said.
namespace cellrun::broker {

int Start();
// Refuses while cells run, unless `force`; returns when the broker has gone.
int Stop(bool force);
int Status(const std::string& output);
int Logs(bool follow);
int ListCells(const std::string& output, bool headers);

}  // namespace cellrun::broker
