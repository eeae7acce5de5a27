// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/waiting_text.h"

namespace cellrun::rooms {
namespace {

std::string Duration(std::chrono::milliseconds left) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
  const auto hours = seconds / 3600, minutes = seconds / 60 % 60, rest = seconds % 60;
  std::string text;
  if (hours > 0) text += std::to_string(hours) + "h";
  if (minutes > 0) text += std::to_string(minutes) + "m";
  if (rest > 0 || text.empty()) text += std::to_string(rest) + "s";
  return text;
}

}  // namespace

std::string WaitingText(const std::string& id, std::chrono::milliseconds left) {
  return "cellrun: waiting for approval " + id + " (" + Duration(left) + ")\n" +
         "to answer, outside the cell: cellrun approve " + id + ", or cellrun deny " + id + "\n";
}

}  // namespace cellrun::rooms
