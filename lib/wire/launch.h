// SPDX-License-Identifier: Apache-2.0
// The conversation between launcher and broker on launch.sock (SOCK_SEQPACKET, one JSON object a
// packet, ≤ kMaxLaunchBytes, ≤ 16 descriptors). docs/launch-protocol.md describes it.
//
//   launcher                                            broker
//   {"type":"hello", cellrun, build}           ->
//                                              <-       {"type":"hello", cellrun, build, pid}
//   {"type":"run", …}  fds: control, strings, documents, given streams  ->
//                                              <-       {"type":"need", "documents":["base"]} (as
//                                              often as needed)
//   {"type":"documents", …} fds: documents     ->
//                                              <-       {"type":"plan", …}  or  {"type":"refused",
//                                              …}
//   {"type":"started", pid} fds: pidfd of init ->
//                                              <-       {"type":"terminal"} fds: PTY master
//   {"type":"signal", "signal":N} {"type":"resize"…} ->
//                                              <-       {"type":"exit", …}
//
// A broker of another build answers hello, then "draining" if it has no cells and leaves, else
// "refused". Either side closing the connection ends the cell.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/source.h"
#include "lib/sys/socket.h"

namespace cellrun::wire {

inline constexpr std::size_t kMaxLaunchBytes =
    128 * 1024;  // inline; strings and documents travel in sealed memory files
inline constexpr std::size_t kMaxPlanBytes = 16 << 20;    // a mount for each hidden name
inline constexpr std::size_t kMaxStringsBytes = 8 << 20;  // argv and environment of one command
inline constexpr std::size_t kMaxDocumentsBytes = 4 << 20;

// What a stream of the command is connected to.
enum class Stream : std::uint8_t { kGiven, kTerminal, kNull };

struct RunRequest {
  std::string name;     // of the cell; "" lets the broker choose
  std::string profile;  // as the user named it, for messages and the journal
  std::vector<policy::Source>
      documents;          // floor and what they extend are added by the broker, on "need"
  std::string workspace;  // canonical, absolute
  bool workspace_read_only = false;      // the caller cannot write there
  std::string working_directory;         // absolute; inside the workspace
  std::string home, user;                // of the caller
  std::vector<std::string> argv;         // not empty
  std::vector<std::string> environment;  // the caller's whole environment, "NAME=value"
  std::vector<std::pair<std::string, std::string>> set_environment;  // --env
  std::vector<std::string> read, write;  // --read, --write: canonical, absolute
  std::vector<std::string> publish;      // --publish, as a profile writes it
  std::vector<std::string> network;      // --net: destinations, perhaps with ports
  bool observe = false;
  bool report = false;
  std::chrono::milliseconds time_limit{0};  // 0: what the profile says
  Stream streams[3] = {Stream::kNull, Stream::kNull, Stream::kNull};
  std::uint16_t rows = 24, columns = 80;
  std::string term;
};

// ---- A cell that the broker wants for itself (a ghost): it executes the launcher with this word
// alone, and its end of a socket pair as descriptor kBuildFd. The broker sends the plan, with
// init's end of the control socket; the launcher answers "started" with init's pidfd, or "refused";
// the end of file of either side ends the cell.
inline constexpr char kBuildWord[] = "--build-for-broker";
inline constexpr int kBuildFd = 3;

// ---- The plan: what the launcher's child does, in this order. Every `to` is absolute inside the
// cell.

enum class MountKind : std::uint8_t {
  kDirectory,  // make a directory (and its parents) in the cell's root or in a tmpfs of the cell
  kFile,       // a read-only file with `text` (`mode`, at least 0444): made where nothing is, else
               // mounted over what is there
  kSymlink,    // -> `text`
  kBind,       // host path `from`, with everything mounted below it
  kTmpfs,      // empty, `bytes` large
  kProc,       // `read_only`: /proc/PID/mem included
  kDevpts,
  kCellrun,  // /run/cellrun: shim, denials.jsonl, tools; read-only for the cell
  kMask,  // an empty read-only object of the same type over `to` (hide); nothing happens if it is
          // not there
  kPin,   // `to` bound onto itself, so that it cannot be renamed (hardening: parents of protected
          // paths)
};

struct MountStep {
  MountKind kind = MountKind::kDirectory;
  std::string to;
  std::string from;
  std::string text;
  std::uint32_t mode = 0755;
  std::uint64_t bytes = 0;
  bool read_only = false;
  bool no_exec = false;
  bool devices = false;   // otherwise nodev
  bool id_map = false;    // root: the owner of `from` becomes the cell's user
  bool optional = false;  // a missing `from` is skipped
  std::string purpose;    // for errors: "workspace", "--read"
};

struct LandlockRule {
  std::string path;  // inside the cell
  bool execute = false;
  bool write = false;
};

struct ResourceLimit {
  int resource = 0;  // RLIMIT_*
  std::uint64_t soft = 0, hard = 0;
  std::string name;
};

struct CellPlan {
  std::string id, name, profile;
  std::string hostname;
  std::uint32_t inside_uid = 0, inside_gid = 0;  // what the cell's one user is called inside
  std::uint32_t host_uid = 0, host_gid = 0;      // and on the host; differs for a cell run by root
  std::vector<MountStep> mounts;
  std::vector<LandlockRule> landlock;
  bool landlock_required = false;
  std::vector<ResourceLimit> limits;
  // How many of the launcher's processors the cell keeps, for good; 0: all.
  std::uint32_t processors = 0;
  std::vector<std::string> layers;  // in force if the plan is carried out
  std::vector<std::string>
      warnings;  // said to the user before the command starts (not enforced, read-only, …)
  std::uint64_t inotify_instances = 64, inotify_watches = 65536;
  // How many namespaces of each kind the cell may make of its own; not 0: the profile opts into
  // `userns`. Mounting needs a process without Landlock's file rules.
  std::uint64_t namespaces = 0;
  std::chrono::milliseconds time_limit{0};  // the broker enforces it; here for messages
  std::uint64_t output_bytes = 0;  // the launcher counts what the cell prints; 0: it may print all
  bool gateway =
      false;  // something may be let out: a second network namespace (lib/wire/gateway.h)
  // The directory of the cgroup that init enters before it is init; "" for none. Only root's.
  std::string cgroup;
};

// Why a run was refused. `status` is the launcher's exit code.
struct Refusal {
  int status = 125;
  std::string what, cause, suggest;  // error: / cause: / try:
};

struct ExitReport {
  bool started = false;  // the command's exec succeeded
  int exec_error = 0;    // errno of the failed first exec, 0 if it succeeded
  int wait_status = 0;   // as wait(2)
  bool timed_out = false;
  bool output_ended = false;       // it printed more than it may
  std::uint64_t memory_kills = 0;  // processes that the kernel has ended for want of memory
  std::string lost;                // why the cell ended before the command did; "" if it did not
  std::uint64_t allowed = 0, asked = 0, denied = 0;
  std::vector<std::string> denials;      // JSON records, at most 1000
  std::vector<std::string> quarantined;  // paths
  std::vector<std::string> layers, cut_limits;
};

// ---- The small messages.

struct Hello {
  std::string version, build;
  int pid = 0;  // the broker's; 0 from the launcher
};
struct Started {
  int pid = 0;                           // of init, as the launcher sees it
  std::vector<std::string> lost_layers;  // layers of the plan that this kernel does not have
};
struct Resize {
  std::uint16_t rows = 0, columns = 0;
};

// JSON in and out. Reading is strict: unknown members, wrong types, duplicates, depth over 64 are
// errors (EINVAL) whose context names the field. A string that is not UTF-8 (a path may be
// anything) is {"bytes":"HEX"} instead of text. What is long is not in the JSON: see PackStrings
// and PackDocuments.
Result<nlohmann::json> ParseStrictJson(std::string_view text);
// The "type" of a message; EINVAL if it is no object or has none.
Result<std::string> MessageType(const nlohmann::json& message);

// Without argv, environment and document texts. Decoding makes as many empty ones as the other side
// said it has (at most kMaxStrings); UnpackArguments and UnpackDocuments fill them in.
std::string Encode(const RunRequest& request);
Result<RunRequest> DecodeRunRequest(const nlohmann::json& message);
std::string Encode(const Refusal& refusal);
Result<Refusal> DecodeRefusal(const nlohmann::json& message);
std::string Encode(const ExitReport& report);
Result<ExitReport> DecodeExitReport(const nlohmann::json& message);

// The plan is {"type":"plan"}, a NUL, and its fields packed (lib/wire/packing.h).
std::string EncodePlan(const CellPlan& plan);
bool IsPlan(std::string_view message);
Result<CellPlan> DecodePlan(std::string_view message);
// One that is too long for a packet lies in a sealed memory file behind `fds`, and its packet is
// empty but for the type. E2BIG over kMaxPlanBytes.
Result<void> SendPlan(const UniqueFd& socket, std::string_view plan, std::vector<int> fds = {});
// `fds` must have been taken out of the message.
Result<CellPlan> TakePlan(const sys::Message& message);

std::string Encode(const Hello& hello);
Result<Hello> DecodeHello(const nlohmann::json& message);
std::string Encode(const Started& started);
Result<Started> DecodeStarted(const nlohmann::json& message);
std::string Encode(const Resize& resize);
Result<Resize> DecodeResize(const nlohmann::json& message);
std::string EncodeNeed(const std::vector<std::string>& documents);
Result<std::vector<std::string>> DecodeNeed(const nlohmann::json& message);
// Texts as with RunRequest.
std::string EncodeDocuments(const std::vector<policy::Source>& documents);
Result<std::vector<policy::Source>> DecodeDocuments(const nlohmann::json& message);
std::string EncodeSignal(int signal);
Result<int> DecodeSignal(const nlohmann::json& message);
std::string EncodeTerminal();
// Behind it are directories of cgroups, which the process that becomes init enters before it gets
// the plan.
std::string EncodeCgroups();
// The broker wants every output of the command to come through the launcher, who answers with the
// given streams anew.
std::string EncodeRelay();
std::string EncodeStreams();
// From the launcher: the command has printed more than it may.
std::string EncodeOutputEnd();
// From a broker of another build that has no cells: it leaves, and the launcher starts its own.
std::string EncodeDraining();

// ---- What travels in sealed memory files.

inline constexpr std::size_t kMaxStrings = 1 << 20;

// Each string followed by a NUL. A string with a NUL inside cannot be an argument; it ends there.
std::string PackStrings(const std::vector<std::string>& strings);
// Exactly `count` strings, nothing behind them; else EINVAL.
Result<std::vector<std::string>> UnpackStrings(std::string_view block, std::size_t count);

// The strings of a run: argv, then environment.
std::string PackArguments(const RunRequest& request);
Result<void> UnpackArguments(std::string_view block, RunRequest& request);

// The texts, each after its length (8 bytes, native order).
std::string PackDocuments(const std::vector<policy::Source>& documents);
Result<void> UnpackDocuments(std::string_view block, std::vector<policy::Source>& documents);

}  // namespace cellrun::wire
