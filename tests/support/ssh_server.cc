// SPDX-License-Identifier: Apache-2.0
#include "tests/support/ssh_server.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace cellrun::test {
namespace {

void Write(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  EXPECT_TRUE(file.good()) << "writing " << path;
  EXPECT_EQ(chmod(path.c_str(), mode), 0) << path;
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

SshServer::SshServer(Shape shape) : shape_(std::move(shape)) {
  std::filesystem::create_directories(shape_.directory);
  MakeKeys();
  Write(shape_.directory + "/config", Configuration(), 0644);
  Write(serve(), Serving(), 0755);
}

std::string SshServer::host_key() const {
  const std::string line = Read(shape_.directory + "/host.pub");
  return line.substr(0, line.find(' ', line.find(' ') + 1));  // without the comment
}

std::string SshServer::errors() const {
  return Read(shape_.directory + "/errors");
}

std::string SshServer::User() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread asks
  const passwd* self = getpwuid(geteuid());
  return self != nullptr ? self->pw_name : "root";
}

void SshServer::MakeKeys() const {
  for (const char* name : {"/host", "/person"}) {
    const Outcome made = RunCommand(
        {.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", shape_.directory + name},
         .environment = InheritedEnvironment()});
    EXPECT_EQ(made.status, 0) << made;
  }
}

std::string SshServer::Configuration() const {
  std::string text = "HostKey " + shape_.directory + "/host\nAuthorizedKeysFile " +
                     shape_.directory +
                     "/person.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
                     "PermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\n"
                     "AcceptEnv LANG LC_*\n";
  if (shape_.environment.empty()) return text;
  text += "SetEnv";
  for (const auto& [name, value] : shape_.environment) text += " " + name + "=" + value;
  return text + "\n";
}

// In a mount namespace that ends with it. As root sshd wants a directory below /run and a user,
// and writes down who logs in; as a user it wants a terminal of the group tty, unless there is no
// such group.
std::string SshServer::Serving() const {
  const std::string& directory = shape_.directory;
  const std::string serve =
      shape_.program + " -i -e -f " + directory + "/config 2>" + directory + "/errors\n";
  if (shape_.as_root) {
    return "#!/bin/sh\n[ \"$1\" = inside ] || exec unshare --mount \"$0\" inside\n"
           "mount -t tmpfs none /run && mount -t tmpfs none /var/log && mkdir -m 755 /run/sshd "
           "|| exit 1\n"
           "{ cat /etc/passwd; echo sshd:x:65534:65534::/run/sshd:/bin/false; } >/run/passwd\n"
           "mount --bind /run/passwd /etc/passwd || exit 1\nexec " +
           serve;
  }
  return "#!/bin/sh\n[ \"$1\" = inside ] || "
         "exec unshare --user --map-current-user --keep-caps --mount \"$0\" inside\n"
         "grep -v ^tty: /etc/group >" +
         directory + "/group\nmount --bind " + directory +
         "/group /etc/group || exit 1\nexec setpriv --ambient-caps=-all --inh-caps=-all " + serve;
}

}  // namespace cellrun::test
