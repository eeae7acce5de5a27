// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/loop/janitor.h"
#include "broker/loop/loop.h"
#include "broker/run/output_relay.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/socket.h"
#include "lib/wire/run.h"

namespace cellrun::run {

// What runs.
struct Command {
  std::string program;    // with a slash, as the keeper's cell names it
  std::string directory;  // absolute
  std::vector<std::string> argv, environment;
};

// Where it runs.
struct Place {
  // Has the init of that cell fork a keeper with this end of its socket.
  std::function<Result<void>(UniqueFd keeper)> keep;
  // Lets this process do the one exec that was approved. Its pid is of our own pid namespace.
  std::function<Result<void>(pid_t pid)> grant;
  // Another cell than the caller's: its directory is entered by name, and of its descriptors only
  // what cannot lead into the caller's file tree is passed.
  bool other_cell = false;
  // RLIMIT_* that are that cell's own, whatever the caller has lowered.
  std::vector<int> own_limits = {};
  // What must not come out in the command's output, and how much may (0: all); that output then
  // goes through the broker. And what ends everything that could still print.
  std::vector<std::string> secrets = {};
  std::uint64_t output_bytes = 0;
  std::function<void()> exceeded = {};  // that has come out, and there was more
  std::function<void()> end = {};
  // What the caller is told of a command that ended so, in place of its status alone; "" for
  // nothing.
  std::function<std::string(int wait_status)> explain = {};
};

// One command that runs elsewhere than in the process that asked for it: the broker's part of
// lib/wire/run.h. What comes from the shim and the keeper is checked; what the descriptors are that
// the shim hands over is the cell's choice, so they are passed on and never used. Only on the
// loop's thread.
class Run {
 public:
  struct End {
    std::optional<int> wait_status;  // as wait(2); nothing: it did not run, or was killed
    std::string why;                 // then
  };
  // `ended` is called once, last, from the loop: the Run may be destroyed in it.
  struct Caller {
    UniqueFd shim;  // the channel to it
    pid_t pid = 0;  // of its process, in our own pid namespace
    // As Place::secrets and output_bytes will say. It has its streams only then, and no terminal.
    bool relayed = false;
  };
  Run(loop::Loop& loop, loop::Janitor& janitor, Caller caller,
      std::function<void(const End& end)> ended);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Once: there is a cell for it.
  void Start(Command command, Place place);
  // How the command has ended, as soon as that is known.
  [[nodiscard]] std::optional<int> wait_status() const { return status_; }
  // It cannot run, or must not any more: the caller is told `text` and ends with `status`.
  void Refuse(int status, const std::string& text);

 private:
  void OnShim();
  void OnKeeper();
  void TakeOffer(sys::Message message);
  void OrderIfReady();
  Result<void> SendOrder();
  Result<void> ReplaceStreams();
  void OnEnded(int status);
  void TellEnd();
  void FromShim(const sys::Message& message);
  void FromKeeper(const sys::Message& message);
  void OnReady(pid_t pid);
  void LookAtCaller();
  void LimitStart();
  void OnFailed(int code, int step);
  void Finish(End end);
  void CloseElsewhere(std::vector<UniqueFd> fds);

  loop::Loop& loop_;
  loop::Janitor& janitor_;
  Command command_;
  std::function<void(const End& end)> ended_;
  UniqueFd shim_, keeper_;
  std::optional<Place> place_;
  std::optional<wire::RunSurroundings> surroundings_;
  std::vector<UniqueFd> given_;  // working directory, then what surroundings_ names
  const pid_t caller_pid_;
  const bool relayed_;
  bool stopped_ = false;  // the command has, and the shim was told
  bool held_ = false;     // it was stopped because its caller was
  bool owed_ = false;     // and has not said that it did
  std::unique_ptr<OutputRelay> relay_;
  struct stat first_output_ {};  // the first output that is relayed
  bool ordered_ = false, granted_ = false, over_ = false;
  std::string explanation_;  // of the command's end
  std::optional<int> status_;
  std::unique_ptr<loop::Loop::Watch> shim_watch_, keeper_watch_;
  std::unique_ptr<loop::Loop::Timer> deadline_, look_;
};

}  // namespace cellrun::run
