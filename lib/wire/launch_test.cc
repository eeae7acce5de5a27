// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace cellrun::wire {
namespace {

using testing::HasSubstr;

std::string Problem(std::string_view text) {
  const Result<nlohmann::json> parsed = ParseStrictJson(text);
  return parsed.ok() ? "" : parsed.error().context();
}

TEST(ParseStrictJsonTest, RefusesDuplicatesAtAnyDepth) {
  EXPECT_EQ(Problem(R"({"a":1,"b":{"c":1}})"), "");
  EXPECT_EQ(Problem(R"({"a":1,"a":2})"), "duplicate member a");
  EXPECT_EQ(Problem(R"([{"b":{"c":1,"d":2,"c":1}}])"), "duplicate member c");
}

TEST(ParseStrictJsonTest, RefusesDepthOverSixtyFourWithoutRecursion) {
  EXPECT_EQ(Problem(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_EQ(Problem(std::string(65, '[') + std::string(65, ']')), "nested deeper than 64");
  EXPECT_EQ(Problem(std::string(1'000'000, '[')), "nested deeper than 64");
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += R"({"a":)";
  EXPECT_EQ(Problem(objects), "nested deeper than 64");
}

TEST(ParseStrictJsonTest, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", "{]", "nul", "{\"a\":1}x", "{\"a\":\"\xff\"}", "[1,]",
                           "\"\x01\"", "{'a':1}", "[1e999999]"}) {
    EXPECT_NE(Problem(text), "") << text;
  }
}

TEST(ParseStrictJsonTest, SurvivesRandomBytes) {
  std::mt19937 random(7);
  const std::string pieces = R"({}[]":,\u0123456789truefalsnE+-. )";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto length = random() % 40; length > 0; --length)
      text += pieces[random() % pieces.size()];
    (void)ParseStrictJson(text);
  }
}

RunRequest SomeRequest() {
  RunRequest request;
  request.name = "brave-otter";
  request.profile = "strict";
  request.documents = {{"strict", "/p/strict.yaml", "cellrun: 1\n", policy::Layer::kProfile},
                       {"", "/w/.cellrun.yaml", std::string("a\0b", 3), policy::Layer::kWorkspace}};
  request.workspace = "/home/u/p\xff";
  request.working_directory = "/home/u/p\xff/src";
  request.home = "/home/u";
  request.user = "u";
  request.argv = {"sh", "-c", "", "\xfe\x80"};
  request.environment = {"A=1", "B="};
  request.set_environment = {{"K", "v\x80"}, {"L", ""}};
  request.read = {"/etc/x"};
  request.write = {"/srv/y"};
  request.publish = {"3000", "127.0.0.2:8080:80"};
  request.network = {"example.com:443", "host"};
  request.observe = true;
  request.time_limit = std::chrono::milliseconds(1500);
  request.streams[0] = Stream::kGiven;
  request.streams[1] = Stream::kTerminal;
  request.rows = 50;
  request.columns = 200;
  request.term = "xterm";
  return request;
}

TEST(RunRequestTest, SurvivesTheTrip) {
  const RunRequest sent = SomeRequest();
  const Result<nlohmann::json> json = ParseStrictJson(Encode(sent));
  ASSERT_TRUE(json.ok());
  Result<RunRequest> got = DecodeRunRequest(*json);
  ASSERT_TRUE(got.ok()) << got.error().ToString();
  ASSERT_TRUE(UnpackArguments(PackArguments(sent), *got).ok());
  ASSERT_TRUE(UnpackDocuments(PackDocuments(sent.documents), got->documents).ok());
  EXPECT_EQ(got->name, sent.name);
  EXPECT_EQ(got->workspace, sent.workspace);
  EXPECT_EQ(got->working_directory, sent.working_directory);
  EXPECT_EQ(got->argv, sent.argv);
  EXPECT_EQ(got->environment, sent.environment);
  EXPECT_EQ(got->set_environment, sent.set_environment);
  EXPECT_EQ(got->read, sent.read);
  EXPECT_EQ(got->write, sent.write);
  EXPECT_EQ(got->publish, sent.publish);
  EXPECT_EQ(got->network, sent.network);
  EXPECT_TRUE(got->observe);
  EXPECT_EQ(got->time_limit, sent.time_limit);
  EXPECT_EQ(got->streams[0], Stream::kGiven);
  EXPECT_EQ(got->streams[1], Stream::kTerminal);
  EXPECT_EQ(got->streams[2], Stream::kNull);
  EXPECT_EQ(got->columns, 200);
  ASSERT_EQ(got->documents.size(), 2U);
  EXPECT_EQ(got->documents[1].text, sent.documents[1].text);
  EXPECT_EQ(got->documents[1].layer, policy::Layer::kWorkspace);
}

