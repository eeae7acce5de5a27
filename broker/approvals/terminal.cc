// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/terminal.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cstdint>
#include <sstream>

#include "lib/sys/file.h"

namespace cellrun::approvals {
namespace {

// Numbers of drivers (Documentation/admin-guide/devices.txt of the kernel).
constexpr unsigned kVirtualConsoles = 4, kFirstPts = 136, kLastPts = 143, kMinorsOfPts = 256;

}  // namespace

std::string TerminalFromStat(const std::string& stat) {
  // The command's name stands in parentheses and may contain anything.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream rest(stat.substr(name_end + 1));
  std::string state;
  std::int64_t parent = 0, group = 0, session = 0, terminal = 0;
  if (!(rest >> state >> parent >> group >> session >> terminal) || terminal == 0) return "";
  const auto device = static_cast<dev_t>(terminal);
  if (major(device) >= kFirstPts && major(device) <= kLastPts) {
    return "pts/" + std::to_string((major(device) - kFirstPts) * kMinorsOfPts + minor(device));
  }
  if (major(device) != kVirtualConsoles) {
    return "terminal " + std::to_string(major(device)) + ":" + std::to_string(minor(device));
  }
  constexpr unsigned kFirstSerial = 64;
  if (minor(device) >= kFirstSerial) return "ttyS" + std::to_string(minor(device) - kFirstSerial);
  return "tty" + std::to_string(minor(device));
}

std::string TerminalOf(pid_t pid) {
  const Result<std::string> stat =
      sys::ReadWholeFileAt(AT_FDCWD, ("/proc/" + std::to_string(pid) + "/stat").c_str(), 4096);
  return stat.ok() ? TerminalFromStat(*stat) : "";
}

}  // namespace cellrun::approvals
