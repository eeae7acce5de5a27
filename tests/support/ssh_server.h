// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tests/support/process.h"

namespace cellrun::test {

// A real sshd for whoever runs the test, with keys of its own: it is started for one connection, on
// its standard streams, and ends with it. Nothing of the machine's own ssh takes part.
class SshServer {
 public:
  struct Shape {
    std::string program;           // tests/sshd of the installed copy
    std::string directory;         // of the case's own, for keys and files
    bool as_root = false;          // who runs it, and logs in
    Environment environment = {};  // beside what sshd gives to who logs in
  };
  // Fails the running test when it cannot make its keys.
  explicit SshServer(Shape shape);

  [[nodiscard]] std::string serve() const { return shape_.directory + "/serve"; }  // a program
  [[nodiscard]] std::string identity() const { return shape_.directory + "/person"; }
  [[nodiscard]] std::string host_key() const;  // "ssh-ed25519 …", as known_hosts has it
  [[nodiscard]] std::string errors() const;    // what it wrote
  static std::string User();                   // who logs in

 private:
  void MakeKeys() const;
  [[nodiscard]] std::string Configuration() const;
  [[nodiscard]] std::string Serving() const;

  const Shape shape_;
};

}  // namespace cellrun::test