// Every member, left out, of a wrong type, or beside an unknown one.
TEST(RunRequestTest, NamesTheMemberThatIsWrong) {
  const nlohmann::json good = nlohmann::json::parse(Encode(SomeRequest()));
  for (const auto& item : good.items()) {
    nlohmann::json bad = good;
    bad.erase(item.key());
    Result<RunRequest> got = DecodeRunRequest(bad);
    ASSERT_FALSE(got.ok()) << item.key();
    EXPECT_EQ(got.error().context(), "run." + item.key() + ": is missing");
    bad = good;
    bad[item.key()] = nlohmann::json::array({1.5});
    got = DecodeRunRequest(bad);
    ASSERT_FALSE(got.ok()) << item.key();
    EXPECT_THAT(got.error().context(), HasSubstr("run." + item.key()));
  }
  nlohmann::json bad = good;
  bad["extra"] = 1;
  EXPECT_EQ(DecodeRunRequest(bad).error().context(), "run: unknown member extra");
  bad = good;
  bad["streams"].push_back({{"is", "null"}});
  EXPECT_EQ(DecodeRunRequest(bad).error().context(), "run.streams: are not three");
  bad = good;
  bad["arguments"] = 0;
  EXPECT_EQ(DecodeRunRequest(bad).error().context(), "run.arguments: is out of range");
  bad = good;
  bad["documents"][0]["layer"] = "mine";
  EXPECT_EQ(DecodeRunRequest(bad).error().context(),
            "run.documents[0].layer: is not one of the known values");
}

TEST(CellPlanTest, SurvivesTheTrip) {
  CellPlan sent;
  sent.id = "0123";
  sent.name = "n";
  sent.hostname = "cell";
  sent.inside_uid = 1000;
  sent.host_uid = 2080374784;
  for (int kind = 0; kind <= static_cast<int>(MountKind::kPin); ++kind) {
    MountStep& step = sent.mounts.emplace_back();
    step.kind = static_cast<MountKind>(kind);
    step.to = "/to\xff";
    step.purpose = "why";
    step.mode = 01777;
    step.bytes = 1ULL << 40;
    step.read_only = kind % 2 == 0;
    step.id_map = step.optional = step.devices = step.no_exec = !step.read_only;
  }
  sent.landlock = {{"/usr", true, false}};
  sent.limits = {{.resource = 7, .soft = UINT64_MAX, .hard = UINT64_MAX, .name = "files"}};
  sent.warnings = {"limits.files: cut"};
  sent.time_limit = std::chrono::hours(8);
  sent.namespaces = 256;
  sent.cgroup = "/sys/fs/cgroup/x";
  const Result<CellPlan> got = DecodePlan(EncodePlan(sent));
  ASSERT_TRUE(got.ok()) << got.error().ToString();
  EXPECT_EQ(EncodePlan(*got), EncodePlan(sent));
  ASSERT_EQ(got->mounts.size(), sent.mounts.size());
  for (std::size_t i = 0; i < sent.mounts.size(); ++i) {
    EXPECT_EQ(got->mounts[i].kind, sent.mounts[i].kind);
    EXPECT_EQ(got->mounts[i].to, sent.mounts[i].to);
    EXPECT_EQ(got->mounts[i].mode, sent.mounts[i].mode);
    EXPECT_EQ(got->mounts[i].bytes, sent.mounts[i].bytes);
    EXPECT_EQ(got->mounts[i].read_only, sent.mounts[i].read_only);
    EXPECT_EQ(got->mounts[i].id_map, sent.mounts[i].id_map);
  }
  EXPECT_EQ(got->limits[0].hard, UINT64_MAX);
  EXPECT_EQ(got->host_uid, sent.host_uid);
  EXPECT_EQ(got->time_limit, sent.time_limit);
  EXPECT_EQ(got->warnings, sent.warnings);
  EXPECT_EQ(got->namespaces, sent.namespaces);
  EXPECT_EQ(got->cgroup, sent.cgroup);
}

