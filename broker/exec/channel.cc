// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/channel.h"

#include <sys/socket.h>

#include <string>
#include <utility>

#include "lib/sys/memory.h"
#include "lib/sys/socket.h"
#include "lib/wire/control.h"

namespace cellrun::exec {
namespace {

constexpr int kDenied = 126;  // what a shell says of a command that it may not execute

std::string Bytes(const wire::ShimMessage& message, const std::string& payload) {
  std::string bytes(sizeof message, '\0');
  memcpy(bytes.data(), &message, sizeof message);
  return bytes + payload;
}

Result<void> SendExplanation(const UniqueFd& channel, const Ticket& ticket) {
  const std::string text = ticket.explanation.substr(0, wire::kMaxShimText);
  const wire::ShimMessage message{.order = wire::kShimExplain,
                                  .status = kDenied,
                                  .argument_count = 0,
                                  .environment_count = 0,
                                  .block_bytes = 0,
                                  .payload_bytes = static_cast<std::uint32_t>(text.size())};
  return sys::SendMessage(channel, Bytes(message, text), {});
}

Result<void> SendCommand(const UniqueFd& channel, const Ticket& ticket) {
  std::string block = ticket.program + '\0';
  for (const auto* list : {&ticket.argv, &ticket.env}) {
    for (const std::string& text : *list) block.append(text.c_str(), text.size() + 1);
  }
  if (block.size() > wire::kMaxBlockBytes) return Error(E2BIG, "sendmsg");
  const UniqueFd strings = TRY(sys::MakeSealedMemfd("cellrun-command", block));
  const wire::ShimMessage message{
      .order = wire::kShimExec,
      .status = 0,
      .argument_count = static_cast<std::uint32_t>(ticket.argv.size()),
      .environment_count = static_cast<std::uint32_t>(ticket.env.size()),
      .block_bytes = static_cast<std::uint32_t>(block.size()),
      .payload_bytes = 0};
  const int descriptor = strings.get();
  return sys::SendMessage(channel, Bytes(message, ""), {&descriptor, 1});
}

}  // namespace

Result<UniqueFd> MakeChannel(const Ticket& ticket) {
  auto [ours, theirs] = TRY(sys::SocketPair(SOCK_SEQPACKET));
  TRY(ticket.explanation.empty() ? SendCommand(ours, ticket) : SendExplanation(ours, ticket));
  return std::move(theirs);
}

}  // namespace cellrun::exec
