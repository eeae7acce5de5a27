// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/packed_ask.h"

#include "lib/base/packing.h"

namespace cellrun::approvals {

PackedAsk::PackedAsk(const Ask& ask) {
  Packer packer;
  packer(ask);
  std::string packed = packer.Take();
  packed.shrink_to_fit();
  bytes_ = std::make_shared<const std::string>(std::move(packed));
}

Ask PackedAsk::operator*() const {
  Ask ask;
  Unpacker unpacker(*bytes_);
  unpacker(ask);
  return ask;
}

}  // namespace cellrun::approvals
