// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "broker/journal/temporary_journal.h"

namespace cellrun::journal {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

constexpr const char* kKey = "key";

json Encoded(Record record) {
  Entry entry;
  entry.seq = 5;
  entry.cuts = ApplyCaps(record, kKey);
  entry.record = std::move(record);
  const std::string text = Encode(entry, kKey);
  for (const char c : text) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << text;
  return json::parse(text);
}

TEST(EncodeTest, WritesTheFieldsOfARecord) {
  Record record = ExecRecord("/usr/bin/git");
  record.time = ParseTime("2024-05-06T07:08:09.123456Z").value();
  record.pid = 42;
  record.uid = 1000;
  record.chain = {"/usr/bin/env", "/bin/sh"};
  record.writable_images = 0b101;
  record.result = "ran";
  record.observed = "deny";
  record.reason = "because";
  const json object = Encoded(record);
  EXPECT_EQ(object["seq"], 5);
  EXPECT_EQ(object["time"], "2024-05-06T07:08:09.123456Z");
  EXPECT_EQ(object["cell"], "c1");
  EXPECT_EQ(object["kind"], "exec");
  EXPECT_EQ(object["pid"], 42);
  EXPECT_EQ(object["uid"], 1000);
  EXPECT_EQ(object["exe"], "/usr/bin/git");
  EXPECT_EQ(object["chain"], json({"/usr/bin/env", "/bin/sh"}));
  EXPECT_EQ(object["argv"], json({"/usr/bin/git", "argument"}));
  EXPECT_EQ(object["writable"], json({0, 2}));
  EXPECT_EQ(object["verdict"], "allow");
  EXPECT_EQ(object["strategy"], "in-place");
  EXPECT_EQ(object["observed"], "deny");
  EXPECT_EQ(object["rule"],
            json({{"name", "tools"}, {"layer", "profile"}, {"file", "strict.yaml"}, {"line", 7}}));
  EXPECT_EQ(object["reason"], "because");
  EXPECT_EQ(object["result"], "ran");
  EXPECT_FALSE(object.contains("cut"));
  EXPECT_FALSE(object.contains("redacted"));
}

TEST(EncodeTest, OneRecordIsOneLineWhateverItHolds) {
  Record record = ExecRecord("/bin/x");
  record.argv = {"x", "a\nb\r\x1b[31m\"\\\x7f", "\u2028\u202e\U0001f600", "‹ü"};
  const json object = Encoded(record);
  EXPECT_EQ(object["argv"][1], "a\nb\r\x1b[31m\"\\\x7f");
  EXPECT_EQ(object["argv"][2], "\u2028\u202e\U0001f600");
  EXPECT_EQ(object["argv"][3], "‹ü");
  EXPECT_FALSE(object.contains("escaped"));
}

TEST(EncodeTest, BytesThatAreNotUtf8AreEscapedAndSaidSo) {
  Record record = ExecRecord("/bin/\xff");
  record.argv = {"x", "\\x{ff}", "\xff\\"};
  record.rule.name = "\xc0";
  const json object = Encoded(record);
  EXPECT_EQ(object["exe"], "/bin/\\x{ff}");
  EXPECT_EQ(object["argv"], json({"x", "\\x{ff}", "\\x{ff}\\\\"}));
  EXPECT_EQ(object["escaped"], json({"path", "exe", "argv[2]", "rule.name"}));
}

TEST(EncodeTest, CutsWhatIsTooLongAndSaysSo) {
  Record record = ExecRecord("/bin/x");
  record.cwd = std::string(4095, 'a') + "ü" + std::string(100, 'b');
  record.reason = std::string(5000, 'r');
  record.argv.assign(300, "y");
  const json object = Encoded(record);
  EXPECT_EQ(object["cwd"], std::string(4095, 'a'));  // not in the middle of a character
  EXPECT_EQ(object["reason"].get<std::string>().size(), 4096U);
  EXPECT_EQ(object["argv"].size(), 256U);
  EXPECT_EQ(object["argv_count"], 300);
  EXPECT_EQ(object["argv_bytes"], 300);
  EXPECT_EQ(object["cut"], json({"cwd", "reason", "argv"}));
  EXPECT_EQ(object["argv_digest"], ArgvDigest(std::vector<std::string>(300, "y"), kKey));
}

TEST(EncodeTest, CutsOneLongArgument) {
  Record record = ExecRecord("/bin/x");
  record.argv = {"x", std::string(2 << 20, 'y'), "z"};
  const json object = Encoded(record);
  EXPECT_EQ(object["argv"].size(), 2U);
  EXPECT_EQ(object["argv"][1].get<std::string>().size(), kMaxArgvBytes - 1);
  EXPECT_EQ(object["argv_count"], 3);
}

TEST(EncodeTest, RedactsOnlyWhenAskedAndKeepsADigest) {
  Record record = ExecRecord("/bin/x");
  record.argv = {"x", "--password", "hunter2"};
  const json hidden = Encoded(record);
  EXPECT_EQ(hidden.dump().find("hunter2"), std::string::npos);
  EXPECT_EQ(hidden["argv"][2], "‹redacted›");
  EXPECT_EQ(hidden["redacted"], true);
  EXPECT_EQ(hidden["argv_digest"], ArgvDigest(record.argv, kKey));
  EXPECT_NE(hidden["argv_digest"], ArgvDigest(record.argv, "another"));
  record.redact = false;
  EXPECT_EQ(Encoded(record)["argv"][2], "hunter2");
}

TEST(EncodeTest, ArgumentBoundariesChangeTheDigest) {
  EXPECT_NE(ArgvDigest({"ab", "c"}, kKey), ArgvDigest({"a", "bc"}, kKey));
}

TEST(EncodeTest, DetailIsJsonIfItIsJson) {
  Record record;
  record.detail = R"({"b":1,"a":"ü"})";
  EXPECT_EQ(Encoded(record)["detail"], json({{"a", "ü"}, {"b", 1}}));
  record.detail = R"({"b":)";
  EXPECT_EQ(Encoded(record)["detail"], R"({"b":)");
  record.detail = std::string(30000, '[') + std::string(30000, ']');
  EXPECT_TRUE(Encoded(record)["detail"].is_string());
}

TEST(ParseTimeTest, ReadsWhatFormatTimeWrites) {
  for (const char* text : {"1970-01-01T00:00:00.000000Z", "2024-02-29T23:59:59.999999Z"}) {
    EXPECT_EQ(FormatTime(ParseTime(text).value()), text);
  }
  EXPECT_EQ(ParseTime("2024-05-06T07:08:09+02:00"), ParseTime("2024-05-06T05:08:09Z"));
  EXPECT_EQ(ParseTime("2024-05-06T07:08:09.5-01:30"), ParseTime("2024-05-06T08:38:09.500000Z"));
}

TEST(ParseTimeTest, RefusesWhatIsNoTime) {
  for (const char* text : {"", "now", "2024-05-06", "2024-05-06T07:08:09", "2024-13-06T07:08:09Z",
                           "2024-05-06T07:08:09Zx", "9999-05-06T07:08:09Z"}) {
    EXPECT_FALSE(ParseTime(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace cellrun::journal
