// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/handover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace cellrun::cells {
namespace {

std::vector<UniqueFd> Descriptors(int count) {
  std::vector<UniqueFd> fds;
  for (int i = 0; i < count; ++i) fds.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return fds;
}

TEST(HandoverTest, RoundTrips) {
  std::vector<UniqueFd> fds = Descriptors(1);
  const int number = fds[0].get();
  const Result<Handover> handover = DecodeHandover(EncodeHandover("secret"), std::move(fds));
  ASSERT_TRUE(handover.ok()) << handover.error().ToString();
  EXPECT_EQ(handover->token, "secret");
  EXPECT_EQ(handover->listener.get(), number);
}

TEST(HandoverTest, TakesTheDescriptorThatIsNamed) {
  std::vector<UniqueFd> fds = Descriptors(2);
  const int second = fds[1].get();
  const Result<Handover> handover = DecodeHandover(
      R"({"ociVersion":"1.0.2","fds":["other","seccompFd"],"pid":7,"metadata":"t","state":{},"x":1})",
      std::move(fds));
  ASSERT_TRUE(handover.ok()) << handover.error().ToString();
  EXPECT_EQ(handover->listener.get(), second);
}

TEST(HandoverTest, RefusesWhatIsNotWhole) {
  for (const char* text : {
           "",
           "{",
           "[]",
           "null",
           "{}",
           R"({"ociVersion":"1.0.2","fds":["seccompFd"],"pid":1})",
           R"({"ociVersion":"1.0.2","fds":["seccompFd"],"pid":-1,"metadata":"t"})",
           R"({"ociVersion":"1.0.2","fds":["seccompFd"],"pid":"1","metadata":"t"})",
           R"({"ociVersion":"1.0.2","fds":["x"],"pid":1,"metadata":"t"})",
           R"({"ociVersion":"1.0.2","fds":["seccompFd","seccompFd"],"pid":1,"metadata":"t"})",
           R"({"ociVersion":"1.0.2","fds":"seccompFd","pid":1,"metadata":"t"})",
           R"({"ociVersion":"1.0.2","fds":["seccompFd"],"pid":1,"metadata":"t","metadata":"u"})",
           R"({"ociVersion":"1.0.2","fds":["seccompFd"],"pid":1,"metadata":["t"]})",
       }) {
    EXPECT_FALSE(DecodeHandover(text, Descriptors(1)).ok()) << text;
  }
  EXPECT_FALSE(DecodeHandover(EncodeHandover("t"), {}).ok());
  EXPECT_FALSE(DecodeHandover(std::string(kMaxHandoverBytes + 1, ' '), Descriptors(1)).ok());
}

}  // namespace
}  // namespace cellrun::cells
