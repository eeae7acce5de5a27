// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/whole_limits.h"

#include <algorithm>

namespace cellrun::cells {

bool WholeLimits::Has(std::string_view layer) const {
  return std::find(layers.begin(), layers.end(), layer) != layers.end();
}

const policy::Placed<std::string>* WholeLimits::Unmet(const policy::Profile& profile) const {
  const auto required = std::find_if(
      profile.require.begin(), profile.require.end(),
      [this](const policy::Placed<std::string>& layer) { return missing.contains(layer.value); });
  return required == profile.require.end() ? nullptr : &*required;
}

}  // namespace cellrun::cells
