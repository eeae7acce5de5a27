// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/inside.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <string>

#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "lib/wire/control.h"
#include "lib/wire/strict_json.h"

namespace cellrun::client {
namespace {

constexpr std::size_t kMaxAnswerBytes = 128 * 1024;

}  // namespace

bool IsInside() {
  const Result<struct stat> facts =
      sys::FstatAt(AT_FDCWD, wire::kBrokerSocket, AT_SYMLINK_NOFOLLOW);
  return facts.ok() && S_ISSOCK(facts->st_mode);
}

launcher::ErrorForm NotFromInside() {
  return {"this is a cell, and what it may do is decided outside", "only request and why work here",
          "cellrun request --reason TEXT -- COMMAND"};
}

Result<nlohmann::json> TellBroker(const nlohmann::json& message) {
  const UniqueFd socket = TRY(sys::UnixSocket(SOCK_SEQPACKET));
  TRY(sys::ConnectUnix(socket, wire::kBrokerSocket));
  TRY(sys::SendMessage(socket, message.dump(), {}));
  const sys::Message answer = TRY(sys::ReceiveMessage(socket, kMaxAnswerBytes));
  nlohmann::json parsed = nlohmann::json::parse(answer.bytes, nullptr, false);
  if (parsed.is_object() && parsed.value("ok", false)) return parsed;
  const bool said = parsed.is_object() && parsed.contains("error") && parsed["error"].is_string();
  return Error(EPERM, "", said ? parsed["error"].get<std::string>() : "the broker did not answer");
}

}  // namespace cellrun::client
