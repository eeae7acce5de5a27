// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/stage.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "lib/sys/file.h"
#include "lib/sys/random.h"
#include "lib/sys/socket.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::doctor {
namespace {

Result<void> WriteFile(const std::string& path, std::string_view text, mode_t mode) {
  const UniqueFd file =
      TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode).With(path));
  return sys::WriteAll(file, text);
}

// A JSON string is a double-quoted YAML scalar.
std::string YamlString(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<Stage> Stage::Build() {
  Stage stage;
  stage.plan_.secret = "cellrun-decoy-" + sys::RandomHex(16);
  TRY(stage.MakeDirectory());
  TRY(stage.StartDecoy());
  TRY(stage.OpenSockets());
  stage.plan_.runtime_directory = TRY(wire::RuntimeDirectory());
  stage.plan_.state_directory = TRY(wire::StateDirectory());
  TRY(stage.CopyProgram());
  TRY(stage.MakeFiles());
  return stage;
}

Stage::~Stage() {
  if (directory_.empty()) return;
  std::error_code ignored;  // what is left is a directory of ours with nothing of value
  std::filesystem::remove_all(directory_, ignored);
}

Result<void> Stage::MakeDirectory() {
  std::string path = "/tmp/cellrun-doctor-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return ErrnoError("mkdtemp").With(path);
  directory_ = path;
  plan_.workspace = directory_ + "/project";
  plan_.scratch = "/tmp";  // the cell's own
  plan_.decoy_file = directory_ + "/decoy";
  for (const char* name : {"/project", "/project/.git", "/project/.git/hooks", "/tools"}) {
    TRY(sys::MkdirAt(AT_FDCWD, (directory_ + name).c_str(), 0755));
  }
  return {};
}

// The attacker lies where the cell cannot write, and is the program that runs now.
Result<void> Stage::CopyProgram() {
  const UniqueFd from = TRY(sys::OpenAt(AT_FDCWD, "/proc/self/exe", O_RDONLY));
  const UniqueFd to = TRY(sys::OpenAt(AT_FDCWD, (directory_ + "/tools/attacker").c_str(),
                                      O_WRONLY | O_CREAT | O_EXCL, 0755));
  const struct stat file = TRY(sys::Fstat(from));
  off_t offset = 0;
  while (offset < file.st_size) {
    const auto left = static_cast<std::size_t>(file.st_size - offset);
    const ssize_t sent = sendfile(to.get(), from.get(), &offset, left);
    if (sent < 0) return ErrnoError("sendfile");
    if (sent == 0) return Error(EIO, "sendfile");
  }
  return sys::Fchmod(to, 0755);  // whatever the umask is: the cell's user may be another
}

Result<void> Stage::MakeFiles() {
  TRY(WriteFile(plan_.decoy_file, plan_.secret + "\n", 0644));
  TRY(WriteFile(directory_ + "/tools/plan.json", Encode(plan_), 0644));
  TRY(WriteFile(plan_.workspace + "/.git/HEAD", "ref: refs/heads/main\n", 0644));
  const std::string profile =
      "cellrun: 1\nname: doctor\nextends: [strict]\napprovals: {timeout: 0s}\ncommands:\n  "
      "rules:\n" +
      ("    - name: self-test\n      when: {exe: " + YamlString(directory_ + "/tools/attacker") +
       "}\n") +
      "      then: allow\n";
  return WriteFile(directory_ + "/doctor.yaml", profile, 0644);
}

Result<void> Stage::StartDecoy() {
  auto [read, write] = TRY(sys::Pipe2(O_CLOEXEC));
  // 15 bytes of a name are all that the kernel keeps.
  plan_.decoy_process = "decoy" + plan_.secret.substr(plan_.secret.size() - 10);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) {
    write.Reset();
    (void)sys::SetName(plan_.decoy_process.c_str());  // unnamed, the attack only finds less
    char byte = 0;
    (void)sys::Read(read, {&byte, 1});
    _exit(0);
  }
  decoy_hold_ = std::move(write);
  decoy_ = sys::ChildProcess(pid, TRY(sys::PidfdOpen(pid)));
  return {};
}

Result<void> Stage::OpenSockets() {
  abstract_socket_ = TRY(sys::UnixSocket(SOCK_STREAM));
  plan_.abstract_socket = plan_.secret;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(&name.sun_path[1], plan_.secret.data(), plan_.secret.size());
  const auto bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + plan_.secret.size());
  if (bind(abstract_socket_.get(), reinterpret_cast<const sockaddr*>(&name), bytes) != 0) {
    return ErrnoError("bind");
  }
  TRY(sys::Listen(abstract_socket_, 8));

  tcp_socket_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!tcp_socket_.valid()) return ErrnoError("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(tcp_socket_.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      getsockname(tcp_socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return ErrnoError("bind");
  }
  plan_.tcp_port = ntohs(address.sin_port);
  return sys::Listen(tcp_socket_, 8);
}

std::vector<std::string> Stage::Command() const {
  const std::string tools = directory_ + "/tools";
  return {"cellrun",
          "run",
          "--profile",
          directory_ + "/doctor.yaml",
          "--tty",
          "no",
          "--workspace",
          plan_.workspace,
          "--read",
          tools,
          "--report",
          report(),
          "--time",
          "60s",
          "--",
          tools + "/attacker",
          "doctor",
          "--attack-plan",
          tools + "/plan.json"};
}

}  // namespace cellrun::doctor
