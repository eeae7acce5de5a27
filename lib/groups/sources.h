// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/groups/host_groups.h"

// The URLs of package sources that one package manager uses on a host.
namespace cellrun::groups {

using Urls = std::vector<std::string>;

Urls AptUrls(const Host& host);
Urls NpmUrls(const Host& host);
Urls PipUrls(const Host& host);
Urls CargoUrls(const Host& host);
Urls GoUrls(const Host& host);

}  // namespace cellrun::groups
