// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/journal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "broker/journal/temporary_journal.h"
#include "lib/sys/file.h"
#include "tests/support/result_matchers.h"

namespace cellrun::journal {
namespace {

using std::chrono::milliseconds;
using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

std::vector<nlohmann::json> Parsed(const TemporaryState& state, const Filter& filter = {}) {
  std::vector<nlohmann::json> records;
  for (const std::string& text : state.Records(filter)) {
    records.push_back(nlohmann::json::parse(text));
  }
  return records;
}

policy::Source Document(const std::string& text) {
  policy::Source source;
  source.text = text;
  return source;
}

TEST(JournalTest, KeepsRecordsInOrderWithoutGaps) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    ASSERT_EQ(journal->Append(ExecRecord("/bin/" + std::to_string(i))), i);
  }
  ASSERT_THAT(journal->Flush(milliseconds(5000)), IsOk());
  EXPECT_EQ(journal->head().seq, 1000U);
  const auto records = Parsed(state);
  ASSERT_EQ(records.size(), 1000U);
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i]["seq"], i + 1);
    EXPECT_EQ(records[i]["exe"], "/bin/" + std::to_string(i + 1));
  }
  EXPECT_TRUE(state.Verify().intact);
  EXPECT_EQ(state.Verify().head.hash, journal->head().hash);
}

TEST(JournalTest, ContinuesTheChainAfterAReopen) {
  TemporaryState state;
  for (std::uint64_t round = 0; round < 3; ++round) {
    auto journal = OpenJournal(state);
    EXPECT_EQ(journal->head().seq, 10 * round);
    for (int i = 0; i < 10; ++i) EXPECT_NE(journal->Append(ExecRecord("/bin/x")), 0U);
    ASSERT_THAT(journal->Close(), IsOk());
  }
  EXPECT_TRUE(state.Verify().intact);
  EXPECT_EQ(state.Verify().records, 30U);
}

TEST(JournalTest, FilesAreForTheirOwnerOnly) {
  TemporaryState state;
  const std::string deep = state.directory() + "/a/b";
  auto journal = Journal::Open(deep).value();
  EXPECT_NE(journal->Append(ExecRecord("/bin/x")), 0U);
  ASSERT_THAT(journal->Flush(milliseconds(5000)), IsOk());
  for (const char* name :
       {"", "/journal.db", "/journal.db-wal", "/journal.db-shm", "/journal.lock"}) {
    struct stat info {};
    ASSERT_EQ(stat((deep + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 077U, 0U) << name;
  }
}

TEST(JournalTest, ASyncRecordIsOnDiskWhenAppendReturns) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  Record record = ExecRecord("/bin/x");
  record.sync = true;
  const std::uint64_t seq = journal->Append(std::move(record));
  EXPECT_EQ(journal->head().seq, seq);
  EXPECT_EQ(state.Records().size(), 1U);
}

TEST(JournalTest, AnEarlyResultBecomesPartOfTheRecord) {
  TemporaryState state;
  auto journal = OpenJournal(state, {.group_window = milliseconds(500)});
  const std::uint64_t seq = journal->Append(ExecRecord("/bin/x"));
  journal->SetResult(seq, "ran");
  ASSERT_THAT(journal->Close(), IsOk());
  const auto records = Parsed(state);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0]["result"], "ran");
}

TEST(JournalTest, ALateResultIsAFollowUpThatTheSameFiltersFind) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  Record record = ExecRecord("/bin/x", "c7");
  record.verdict = policy::Action::kDeny;
  const std::uint64_t seq = journal->Append(std::move(record));
  ASSERT_THAT(journal->Flush(milliseconds(5000)), IsOk());
  journal->SetResult(seq, "failed:ENOENT");
  journal->SetResult(0, "of a refused record");
  journal->SetResult(999, "of no record");
  ASSERT_THAT(journal->Close(), IsOk());
  const auto records = Parsed(state, {.cell = "c7", .kinds = {"exec"}, .verdicts = {"deny"}});
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1]["of"], seq);
  EXPECT_EQ(records[1]["result"], "failed:ENOENT");
  EXPECT_EQ(records[1]["exe"], "/bin/x");
  EXPECT_TRUE(state.Verify().intact);
  Reader reader = Reader::Open(state.database()).value();
  EXPECT_EQ(reader.FollowUp(seq).value()->seq, 2U);
}

