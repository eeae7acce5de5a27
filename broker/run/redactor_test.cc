// SPDX-License-Identifier: Apache-2.0
#include "broker/run/redactor.h"

#include <gmock/gmock.h>

namespace cellrun::run {
namespace {

std::string Through(const std::string& secret, const std::string& text, std::size_t piece) {
  Redactor redactor({secret});
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece)
    out += redactor.Take(text.substr(at, piece));
  return out + redactor.Finish();
}

TEST(RedactorTest, ReplacesASecretHoweverItIsCutUp) {
  const std::string text = "a s3cr3t-value, s3cr3t-valu, s3cr3t-values3cr3t-value";
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(Through("s3cr3t-value", text, piece), "a ***, s3cr3t-valu, ******") << piece;
}

TEST(RedactorTest, ASecretThatBeginsWithAnotherOneIsReplacedWhole) {
  const std::string text = "abcdefgh12345678, abcdefgh1234, abcdefgh";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    Redactor redactor({"abcdefgh", "abcdefgh12345678"});
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += piece)
      out += redactor.Take(text.substr(at, piece));
    EXPECT_EQ(out + redactor.Finish(), "***, ***1234, ***") << piece;
  }
}

TEST(RedactorTest, KnowsBase64AndPercentEncoding) {
  EXPECT_EQ(Through("p&ss word!", "q=p%26ss%20word%21", 3), "q=***");
  // base64 of "user:hunter22hunter22"
  const std::string out = Through("hunter22hunter22", "dXNlcjpodW50ZXIyMmh1bnRlcjIy", 5);
  EXPECT_THAT(out, testing::HasSubstr("***"));
  EXPECT_THAT(out, testing::Not(testing::HasSubstr("W50ZXIyMmh1bnRl")));
}

TEST(RedactorTest, ShortValuesAndOtherTextStay) {
  EXPECT_EQ(Through("abc", "abcabc", 1), "abcabc");
  EXPECT_EQ(Through("secret", "nothing here", 4), "nothing here");
}

TEST(RedactorTest, KeepsNothingBackThatCannotBeASecret) {
  Redactor redactor({"secret"});
  EXPECT_EQ(redactor.Take("prompt: "), "prompt: ");
  EXPECT_EQ(redactor.Take("sec"), "");
  EXPECT_EQ(redactor.Take("ond"), "second");
}

}  // namespace
}  // namespace cellrun::run
