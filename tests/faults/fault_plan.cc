// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/fault_plan.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace cellrun::test {

FaultMap::FaultMap(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  EXPECT_GE(fd, 0) << path;
  EXPECT_EQ(ftruncate(fd, sizeof(FaultPlan)), 0);
  void* mapped = mmap(nullptr, sizeof(FaultPlan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT_NE(mapped, MAP_FAILED);
  close(fd);
  plan_ = static_cast<FaultPlan*>(mapped);
}
FaultMap::~FaultMap() {
  munmap(plan_, sizeof(FaultPlan));
}

void FaultMap::Arm(FaultAction action, std::int64_t at, int error) {
  plan_->action = action;
  plan_->error = error;
  plan_->at = at;
  plan_->calls = 0;
  plan_->held = 0;
  std::memset(&plan_->fired[0], 0, sizeof plan_->fired);
  __atomic_store_n(&plan_->armed, 1, __ATOMIC_RELEASE);
}
std::int64_t FaultMap::Disarm() {
  __atomic_store_n(&plan_->armed, 0, __ATOMIC_RELEASE);
  return __atomic_load_n(&plan_->calls, __ATOMIC_ACQUIRE);
}
std::string FaultMap::fired() const {
  return {&plan_->fired[0], strnlen(&plan_->fired[0], sizeof plan_->fired)};
}
bool FaultMap::held() const {
  return __atomic_load_n(&plan_->held, __ATOMIC_ACQUIRE) != 0;
}
void FaultMap::Release() {
  __atomic_store_n(&plan_->held, 0, __ATOMIC_RELEASE);
}
void FaultMap::ShiftWallClock(std::int64_t seconds) {
  __atomic_store_n(&plan_->wall_shift_s, seconds, __ATOMIC_RELEASE);
}

}  // namespace cellrun::test
