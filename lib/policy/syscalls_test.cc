// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/syscalls.h"

#include <gtest/gtest.h>

#include "lib/policy/document_fixture.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::Load;

TEST(OptInTest, IsClosedWithoutARule) {
  EXPECT_FALSE(AllowsOptIn(Load("name: x\n"), "ptrace"));
}

TEST(OptInTest, OpensWhatARuleNames) {
  const Profile profile = Load("syscalls: {rules: [{name: [ptrace, keyctl], then: allow}]}\n");
  EXPECT_TRUE(AllowsOptIn(profile, "ptrace"));
  EXPECT_TRUE(AllowsOptIn(profile, "keyctl"));
  EXPECT_FALSE(AllowsOptIn(profile, "perf"));
  EXPECT_FALSE(AllowsOptIn(profile, "mount"));
}

TEST(OptInTest, DenyOfACallClosesTheOptInThatStandsForIt) {
  const Profile profile =
      Load("syscalls: {rules: [{name: perf_event_open, then: deny}, {name: perf, then: allow}]}\n");
  EXPECT_FALSE(AllowsOptIn(profile, "perf"));
}

TEST(OptInTest, FloorCannotBeOpened) {
  const Profile profile =
      Load({Body("syscalls: {rules: [{name: ptrace, then: deny}]}\n", Layer::kFloor, "floor"),
            Body("syscalls: {rules: [{name: ptrace, then: allow}]}\n")});
  EXPECT_FALSE(AllowsOptIn(profile, "ptrace"));
}

TEST(OptInTest, FloorAllowDoesNotOpen) {
  const Source floor =
      Body("syscalls: {rules: [{name: ptrace, then: allow}]}\n", Layer::kFloor, "floor");
  EXPECT_FALSE(AllowsOptIn(Load({floor, Body("name: x\n")}), "ptrace"));
  const Source open = Body("syscalls: {rules: [{name: ptrace, then: allow}]}\n");
  EXPECT_TRUE(AllowsOptIn(Load({floor, open}), "ptrace"));
}

}  // namespace
}  // namespace cellrun::policy
