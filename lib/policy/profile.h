// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/policy/source.h"

// A profile after parsing and merging: plain data, everything that the format can say. Which keys
// exist, their types, ranges and defaults stand in one table (schema.cc), from which the loader,
// the JSON Schema and the documentation come.
namespace cellrun::policy {

// Strictness order: allow < ask < deny.
enum class Action : std::uint8_t { kAllow, kAsk, kDeny };
enum class Strategy : std::uint8_t { kInPlace, kMirror, kGhost };
enum class AuditLevel : std::uint8_t { kAll, kDenied, kNone };

const char* ActionName(Action action);         // "allow" "ask" "deny"
const char* StrategyName(Strategy strategy);   // "in-place" "mirror" "ghost"
const char* AuditLevelName(AuditLevel level);  // "all" "denied" "none"

// A value that remembers where it was written (for `profile show` and for messages).
template <typename T>
struct Placed {
  T value{};
  Position at;
  Layer layer = Layer::kProfile;
};

struct EnvironmentCondition {
  std::string name;
  std::optional<std::string> glob;  // nothing: the variable is absent
};

// `when`: all given conditions must hold; a list inside one is "any of". An empty list or optional:
// not given.
struct When {
  std::vector<std::string> exe{};
  std::vector<std::string> hash{};  // 64 lower-case hex digits, without "sha256:"
  std::vector<std::string> script{};
  std::vector<std::string> interpreter{};
  std::optional<std::vector<std::string>> args{};
  std::vector<std::string> args_any{};
  std::vector<std::string> args_none{};
  std::vector<std::string> cwd{};
  std::vector<std::string> parent{};
  std::vector<std::string> user{};  // uids or names
  std::optional<bool> tty{};
  std::vector<EnvironmentCondition> env{};
  std::optional<bool> writable{};
  std::optional<bool> anonymous{};
};

struct Rewrite {
  std::vector<std::string> args_prepend;
  std::vector<std::string> args_append;
  std::vector<std::string> args_remove;  // globs of single arguments
  std::vector<std::pair<std::string, std::string>> env_set;
  std::vector<std::string> env_drop;  // globs of names
  [[nodiscard]] bool empty() const {
    return args_prepend.empty() && args_append.empty() && args_remove.empty() && env_set.empty() &&
           env_drop.empty();
  }
};

// Nothing: not limited by the profile.
struct Limits {
  std::optional<Placed<std::uint64_t>> memory_bytes, processes, files, output_bytes;
  std::optional<Placed<double>> cpus;
  std::optional<Placed<std::chrono::milliseconds>> time;
};

struct Ghost {
  std::vector<std::string> network;
  std::vector<std::string> secrets;
  std::vector<std::string> write;
  std::string image;
  Limits limits;  // what is not given is as in the cell
};

struct CommandRule {
  std::string name;
  When when;
  Action then = Action::kDeny;
  std::string reason, message, suggest;
  int error = 0;  // `errno:`; 0: explain through the shim
  std::optional<std::chrono::milliseconds> timeout;
  int approvers = 1;
  Strategy run = Strategy::kInPlace;
  std::optional<Ghost> ghost;
  Rewrite rewrite;
  std::string check;  // external checker command; "" for none
  bool audit_sync = false;
  std::string expires;  // YYYY-MM-DD or RFC 3339; "" for never
  Position at;
  Layer layer = Layer::kProfile;
};

struct NetworkRule {
  std::string name;
  std::vector<std::string> to;
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ports;  // inclusive ranges; empty: any
  bool udp = false;
  Action then = Action::kDeny;
  std::string reason;
  std::string expires;
  Position at;
  Layer layer = Layer::kProfile;
};

struct SyscallRule {
  std::vector<std::string> names;
  Action then = Action::kDeny;
  Position at;
  Layer layer = Layer::kProfile;
};

struct PublishedPort {
  std::string address;  // "" for the host's loopback
  std::uint16_t host = 0, cell = 0;
  bool exact = false;  // the host's port was written: no other one will do
};

struct Tool {
  std::string name;
  Strategy run = Strategy::kGhost;
  Ghost ghost;
  Position at;
};

struct Secret {
  std::string name;
  std::string from;  // "env:…", "file:…", "command:…"
  bool as_file = false;
  Position at;
};

enum class WorkspaceMode : std::uint8_t { kReadWrite, kReadOnly, kOverlay, kSnapshot };
const char* WorkspaceModeName(WorkspaceMode mode);  // "rw" "ro" "overlay" "snapshot"

struct Filesystem {
  Placed<std::string> root;  // "host", "image" or an absolute directory
  Placed<WorkspaceMode> workspace;
  Placed<std::string> home;  // "" for a private tmpfs
  std::vector<Placed<std::string>> read, write, hide, protect, noexec;
  Placed<std::uint64_t> tmp_bytes;
};

struct TestCase {
  std::vector<std::string> exec;  // one of exec and connect is given
  std::string connect;
  std::string cwd;                          // "" for the workspace
  std::map<std::string, std::string> env;   // of the new program
  std::optional<bool> writable, anonymous;  // facts that a test states about the image
  Action expect = Action::kDeny;
  std::string rule;  // name, or file:line; "" for any
  Position at;
};

struct Profile {
  std::string name, description;
  std::vector<Position> documents;  // every file it is made of, nearest first

  std::vector<Placed<std::string>> require;
  Placed<std::string> backend, image, hostname, user;
  Filesystem filesystem;
  std::vector<Placed<std::string>> path;

  Placed<Action> command_default;
  // In the order in which they are tried: floor, remembered, command line, workspace, profile,
  // inherited. A rule of the floor or the workspace only makes a verdict stricter: an allow of the
  // floor does not end matching, an ask of the workspace does not replace a deny further down.
  std::vector<CommandRule> command_rules;

  Placed<Action> network_default;
  std::vector<NetworkRule> network_rules;
  std::map<std::string, std::vector<std::string>> network_groups;
  std::vector<Placed<PublishedPort>> publish;
  std::vector<std::string> dns_upstream;  // empty: the system's
  // By domain, in lower case (lib/policy/split_dns.h).
  std::map<std::string, Placed<std::vector<std::string>>> dns_split;
  Placed<std::string> upstream_proxy, proxy_secret;

  std::vector<SyscallRule> syscall_rules;
  Limits limits;
  std::vector<Placed<std::string>> environment_pass, environment_drop;
  std::map<std::string, Placed<std::string>> environment_set;
  std::vector<Tool> tools;
  std::vector<Secret> secrets;

  Placed<std::chrono::milliseconds> approval_timeout;
  Placed<Action> approval_on_timeout;
  Placed<std::uint64_t> approvals_pending;

  Placed<AuditLevel> audit_commands, audit_network;
  Placed<bool> audit_redact;

  std::vector<TestCase> tests;
};

}  // namespace cellrun::policy