// A mount for each of many hidden names is more than a packet holds.
TEST(CellPlanTest, TravelsInAMemoryFileWhereItIsLong) {
  auto [ours, theirs] = sys::SocketPair(SOCK_SEQPACKET).value();
  for (const int mounts : {3, 5000}) {
    CellPlan plan;
    for (int i = 0; i < mounts; ++i)
      plan.mounts.emplace_back().to = "/home/u/p/packages/" + std::to_string(i) + "/.env";
    const std::string text = EncodePlan(plan);
    ASSERT_TRUE(SendPlan(ours, text).ok());
    const sys::Message message = sys::ReceiveMessage(theirs, kMaxLaunchBytes).value();
    EXPECT_TRUE(IsPlan(message.bytes));
    EXPECT_EQ(message.fds.size(), mounts == 3 ? 0U : 1U);
    const Result<CellPlan> got = TakePlan(message);
    ASSERT_TRUE(got.ok()) << got.error().ToString();
    EXPECT_EQ(EncodePlan(*got), text);
  }
  EXPECT_EQ(SendPlan(ours, std::string(kMaxPlanBytes + 1, 'x')).error().code(), E2BIG);
}

TEST(CellPlanTest, RefusesARelativeTarget) {
  CellPlan plan;
  plan.mounts.emplace_back().to = "etc";
  EXPECT_EQ(DecodePlan(EncodePlan(plan)).error().context(), "plan.mounts[0].to: is not absolute");
}

TEST(CellPlanTest, RefusesWhatIsCutShortOrGoesOn) {
  CellPlan plan;
  plan.id = "0123";
  plan.mounts.emplace_back().to = "/etc";
  plan.landlock = {{"/usr", true, false}};
  plan.layers = {"userns"};
  const std::string whole = EncodePlan(plan);
  ASSERT_TRUE(DecodePlan(whole).ok());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(DecodePlan(std::string_view(whole).substr(0, size)).ok()) << size;
  EXPECT_THAT(DecodePlan(whole + '\0').error().context(), HasSubstr("something follows the end"));
}