TEST(JournalTest, ManyThreadsEachKeepTheirOrder) {
  TemporaryState state;
  constexpr int kThreads = 8;
  constexpr int kEach = 2000;
  auto journal = OpenJournal(state);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Record record = ExecRecord("/bin/x", "cell" + std::to_string(t));
        record.pid = i;
        const std::uint64_t seq = journal->Append(std::move(record));
        EXPECT_NE(seq, 0U);
        if (i % 3 == 0) journal->SetResult(seq, "ran");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_THAT(journal->Close(), IsOk());
  EXPECT_TRUE(state.Verify().intact);
  for (int t = 0; t < kThreads; ++t) {
    int expected = 0;
    for (const auto& record : Parsed(state, {.cell = "cell" + std::to_string(t)})) {
      if (record.contains("of")) continue;
      EXPECT_EQ(record["pid"], expected++);
    }
    EXPECT_EQ(expected, kEach);
  }
}

TEST(JournalTest, AFullQueueRefusesAndTheJournalSaysSo) {
  TemporaryState state;
  auto journal =
      OpenJournal(state, {.max_queued = 10, .group = 1000, .group_window = milliseconds(300)});
  int kept = 0;
  for (int i = 0; i < 15; ++i) kept += journal->Append(ExecRecord("/bin/x")) != 0 ? 1 : 0;
  EXPECT_EQ(kept, 10);
  EXPECT_FALSE(journal->Healthy());
  ASSERT_THAT(journal->Flush(milliseconds(5000)), IsOk());
  EXPECT_TRUE(journal->Healthy());
  ASSERT_THAT(journal->Close(), IsOk());
  const auto notes = Parsed(state, {.kinds = {"journal"}});
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0]["name"], "resumed");
  EXPECT_EQ(notes[0]["count"], 5);
}

TEST(JournalTest, AQueueFullOfBytesRefuses) {
  TemporaryState state;
  auto journal = OpenJournal(
      state, {.max_queued_bytes = 100'000, .group = 1000, .group_window = milliseconds(300)});
  Record record = ExecRecord("/bin/x");
  record.argv = {"x", std::string(30'000, 'y')};
  int kept = 0;
  for (int i = 0; i < 10; ++i) kept += journal->Append(record) != 0 ? 1 : 0;
  EXPECT_EQ(kept, 3);
}

TEST(JournalTest, RefusesAfterClose) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  ASSERT_THAT(journal->Close(), IsOk());
  EXPECT_EQ(journal->Append(ExecRecord("/bin/x")), 0U);
  EXPECT_FALSE(journal->Healthy());
  Record sync = ExecRecord("/bin/x");
  sync.sync = true;
  EXPECT_EQ(journal->Append(std::move(sync)), 0U);
}

TEST(JournalTest, ASecondWriterIsRefused) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  EXPECT_THAT(Journal::Open(state.directory()), FailsWith(EBUSY));
}

TEST(JournalTest, TellsSubscribersAfterEachCommit) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t seen = 0;
  auto subscription = journal->Subscribe([&](std::uint64_t seq) {
    const std::lock_guard lock(mutex);
    seen = seq;
    changed.notify_all();
  });
  EXPECT_EQ(journal->Append(ExecRecord("/bin/x")), 1U);
  {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return seen == 1; }));
  }
  EXPECT_EQ(state.Records().size(), 1U);
  subscription.reset();
  EXPECT_EQ(journal->Append(ExecRecord("/bin/x")), 2U);
  ASSERT_THAT(journal->Flush(milliseconds(5000)), IsOk());
  EXPECT_EQ(seen, 1U);
}

TEST(JournalTest, KeepsADocumentOnceAndNoLaterThanTheRecordAfterIt) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  const std::string digest = journal->KeepDocument(Document("rules: []")).value();
  EXPECT_EQ(journal->KeepDocument(Document("rules: []")).value(), digest);
  Record record = ExecRecord("/bin/x");
  record.sync = true;
  EXPECT_NE(journal->Append(std::move(record)), 0U);
  Reader reader = Reader::Open(state.database()).value();
  EXPECT_EQ(reader.Document(digest).value(), "rules: []");
  EXPECT_EQ(reader.Document("0").value(), std::nullopt);
}

// ---- What is wrong at start

