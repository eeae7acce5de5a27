// SPDX-License-Identifier: Apache-2.0
// What is recorded, how it is asked for, and that tampering shows.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class JournalTest : public Sandbox {
 protected:
  Options NoId() {
    profile_ = WriteProfile(
        "cellrun: 1\nname: tested\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
        "    - name: no-id\n      when: {exe: id}\n      then: deny\n");
    return {.profile = profile_, .flags = {"--name", "watched"}};
  }
  std::string profile_;
};

TEST_F(JournalTest, RecordsTheCellEachExecAndTheEnd) {
  Shell("ls / >/dev/null; id; exit 3", NoId());
  const auto records = History();
  ASSERT_GE(records.size(), 5U);
  EXPECT_EQ(records.front().value("kind", ""), "cell");
  EXPECT_EQ(records.back().value("kind", ""), "cell");
  EXPECT_FALSE(records.front()["layers"].empty()) << records.front().dump();
  std::vector<std::string> seen;
  std::int64_t last = 0;
  for (const auto& record : records) {
    EXPECT_GT(record.value("seq", std::int64_t{0}), last) << "in order";
    last = record.value("seq", std::int64_t{0});
    EXPECT_EQ(record["hash"].get<std::string>().size(), 64U);
    if (record.value("kind", "") == "exec") {
      seen.push_back(std::filesystem::path(record.value("exe", "")).filename().string() + " " +
                     record.value("verdict", "") + " " + record.value("result", ""));
    }
  }
  EXPECT_THAT(seen, testing::ElementsAre("bash allow ran", "ls allow ran", "id deny denied"));
  for (std::size_t i = 1; i < records.size(); ++i) {
    if (records[i].value("seq", 0) != records[i - 1].value("seq", 0) + 1) continue;  // folded
    EXPECT_EQ(records[i]["prev"], records[i - 1]["hash"]) << "each names the one before";
  }
}

TEST_F(JournalTest, FiltersByKindVerdictProgramAndText) {
  Shell("ls / >/dev/null; id; cat /dev/null", NoId());
  EXPECT_EQ(History({"--verdict", "deny"}).size(), 1U);
  EXPECT_EQ(History({"--exe", "ls"}).size(), 1U);
  EXPECT_EQ(History({"--kind", "exec"}).size(), 4U);
  EXPECT_EQ(History({"--kind", "exec", "--limit", "2"}).size(), 2U);
  EXPECT_EQ(History({"watched", "--kind", "exec"}).size(), 4U);
  EXPECT_EQ(History({"--since", "2099-01-01T00:00:00Z"}).size(), 0U);
  EXPECT_GE(History({"--since", "5m"}).size(), 6U);
  const Outcome nobody = Cellrun({"history", "no-such-cell"});
  EXPECT_NE(nobody.status, 0);
  EXPECT_THAT(nobody.err, HasSubstr("no-such-cell"));
}

TEST_F(JournalTest, IsReadableWithoutABroker) {
  Shell("id", NoId());
  EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0);
  EXPECT_EQ(History({"--verdict", "deny"}).size(), 1U);
  EXPECT_EQ(BrokerPid(), 0) << "reading starts none";
}

TEST_F(JournalTest, FollowsWhatIsAdded) {
  Shell("true", NoId());
  Process follow(CellrunCommand({"history", "-f", "-o", "jsonl", "--kind", "exec"}));
  ASSERT_TRUE(follow.WaitForOutput("\"argv\"")) << follow.err();
  Options second = NoId();
  second.flags = {"--name", "second"};
  Shell("id extra-word-to-look-for", second);
  EXPECT_TRUE(follow.WaitForOutput("extra-word-to-look-for"));
  follow.Signal(SIGINT);
  follow.Wait();
}

TEST_F(JournalTest, WhyExplainsARecordWithFileAndLine) {
  Shell("id", NoId());
  const auto denied = History({"--verdict", "deny"});
  ASSERT_EQ(denied.size(), 1U);
  const Outcome why = Cellrun({"why", std::to_string(denied[0].value("seq", 0))});
  EXPECT_EQ(why.status, 1) << "denied: " << why;
  const std::string place = std::filesystem::path(profile_).filename().string() + ":7";
  EXPECT_THAT(why.out, AllOf(HasSubstr("no-id"), HasSubstr(place), HasSubstr("allow")));
  EXPECT_EQ(Cellrun({"why", "999999"}).status, 1);
}

