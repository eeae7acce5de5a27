// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

extern "C" {
#include "tests/faults/plan.h"
}

namespace cellrun::test {

// The plan that a test and the fault library in its broker share.
class FaultMap {
 public:
  // Makes the file. Fails the running test when it cannot.
  explicit FaultMap(const std::string& path);
  ~FaultMap();
  FaultMap(const FaultMap&) = delete;
  FaultMap& operator=(const FaultMap&) = delete;

  // From now on calls are counted, from 1, and the `at`-th is answered by the action.
  void Arm(FaultAction action, std::int64_t at, int error = 0);
  void Count() { Arm(kFaultNone, 0); }
  // How many calls were made since.
  std::int64_t Disarm();
  [[nodiscard]] std::string fired() const;  // "" while no call was hit
  // Whether a thread of the broker waits before its call (kFaultHold), and lets it make it.
  [[nodiscard]] bool held() const;
  void Release();
  void ShiftWallClock(std::int64_t seconds);

 private:
  FaultPlan* plan_ = nullptr;
};

}  // namespace cellrun::test