TEST(JournalTest, RefusesToContinueADamagedChain) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  for (int i = 0; i < 5; ++i) journal->Append(ExecRecord("/bin/x"));
  ASSERT_THAT(journal->Close(), IsOk());
  journal.reset();
  state.Tamper("UPDATE records SET record = replace(record, '/bin', '/bon') WHERE seq = 3");
  const auto again = Journal::Open(state.directory());
  ASSERT_THAT(again, FailsWith(EBADMSG));
  EXPECT_THAT(again.error().ToString(), HasSubstr(state.database()));
  EXPECT_THAT(again.error().ToString(), HasSubstr("record 3"));
  EXPECT_THAT(again.error().ToString(), HasSubstr("cellrun audit verify"));
}

TEST(JournalTest, RefusesAFileThatIsNoJournal) {
  const std::vector<std::string> files = {"garbage, not a database\n", std::string(8192, 'x')};
  for (const std::string& contents : files) {
    TemporaryState state;
    const int fd = open(state.database().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_EQ(write(fd, contents.data(), contents.size()), static_cast<ssize_t>(contents.size()));
    close(fd);
    const auto journal = Journal::Open(state.directory());
    ASSERT_THAT(journal, FailsWith(EBADMSG));
    EXPECT_THAT(journal.error().ToString(), HasSubstr(state.database()));
  }
}

TEST(JournalTest, RefusesAnotherProgramsDatabase) {
  TemporaryState state;
  state.Tamper("CREATE TABLE other (x); PRAGMA application_id = 1");
  EXPECT_THAT(Journal::Open(state.directory()), FailsWith(EBADMSG));
}

TEST(JournalTest, RefusesALaterReleasesDatabase) {
  TemporaryState state;
  ASSERT_THAT(OpenJournal(state)->Close(), IsOk());
  state.Tamper("PRAGMA user_version = 99");
  const auto journal = Journal::Open(state.directory());
  ASSERT_THAT(journal, FailsWith(EBADMSG));
  EXPECT_THAT(journal.error().ToString(), HasSubstr("another release"));
}

TEST(JournalTest, RefusesDirectoriesAndFilesThatOthersControl) {
  TemporaryState open_directory;
  ASSERT_EQ(chmod(open_directory.directory().c_str(), 0777), 0);
  EXPECT_THAT(Journal::Open(open_directory.directory()), FailsWith(EPERM));

  TemporaryState link;
  ASSERT_EQ(symlink("/tmp", (link.directory() + "/state").c_str()), 0);
  EXPECT_THAT(Journal::Open(link.directory() + "/state"), FailsWith(EPERM));

  TemporaryState linked_file;
  ASSERT_EQ(symlink("/tmp/elsewhere", linked_file.database().c_str()), 0);
  EXPECT_THAT(Journal::Open(linked_file.directory()), FailsWith(ELOOP));

  TemporaryState named_twice;
  ASSERT_EQ(close(open(named_twice.database().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
  ASSERT_EQ(::link(named_twice.database().c_str(), (named_twice.directory() + "/x").c_str()), 0);
  EXPECT_THAT(Journal::Open(named_twice.directory()), FailsWith(EPERM));
}

// ---- What goes wrong later

// Runs in a child of its own, since a limit on file sizes is the process's. The exit status says
// which step failed.
int WriteOnAFullDisk(const std::string& directory) {
  signal(SIGXFSZ, SIG_IGN);
  auto opened = Journal::Open(directory);
  if (!opened.ok()) return 1;
  const std::unique_ptr<Journal> journal = std::move(opened).value();
  if (journal->Append(ExecRecord("/bin/before")) != 1) return 2;
  if (!journal->Flush(milliseconds(5000)).ok()) return 3;
  // No file may grow any more: as on a full disk.
  const rlimit full{.rlim_cur = 8192, .rlim_max = RLIM_INFINITY};
  if (setrlimit(RLIMIT_FSIZE, &full) != 0) return 4;
  Record sync = ExecRecord("/bin/sync");
  sync.sync = true;
  if (journal->Append(std::move(sync)) != 0) return 5;
  if (journal->Healthy()) return 6;
  if (journal->Append(ExecRecord("/bin/refused")) != 0) return 7;
  if (journal->Flush(milliseconds(500)).ok()) return 8;
  const rlimit free{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  if (setrlimit(RLIMIT_FSIZE, &free) != 0) return 9;
  for (int i = 0; i < 200 && !journal->Healthy(); ++i) {
    (void)journal->Flush(milliseconds(100));  // until the writer's next attempt
  }
  if (!journal->Healthy()) return 10;
  if (journal->Append(ExecRecord("/bin/after")) == 0) return 11;
  return journal->Close().ok() ? 0 : 12;
}

template <typename Body>
int InChild(Body body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(JournalTest, AFullDiskRefusesUntilThereIsSpaceAndLosesNothing) {
  TemporaryState state;
  ASSERT_EQ(InChild([&] { return WriteOnAFullDisk(state.directory()); }), 0);
  EXPECT_TRUE(state.Verify().intact) << state.Verify().problem;
  const auto records = Parsed(state);
  ASSERT_EQ(records.size(), 4U) << ::testing::PrintToString(state.Records());
  EXPECT_EQ(records[0]["exe"], "/bin/before");
  EXPECT_EQ(records[1]["exe"], "/bin/sync");  // could not be waited for, so it was denied
  EXPECT_EQ(records[1]["result"], "denied");
  EXPECT_EQ(records[2]["name"], "resumed");
  EXPECT_EQ(records[2]["count"], 1);
  EXPECT_EQ(records[3]["exe"], "/bin/after");
}

TEST(JournalTest, ARemovedFileIsNoticedAndRefuses) {
  TemporaryState state;
  auto journal = OpenJournal(state);
  EXPECT_NE(journal->Append(ExecRecord("/bin/x")), 0U);
  ASSERT_THAT(journal->Flush(milliseconds(5000)), IsOk());
  std::filesystem::rename(state.database(), state.directory() + "/taken-away");
  Record record = ExecRecord("/bin/x");
  record.sync = true;
  EXPECT_EQ(journal->Append(record), 0U);
  EXPECT_FALSE(journal->Healthy());
  EXPECT_FALSE(std::filesystem::exists(state.database()));  // no second chain is begun
}

TEST(JournalTest, AKilledWriterLeavesAChainThatVerifiesAndContinues) {
  TemporaryState state;
  for (int round = 0; round < 5; ++round) {
    const sys::Pipe committed = sys::Pipe2(O_CLOEXEC).value();
    const pid_t pid = fork();
    if (pid == 0) {
      auto journal = Journal::Open(state.directory()).value();
      for (int i = 0; i < 50; ++i) journal->Append(ExecRecord("/bin/x"));
      (void)journal->Flush(milliseconds(5000));
      (void)!write(committed.write.get(), "x", 1);
      for (;;) journal->Append(ExecRecord("/bin/x"));  // killed in the middle of this
    }
    char byte = 0;
    ASSERT_EQ(read(committed.read.get(), &byte, 1), 1);
    std::this_thread::sleep_for(milliseconds(5 * round));  // any moment will do: that is the test
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
    const ChainReport report = state.Verify();
    EXPECT_TRUE(report.intact) << report.problem;
    EXPECT_GE(report.records, 50U * static_cast<unsigned>(round + 1));
  }
  EXPECT_NE(OpenJournal(state)->Append(ExecRecord("/bin/x")), 0U);
}

// ---- Retention

TEST(JournalTest, PrunesTheOldestAndStaysVerifiable) {
  TemporaryState state;
  constexpr std::uint64_t kMaxBytes = 400 * 1024;
  auto journal = OpenJournal(state, {.group_window = milliseconds(1), .max_bytes = kMaxBytes});
  Record record = ExecRecord("/bin/x");
  record.argv = {"x", std::string(500, 'y')};
  for (int i = 0; i < 4000; ++i) {
    while (journal->Append(record) == 0) (void)journal->Flush(milliseconds(100));
    if (i % 256 == 0) {
      EXPECT_TRUE(journal->Flush(milliseconds(5000)).ok());
    }
  }
  ASSERT_THAT(journal->Close(), IsOk());
  const ChainReport report = state.Verify();
  EXPECT_TRUE(report.intact) << report.bad << ": " << report.problem;
  EXPECT_GT(report.pruned_through, 2000U);
  EXPECT_EQ(report.first, report.pruned_through + 1);
  EXPECT_LT(std::filesystem::file_size(state.database()), 3 * kMaxBytes);
  journal.reset();
  auto again = OpenJournal(state);
  EXPECT_GT(again->Append(record), 4000U);
}

}  // namespace
}  // namespace cellrun::journal
