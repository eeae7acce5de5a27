// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/escape/escape.h"
#include "tests/support/laboratory.h"
#include "tests/support/name_server.h"
#include "tests/support/server.h"

namespace cellrun::test {

// A laboratory with somebody who may be reached, somebody who may not, and a DNS server. To be made
// before anything of the case runs.
class Scene {
 public:
  static constexpr char kGood[] = "203.0.113.10", kEvil[] = "203.0.113.66";
  static constexpr char kGood6[] = "2001:db8:1::10", kEvil6[] = "2001:db8:1::66";
  static constexpr char kNames[] = "203.0.113.53";
  static constexpr std::uint16_t kPort = 443;

  // `serve`: what the web server of the world does, which listens on kPort of every address;
  // without one it closes. Packets to it at kGood and kGood6, and to the DNS server, are judged
  // ones.
  explicit Scene(Escape& escape, Server::Serve serve = nullptr, NameServer::Script names = {});

  [[nodiscard]] Laboratory& lab() { return lab_; }
  [[nodiscard]] Capture& capture() { return lab_.capture(); }
  [[nodiscard]] Server& web() { return *web_; }
  [[nodiscard]] NameServer& names() { return *names_; }

  // "network:" of a profile in which everything runs; the lines are indented below it. The DNS
  // server is the scene's.
  std::string Profile(const std::string& lines);
  // kGood and kGood6, over TCP and UDP.
  std::string LettingGood();

  // Tries the attack; what counts is whether anything was sent that nobody has judged. The broker
  // is stopped before that is looked at: nothing can follow.
  void Try(Attack attack);
  // That this has been sent since the last run began: what is let out must work.
  void ExpectSent(const std::string& end);
  [[nodiscard]] std::string Strays();

 private:
  Escape& escape_;
  Laboratory lab_;
  std::unique_ptr<Server> web_;
  std::unique_ptr<DatagramServer> datagrams_, datagrams6_;
  std::unique_ptr<NameServer> names_;
};

// It cannot tell whether it won (kHeld): who looks from outside does.
Words PythonAttack(const std::string& script, const Words& arguments = {});

}  // namespace cellrun::test