TEST(CellPlanTest, RefusesValuesThatCannotBe) {
  CellPlan plan;
  plan.mounts.emplace_back().to = "/etc";
  plan.mounts[0].kind = static_cast<MountKind>(static_cast<int>(MountKind::kPin) + 1);
  EXPECT_THAT(DecodePlan(EncodePlan(plan)).error().context(), HasSubstr("known values"));
  plan.mounts[0].kind = MountKind::kPin;
  plan.mounts[0].mode = 010000;
  EXPECT_THAT(DecodePlan(EncodePlan(plan)).error().context(), HasSubstr("mode"));
  plan.mounts[0].mode = 0755;
  plan.time_limit = std::chrono::milliseconds(-1);
  EXPECT_THAT(DecodePlan(EncodePlan(plan)).error().context(), HasSubstr("time_limit"));
  plan.time_limit = std::chrono::milliseconds(0);
  plan.host_uid = UINT32_MAX;
  EXPECT_THAT(DecodePlan(EncodePlan(plan)).error().context(), HasSubstr("id"));
  // A count that promises more than there is must not be believed.
  std::string huge = EncodePlan(CellPlan());
  const std::size_t mounts = huge.find('\0') + 1 + 4 * 4 + 4 * 4;
  huge.replace(mounts, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(DecodePlan(huge).error().context(), HasSubstr("cut short"));
}

TEST(ExitReportTest, SurvivesTheTrip) {
  ExitReport sent;
  sent.started = true;
  sent.wait_status = 0x7f00;
  sent.lost = "lost\xff";
  sent.denied = UINT64_MAX;
  sent.denials = {"{}"};
  const Result<ExitReport> got = DecodeExitReport(nlohmann::json::parse(Encode(sent)));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->wait_status, sent.wait_status);
  EXPECT_EQ(got->lost, sent.lost);
  EXPECT_EQ(got->denied, UINT64_MAX);
  EXPECT_EQ(got->denials, sent.denials);
}

TEST(SmallMessagesTest, SurviveTheTrip) {
  const Result<Hello> hello = DecodeHello(nlohmann::json::parse(Encode(Hello{"0.1.0", "abc", 12})));
  ASSERT_TRUE(hello.ok());
  EXPECT_EQ(hello->version, "0.1.0");
  EXPECT_EQ(hello->pid, 12);
  EXPECT_EQ(DecodeSignal(nlohmann::json::parse(EncodeSignal(15))).value(), 15);
  EXPECT_FALSE(DecodeSignal(nlohmann::json::parse(EncodeSignal(0))).ok());
  EXPECT_EQ(DecodeNeed(nlohmann::json::parse(EncodeNeed({"base"}))).value(),
            std::vector<std::string>{"base"});
  EXPECT_EQ(DecodeResize(nlohmann::json::parse(Encode(Resize{1, 2})))->columns, 2);
  const Result<Started> started =
      DecodeStarted(nlohmann::json::parse(Encode(Started{3, {"landlock"}})));
  EXPECT_EQ(started->lost_layers, std::vector<std::string>{"landlock"});
  const Result<Refusal> refusal =
      DecodeRefusal(nlohmann::json::parse(Encode(Refusal{125, "w", "c", "s"})));
  EXPECT_EQ(refusal->suggest, "s");
  EXPECT_EQ(MessageType(nlohmann::json::parse(EncodeTerminal())).value(), "terminal");
  EXPECT_FALSE(MessageType(nlohmann::json::parse("[]")).ok());
}

TEST(PackStringsTest, KeepsBoundariesAndRefusesWrongCounts) {
  const std::vector<std::string> strings = {"a", "", "b c"};
  EXPECT_EQ(UnpackStrings(PackStrings(strings), 3).value(), strings);
  EXPECT_FALSE(UnpackStrings(PackStrings(strings), 2).ok());
  EXPECT_FALSE(UnpackStrings(PackStrings(strings), 4).ok());
  EXPECT_FALSE(UnpackStrings("a", 1).ok()) << "no NUL";
  EXPECT_FALSE(UnpackStrings("", SIZE_MAX).ok());
  EXPECT_EQ(UnpackStrings("", 0)->size(), 0U);
}

TEST(PackDocumentsTest, RefusesCutAndOverlongBlocks) {
  std::vector<policy::Source> documents = {{"a", "a", "text", policy::Layer::kProfile},
                                           {"b", "b", "", policy::Layer::kProfile}};
  const std::string block = PackDocuments(documents);
  EXPECT_TRUE(UnpackDocuments(block, documents).ok());
  for (std::size_t bytes = 0; bytes < block.size(); ++bytes) {
    EXPECT_FALSE(UnpackDocuments(block.substr(0, bytes), documents).ok()) << bytes;
  }
  EXPECT_FALSE(UnpackDocuments(block + "x", documents).ok());
}

}  // namespace
}  // namespace cellrun::wire
