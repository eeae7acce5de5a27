// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/channel.h"

#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "lib/sys/memory.h"
#include "lib/sys/socket.h"
#include "lib/wire/control.h"

namespace cellrun::exec {
namespace {

wire::ShimMessage MessageOf(wire::ShimOrder order, int status) {
  wire::ShimMessage message{};
  message.order = order;
  message.status = status;
  return message;
}

std::string Bytes(const wire::ShimMessage& message, const std::string& payload) {
  std::string bytes(sizeof message, '\0');
  memcpy(bytes.data(), &message, sizeof message);
  return bytes + payload;
}

Result<void> SendText(const UniqueFd& channel, wire::ShimMessage message, const std::string& text) {
  const std::string cut = text.substr(0, wire::kMaxShimText);
  message.payload_bytes = static_cast<std::uint32_t>(cut.size());
  return sys::SendMessage(channel, Bytes(message, cut), {});
}

// The number of strings.
std::uint32_t Append(std::string& block, const std::vector<std::string>* strings) {
  if (strings == nullptr) return 0;
  for (const std::string& text : *strings) block.append(text.c_str(), text.size() + 1);
  return static_cast<std::uint32_t>(strings->size());
}

}  // namespace

Result<void> SendExplanation(const UniqueFd& channel, const std::string& text, int status) {
  return SendText(channel, MessageOf(wire::kShimExplain, status), text);
}

Result<void> SendWait(const UniqueFd& channel, const std::string& text, std::int32_t seconds_left) {
  return SendText(channel, MessageOf(wire::kShimWait, seconds_left), text);
}

Result<void> SendCommand(const UniqueFd& channel, const ShimCommand& command) {
  wire::ShimMessage message = MessageOf(wire::kShimExec, 0);
  std::string block = command.program + '\0';
  message.argument_count = Append(block, command.argv);
  message.environment_count = Append(block, command.env);
  if (command.argv == nullptr) message.flags |= wire::kShimOwnArguments;
  if (command.env == nullptr) message.flags |= wire::kShimOwnEnvironment;
  if (block.size() > wire::kMaxBlockBytes) return Error(E2BIG, "sendmsg");
  const UniqueFd strings = TRY(sys::MakeSealedMemfd("cellrun-command", block));
  message.block_bytes = static_cast<std::uint32_t>(block.size());
  const int descriptor = strings.get();
  return sys::SendMessage(channel, Bytes(message, ""), {&descriptor, 1});
}

Result<ShimReport> ReceiveReport(const UniqueFd& channel) {
  const sys::Message packet =
      TRY(sys::ReceiveMessage(channel, sizeof(wire::ShimMessage), MSG_DONTWAIT));
  if (packet.bytes.empty() && !packet.truncated) return ShimReport{.ended = true, .failed = 0};
  wire::ShimMessage message{};
  if (packet.truncated || packet.bytes.size() != sizeof message) return Error(EPROTO, "recvmsg");
  memcpy(&message, packet.bytes.data(), sizeof message);
  if (message.order != wire::kShimFailed || message.status <= 0) return Error(EPROTO, "recvmsg");
  return ShimReport{.ended = false, .failed = message.status};
}

}  // namespace cellrun::exec
