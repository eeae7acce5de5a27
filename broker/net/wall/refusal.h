// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "bpf/egress_wall.h"
#include "broker/journal/record.h"

namespace cellrun::net {

// What the journal says of one refusal of the wall.
journal::Record RecordOf(const std::string& cell_id, const wall_refusal& refusal);
// Of refusals that came too fast to be recorded one by one.
journal::Record RecordOfMany(const std::string& cell_id, std::uint64_t count);

}  // namespace cellrun::net
