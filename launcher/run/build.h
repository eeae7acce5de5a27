// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun::launcher {

// Builds the cell that the broker, which has executed this program, wants for itself (see
// wire::kBuildWord), and stays as long as it does. The exit status of this process, for nobody.
int BuildForBroker();

}  // namespace cellrun::launcher
