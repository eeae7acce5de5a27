// SPDX-License-Identifier: Apache-2.0
// The control socket between the broker and a cell's init: SOCK_SEQPACKET, one header and its
// payload a packet. Plain structs, shared with the shim, which has no C++ library. Both ends are
// the same build (the launcher checks), so native byte order and layout are the format. Init trusts
// the broker; the broker checks everything that comes from a cell.
#pragma once

#include <stdint.h>

namespace cellrun::wire {

// Init's end of the control socket.
constexpr int kControlFd = 3;
// Where the cell's own copy of the shim lies.
constexpr char kShimPath[] = "/run/cellrun/shim";
// Where copies of scripts lie that were approved by their content.
constexpr char kScriptDirectory[] = "/run/cellrun/script";
// Where a cell's programs reach the broker, to propose something.
constexpr char kBrokerSocket[] = "/run/cellrun/broker.sock";
// And what is mounted over hidden names.
constexpr char kEmptyFile[] = "/run/cellrun/.empty/file";
constexpr char kEmptyDirectory[] = "/run/cellrun/.empty/directory";

// The first call of a waiting room is connect(kChannelFd, kChannelMagic, 0): the descriptor is no
// descriptor, so the call can do nothing by itself; the broker answers it with one end of a socket
// pair.
constexpr int kChannelFd = -1000042;
constexpr uint64_t kChannelMagic = 0x63656c6c72756e00;

enum ControlType : uint32_t {
  // launcher's child -> broker, before it becomes init. fds: shim (O_RDONLY, through the cell's
  // read-only mount), denials (O_WRONLY | O_APPEND), its user namespace, its mount namespace, the
  // directory of script copies (writable through it), a socket that listens on kBrokerSocket;
  // where the plan has a cgroup, a socket of its network namespace; where it has no gateway, the
  // unbound sockets of its resolver (UDP and TCP).
  kCellBuilt = 1,
  // launcher's child -> broker, before that, where the plan has a gateway. fds: its network
  // namespace, and unbound sockets in it: one of UDP, the rest of TCP, those of IPv6 last.
  kGatewayBuilt = 2,

  // broker -> init.
  kSetup = 10,  // payload: SetupOrder, filter instructions, handover text. Answered by kListener or
                // kInitFailed.
  kSpawn = 11,  // payload: SpawnOrder. fds: sealed memfd with the strings, then the given streams
                // in order.
  kSignal = 12,  // a: pid (init's numbering), b: signal, c: 1 for its process group. Only pids that
                 // init spawned.
  kKeep = 13,  // fds: a keeper's end of its socket (lib/wire/run.h). Nothing answers: a socket that
               // is closed says that there is no keeper.

  kSockets =
      14,  // a: how many TCP sockets of the cell's network, b: their family. Each is answered
           // by one kSocket.

  // init -> broker.
  kListener = 20,  // fds: the seccomp listener. payload: the handover text of kSetup, unchanged.
  kSpawned = 21,   // id of the order; a: pid in the cell
  kTerminal = 22,  // id of the order; fds: the PTY's master
  // id; a: pid; b: errno; c: SpawnStep. The process then exits 127 (ENOENT) or 126: kExited
  // follows.
  // a is 0 when there is no process (kStepFork and kStepTerminal of init): nothing follows.
  kExecFailed = 23,
  kExited = 24,      // id; a: pid; b: wait status as wait(2)
  kStopped = 25,     // id; a: pid; b: the stop signal; 0 when it was continued
  kInitFailed = 26,  // a: errno; payload: the step, as text
  // b: the family. fds: an unconnected socket, non-blocking; none: a is the errno.
  kSocket = 27,
};

struct ControlHeader {
  uint32_t type;
  uint32_t id;  // of the order, chosen by the broker
  int32_t a, b, c;
  uint32_t payload_bytes;
};

struct SetupOrder {
  uint32_t filter_flags;         // of seccomp(2), beside NEW_LISTENER; tried again without
                                 // WAIT_KILLABLE_RECV on EINVAL
  uint32_t filter_instructions;  // struct sock_filter
  uint32_t handover_bytes;
};

enum SpawnFlags : uint32_t {
  kSpawnMain = 1,        // when it ends, init reports and exits: the cell is over
  kSpawnStdinGiven = 2,  // each stream is given, or (terminal) the PTY, or /dev/null of the cell
  kSpawnStdoutGiven = 4,
  kSpawnStderrGiven = 8,
  kSpawnStdinTerminal = 16,
  kSpawnStdoutTerminal = 32,
  kSpawnStderrTerminal = 64,
};

// Where a spawn failed.
enum SpawnStep : int32_t {
  kStepExec = 0,
  kStepWorkingDirectory = 1,
  kStepStreams = 2,
  kStepTerminal = 3,
  kStepLimits = 4,
  kStepFork = 5,
};

// What init spawns gets a hard RLIMIT_NOFILE that is lower than init's own by this, or by a quarter
// where that is less: descriptors in flight are counted per uid, and init must still be able to
// send when the cell has used up its share (ETOOMANYREFS).
constexpr uint64_t kReservedFiles = 1024;

// How many sockets one order asks for at most.
constexpr int32_t kMaxSocketsOrdered = 16;

// Longest memory file of strings.
constexpr uint32_t kMaxBlockBytes = 16U << 20;

// The memory file is sealed (MakeSealedMemfd) and holds, each ended by a NUL: program, working
// directory, `argument_count` arguments, `environment_count` variables. A program without a slash
// is looked for in PATH of that environment, as execvp(3) does. Bytes, counts and descriptors must
// fit each other exactly.
struct SpawnOrder {
  uint32_t flags;
  uint32_t argument_count;
  uint32_t environment_count;
  uint32_t block_bytes;
  uint16_t rows, columns;  // of the PTY
  uint32_t padding;
};

// ---- The channel of a waiting room (SOCK_SEQPACKET). The broker sends any number of kShimWait and
// one of the others; end of file means denied. The shim keeps its end until it has become another
// program, so the broker learns by end of file that this, or the end of the process, has happened.

enum ShimOrder : uint32_t {
  // broker -> shim.
  kShimExplain = 1,  // payload: text for stderr; exit with `status`
  kShimExec = 2,  // fds: sealed memfd: program, arguments, environment as in SpawnOrder (no working
                  // directory); `flags`: ShimExecFlags
  kShimWait = 3,  // payload: text for stderr; go on waiting. `status`: seconds that are left, shown
                  // as they pass where stderr is a terminal; 0: not shown
  kShimRun = 4,   // it runs elsewhere: from here on the channel speaks lib/wire/run.h

  // shim -> broker.
  kShimFailed = 100,  // the kShimExec failed with errno `status`; it waits again
};

// Of kShimRun: terminals are handed over like any other descriptor, and not relayed.
constexpr uint32_t kShimNoTerminal = 1;

enum ShimExecFlags : uint32_t {
  kShimOwnArguments = 1,    // those that the shim was given itself; argument_count is 0
  kShimOwnEnvironment = 2,  // likewise; environment_count is 0
};

struct ShimMessage {
  uint32_t order;
  int32_t status;
  uint32_t argument_count;
  uint32_t environment_count;
  uint32_t block_bytes;
  uint32_t payload_bytes;
  uint32_t flags;
};

constexpr uint32_t kMaxShimText = 4096;

}  // namespace cellrun::wire