TEST_F(JournalTest, WhyTellsAboutACommandWithoutRunningIt) {
  const Options options = NoId();
  const Outcome denied = Cellrun({"why", "--profile", profile_, "--", "id", "-u"});
  EXPECT_EQ(denied.status, 1) << denied;
  EXPECT_THAT(denied.out, HasSubstr("no-id"));
  const Outcome allowed = Cellrun({"why", "--profile", profile_, "--", "touch", "made"});
  EXPECT_EQ(allowed.status, 0) << allowed;
  EXPECT_FALSE(Exists(Work("made")));
}

TEST_F(JournalTest, WhyTellsAboutAConnection) {
  profile_ = WriteProfile(
      "cellrun: 1\nname: tested\nextends: [base]\nnetwork:\n  default: deny\n  rules:\n"
      "    - {name: git, to: \"*.example.com\", ports: [443], then: ask}\n");
  const auto why = [&](const std::string& destination) {
    return Cellrun({"why", "--profile", profile_, "--", "connect", destination});
  };
  const Outcome asked = why("git.example.com:443");
  EXPECT_EQ(asked.status, 1) << asked;
  EXPECT_THAT(asked.out, AllOf(HasSubstr("ask by"), HasSubstr("\"git\""), HasSubstr("decides"),
                               HasSubstr("judged again when it connects")));
  const Outcome port = why("git.example.com:22");
  EXPECT_THAT(port.out, AllOf(HasSubstr("deny by"), HasSubstr("ports: 22 is not among them"),
                              HasSubstr("- {to: git.example.com, ports: [22], then: allow}")));
  EXPECT_THAT(why("git.example.com:443/udp").out, HasSubstr("proto: udp, then: allow"));
  EXPECT_THAT(why("169.254.169.254:80").out, HasSubstr("deny by"));
  EXPECT_THAT(why("host:5432").out, HasSubstr("- {to: host, ports: [5432], then: allow}"));
  EXPECT_THAT(why("127.0.0.1:80").out, HasSubstr("the cell's own loopback"));
  EXPECT_THAT(why("web.host.cell:80").out, HasSubstr("{to: host.cell/web, ports: [80]"));
  // An address that carries another one is judged by that.
  EXPECT_THAT(why("[64:ff9b::a09:807]:80").out, HasSubstr("{to: \"10.9.8.7\", ports: [80]"));
  for (const char* no_destination :
       {"git.example.com", "git.example.com:0", "git.example.com:x", "https://git.example.com/"}) {
    const Outcome wrong = why(no_destination);
    EXPECT_EQ(wrong.status, 2) << wrong;
    EXPECT_THAT(wrong.err, HasSubstr("HOST:PORT is expected")) << wrong;
  }
}

TEST_F(JournalTest, VerifiesAndNamesTheFirstBadRecord) {
  Shell("ls / >/dev/null; id; cat /dev/null", NoId());
  EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0);
  const Outcome good = Cellrun({"audit", "verify"});
  EXPECT_EQ(good.status, 0) << good;
  const auto records = History();
  ASSERT_GE(records.size(), 4U);

  // One byte of one record, changed behind the journal's back.
  Write(
      Path("tamper.py"),
      "import sqlite3, sys\n"
      "db = sqlite3.connect(sys.argv[1])\n"
      "tables = [r[0] for r in db.execute(\"select name from sqlite_master where type='table'\")]\n"
      "for table in tables:\n"
      "    columns = [r[1] for r in db.execute('pragma table_info(%s)' % table)]\n"
      "    for column in columns:\n"
      "        for op in ('replace(cast(%s as text), \"/usr/bin/ls\", \"/usr/bin/lz\")',):\n"
      "            try:\n"
      "                db.execute('update %s set %s = %s where instr(cast(%s as text), "
      "\"/usr/bin/ls\") > 0'\n"
      "                           % (table, column, op % column, column))\n"
      "            except sqlite3.Error: pass\n"
      "changed = db.total_changes; db.commit(); print(changed)\n");
  const Outcome tampered = Bare({"python3", Path("tamper.py"), Path("state/journal.db")});
  ASSERT_EQ(tampered.status, 0) << tampered;
  ASSERT_NE(tampered.out, "0\n") << "nothing was changed: " << tampered;
  const Outcome bad = Cellrun({"audit", "verify"});
  EXPECT_EQ(bad.status, 1) << bad;
  std::string seq;
  for (const auto& record : records) {
    if (record.value("exe", "") == "/usr/bin/ls") seq = std::to_string(record.value("seq", 0));
  }
  EXPECT_THAT(bad.out + bad.err, HasSubstr(seq));
}

