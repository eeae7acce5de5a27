// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/source.h"

namespace cellrun::policy {

const char* LayerName(Layer layer) {
  switch (layer) {
    case Layer::kFloor:
      return "floor";
    case Layer::kRemembered:
      return "remembered";
    case Layer::kCommandLine:
      return "command line";
    case Layer::kWorkspace:
      return "workspace";
    case Layer::kProfile:
      return "profile";
    case Layer::kInherited:
      return "inherited";
  }
  return "unknown";
}

std::string Position::ToString() const {
  std::string text = file;
  if (line > 0) text += ":" + std::to_string(line);
  if (line > 0 && column > 0) text += ":" + std::to_string(column);
  return text;
}

}  // namespace cellrun::policy
