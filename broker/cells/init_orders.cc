// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/init_orders.h"

#include <cstdint>
#include <iterator>
#include <span>

#include "broker/cells/handover.h"
#include "lib/policy/syscalls.h"
#include "lib/sys/filter.h"
#include "lib/sys/memory.h"
#include "lib/sys/socket.h"
#include "lib/sys/uapi.h"
#include "lib/wire/control.h"

namespace cellrun::cells {
namespace {

template <typename T>
void AppendStruct(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string Packet(wire::ControlType type, std::uint32_t id, const std::string& payload,
                   std::int32_t a = 0, std::int32_t b = 0, std::int32_t c = 0) {
  const wire::ControlHeader header{.type = type,
                                   .id = id,
                                   .a = a,
                                   .b = b,
                                   .c = c,
                                   .payload_bytes = static_cast<std::uint32_t>(payload.size())};
  std::string packet;
  AppendStruct(packet, header);
  return packet + payload;
}

}  // namespace

Result<void> OrderFilter(const UniqueFd& control, const policy::Profile& profile,
                         const wire::CellPlan& plan, const std::string& token) {
  const sys::FilterOptions options{.allow_ptrace = policy::AllowsOptIn(profile, "ptrace"),
                                   .allow_perf = policy::AllowsOptIn(profile, "perf"),
                                   .allow_keyctl = policy::AllowsOptIn(profile, "keyctl"),
                                   .allow_userns = plan.namespaces > 0,
                                   .keep_processors = plan.processors > 0};
  const std::vector<sock_filter> filter = sys::BuildFilter(options);
  const std::string handover = EncodeHandover(token);
  std::string payload;
  AppendStruct(
      payload,
      wire::SetupOrder{.filter_flags = static_cast<std::uint32_t>(uapi::kSeccompWaitKillableRecv),
                       .filter_instructions = static_cast<std::uint32_t>(filter.size()),
                       .handover_bytes = static_cast<std::uint32_t>(handover.size())});
  payload.append(reinterpret_cast<const char*>(filter.data()), filter.size() * sizeof(sock_filter));
  payload += handover;
  return sys::SendMessage(control, Packet(wire::kSetup, 0, payload), {})
      .With("ordering the filter");
}

Result<void> OrderCommand(const UniqueFd& control, const wire::RunRequest& request,
                          const std::vector<std::string>& environment,
                          const std::vector<UniqueFd>& streams) {
  std::string block = request.argv[0] + '\0' + request.working_directory + '\0';
  block += wire::PackStrings(request.argv);
  block += wire::PackStrings(environment);

  constexpr std::uint32_t kGiven[] = {wire::kSpawnStdinGiven, wire::kSpawnStdoutGiven,
                                      wire::kSpawnStderrGiven};
  constexpr std::uint32_t kTerminal[] = {wire::kSpawnStdinTerminal, wire::kSpawnStdoutTerminal,
                                         wire::kSpawnStderrTerminal};
  wire::SpawnOrder order{.flags = wire::kSpawnMain,
                         .argument_count = static_cast<std::uint32_t>(request.argv.size()),
                         .environment_count = static_cast<std::uint32_t>(environment.size()),
                         .block_bytes = static_cast<std::uint32_t>(block.size()),
                         .rows = request.rows,
                         .columns = request.columns,
                         .padding = 0};
  for (std::size_t i = 0; i < std::size(request.streams); ++i) {
    if (request.streams[i] == wire::Stream::kGiven) order.flags |= kGiven[i];
    if (request.streams[i] == wire::Stream::kTerminal) order.flags |= kTerminal[i];
  }
  const UniqueFd memory = TRY(sys::MakeSealedMemfd("spawn", block));
  std::vector<int> fds = {memory.get()};
  for (const UniqueFd& stream : streams) fds.push_back(stream.get());
  std::string payload;
  AppendStruct(payload, order);
  return sys::SendMessage(control, Packet(wire::kSpawn, kMainOrder, payload), fds)
      .With("ordering the command");
}

Result<void> OrderKeeper(const UniqueFd& control, const UniqueFd& keeper) {
  const int number = keeper.get();
  return sys::SendMessage(control, Packet(wire::kKeep, 0, ""), std::span(&number, 1))
      .With("ordering a keeper");
}

Result<void> OrderSockets(const UniqueFd& control, int family, int count) {
  return sys::SendMessage(control, Packet(wire::kSockets, 0, "", count, family), {})
      .With("ordering sockets");
}

Result<void> OrderSignal(const UniqueFd& control, std::int32_t pid, int signal) {
  return sys::SendMessage(control, Packet(wire::kSignal, 0, "", pid, signal, 1), {});
}

}  // namespace cellrun::cells