TEST_F(JournalTest, ACutTailShowsAgainstAHeadKeptElsewhere) {
  Shell("id; ls / >/dev/null", NoId());
  EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0);
  const auto records = History();
  const std::string head =
      std::to_string(records.back().value("seq", 0)) + ":" + records.back().value("hash", "");
  EXPECT_EQ(Cellrun({"audit", "verify", "--head", head}).status, 0);
  EXPECT_EQ(Cellrun({"audit", "verify", "--head", "1:" + std::string(64, '0')}).status, 1);
}

TEST_F(JournalTest, ExportsEveryRecord) {
  Shell("id", NoId());
  const Outcome lines = Cellrun({"audit", "export"});
  EXPECT_EQ(lines.status, 0) << lines;
  EXPECT_GE(std::count(lines.out.begin(), lines.out.end(), '\n'), 4);
  const Outcome ocsf = Cellrun({"audit", "export", "--format", "ocsf"});
  EXPECT_EQ(ocsf.status, 0) << ocsf;
  EXPECT_THAT(ocsf.out, HasSubstr("class_uid"));
}

TEST_F(JournalTest, RedactsWhatLooksLikeASecret) {
  Shell("true --password hunter2 --token=hunter3 https://me:hunter4@example.com/", NoId());
  Run({"true", "--password", "hunter2", "--token=hunter3", "https://me:hunter4@example.com/"},
      NoId());
  const Outcome outcome = Cellrun({"history", "-o", "jsonl", "--exe", "true"});
  EXPECT_THAT(outcome.out, AllOf(Not(HasSubstr("hunter2")), Not(HasSubstr("hunter3")),
                                 Not(HasSubstr("hunter4")), HasSubstr("--password")));
}

TEST_F(JournalTest, TablesEscapeWhatCellsWrote) {
  Run({"bash", "-c", "true 'a\x1b[2Jb'", "\xe2\x80\xae"}, NoId());
  const Outcome table = Cellrun({"history", "--color", "always"});
  EXPECT_THAT(table.out, AllOf(Not(HasSubstr("\x1b[2J")), Not(HasSubstr("\xe2\x80\xae"))));
}

TEST_F(JournalTest, ObserveDeniesNothingAndSaysWhatWouldHaveBeen) {
  Options options = NoId();
  options.flags.emplace_back("--observe");
  const Outcome outcome = Shell("id -u", options);
  EXPECT_EQ(outcome.status, 0) << outcome;
  const auto records = History({"--exe", "id"});
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].value("verdict", ""), "allow");
  EXPECT_EQ(records[0].value("observed", ""), "deny");
  EXPECT_EQ(records[0]["rule"].value("name", ""), "no-id");
}

TEST_F(JournalTest, ReportCountsAndLists) {
  Options options = NoId();
  const std::string report = Path("report.json");
  options.flags.insert(options.flags.end(), {"--report", report});
  Write(Work("old"), "1");
  Write(Work("gone"), "1");
  Shell(
      "id; echo 22 > old; rm gone; mkdir sub; echo x > sub/new; printf '#!/bin/sh\\n' > hook; "
      "chmod +x hook; exit 3",
      options);
  const json object = json::parse(Read(report), nullptr, false);
  ASSERT_TRUE(object.is_object()) << Read(report);
  EXPECT_EQ(object["exit"], 3) << object.dump(2);
  EXPECT_EQ(object["verdicts"]["deny"], 1);
  EXPECT_GE(object["verdicts"]["allow"], 4);
  EXPECT_EQ(object["verdicts"]["ask"], 0);
  ASSERT_EQ(object["denials"].size(), 1U);
  EXPECT_EQ(object["denials"][0]["rule"]["name"], "no-id");
  const std::string changed = object["changed"].dump();
  EXPECT_THAT(changed,
              AllOf(HasSubstr("old"), HasSubstr("gone"), HasSubstr("sub/new"), HasSubstr("hook")));
  EXPECT_GT(object["seconds"], 0);
  EXPECT_FALSE(object["layers"].empty());
  EXPECT_TRUE(object["quarantined"].empty());
}

TEST_F(JournalTest, CountsEveryExecOfABusyCell) {
  Shell("for i in $(seq 300); do /bin/true; done", NoId());
  EXPECT_EQ(History({"--exe", "true"}).size(), 300U);
  EXPECT_EQ(Cellrun({"audit", "verify"}).status, 0);
}

}  // namespace
}  // namespace cellrun::test
