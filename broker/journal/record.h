// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/policy/policy.h"

namespace cellrun::journal {

// kJournal: what the journal says about itself (resumed after a full disk, pruned).
enum class Kind : std::uint8_t { kExec, kConnect, kSyscall, kAsk, kCell, kFile, kJournal };

const char* KindName(Kind kind);  // "exec" "connect" "syscall" "ask" "cell" "file" "journal"

// One thing that happened, with the fields of docs/journal.md (the `record` object of the command
// line and the HTTP API). Fields are raw here; the journal caps them (path 4 KiB, argv 32 KiB and
// 256 arguments, …: the record says what was cut) and redacts.
struct Record {
  std::chrono::system_clock::time_point time;
  std::string cell;  // id
  Kind kind = Kind::kExec;
  std::int64_t pid = 0;  // in the broker's pid namespace
  std::uint32_t uid = 0;
  std::string path;                // as the program wrote it; file: the path
  std::string exe;                 // canonical
  std::vector<std::string> chain;  // interpreters, outermost last
  std::vector<std::string> argv;
  std::string cwd;
  std::string env_digest;  // sha256 of the environment, hex
  std::string image_hash;
  // What a rule may ask for beside argv, exe, chain and cwd: `why` judges the request again.
  std::string parent;                  // canonical path of the calling program
  std::string user;                    // name of `uid`
  bool tty = false;                    // descriptor 0 was a terminal
  std::uint32_t script_images = 0;     // bit i: image i ([0] is exe, then the chain) was a script,
  std::uint32_t writable_images = 0;   // the cell could write it,
  std::uint32_t anonymous_images = 0;  // it was a memfd, deleted or foreign
  std::string to, name, proto;  // connect; syscall: name is the call's name; cell: the cell's name
  std::int64_t port = 0;
  std::uint64_t bytes_in = 0, bytes_out = 0;  // connect, once it ended
  policy::Action verdict = policy::Action::kDeny;
  policy::Strategy strategy = policy::Strategy::kInPlace;
  std::string observed;  // the verdict that would have been, under --observe
  policy::RuleReference rule;
  std::string reason;  // message or reason shown
  std::string
      result;  // ran, denied, failed:ERRNO, mismatch, started, ended; "" while it is not known
  std::uint64_t count = 1;          // syscalls: how many this record stands for
  std::vector<std::string> layers;  // cell start
  std::string detail;               // cell start/end: profile, workspace, exit as JSON text
  bool redact = true;               // hide values after password-like flags and the like
  bool sync = false;                // on disk before Append returns
};

// Of what happens now, in the cell of that id.
Record RecordNow(Kind kind, std::string cell, std::int64_t pid = 0, std::uint32_t uid = 0,
                 std::string user = {});

// Where records go. Thread-safe. Implemented by Journal (journal.h) and by fakes in tests.
class Sink {
 public:
  virtual ~Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  // Queues a record, in order; its sequence number. 0: it cannot be kept (disk full, queue full,
  // journal broken): the caller must deny. Blocks only for `sync` records.
  virtual std::uint64_t Append(Record record) = 0;
  // Says how a queued record came out. Known soon enough (before the next commit), it becomes part
  // of the record; else a follow-up record refers to it.
  virtual void SetResult(std::uint64_t seq, std::string result) = 0;
  // Whether Append would work now, without writing anything.
  virtual bool Healthy() const = 0;

 protected:
  Sink() = default;
};

}  // namespace cellrun::journal
