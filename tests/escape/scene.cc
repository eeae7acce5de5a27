// SPDX-License-Identifier: Apache-2.0
#include "tests/escape/scene.h"

namespace cellrun::test {
namespace {

constexpr std::uint16_t kDnsPort = 53;

std::string Everybody(const NameServer::Question& question) {
  return NameServer::Answer(question, {Scene::kGood, Scene::kGood6});
}

}  // namespace

Scene::Scene(Escape& escape, Server::Serve serve, NameServer::Script names) : escape_(escape) {
  using Manner = DatagramServer::Manner;
  lab_.InWorld([&] {
    web_ = std::make_unique<Server>(std::move(serve), "::", kPort);
    datagrams_ = std::make_unique<DatagramServer>(Manner::kEcho, kGood, kPort);
    datagrams6_ = std::make_unique<DatagramServer>(Manner::kEcho, kGood6, kPort);
    names_ = std::make_unique<NameServer>(names ? std::move(names) : Everybody, kNames, kDnsPort);
  });
  const std::string port = ":" + std::to_string(kPort);
  for (const char* protocol : {"tcp ", "udp "}) {
    capture().Permit(protocol + std::string(kGood) + port);
    capture().Permit(protocol + ("[" + std::string(kGood6)) + "]" + port);
    capture().Permit(protocol + std::string(kNames) + ":53");
  }
}

std::string Scene::Profile(const std::string& lines) {
  return escape_.WriteProfile(
      "cellrun: 1\nname: traffic\nextends: [base]\ncommands: {default: allow}\nnetwork:\n"
      "  dns: {upstream: '" +
      std::string(kNames) + ":53'}\n" + lines);
}

std::string Scene::LettingGood() {
  const std::string to = "    - {to: [" + std::string(kGood) + ", '" + kGood6 + "'], ports: [443]";
  return Profile("  rules:\n" + to + ", then: allow}\n" + to + ", proto: udp, then: allow}\n");
}

std::string Scene::Strays() {
  if (escape_.BrokerPid() != 0) {
    EXPECT_EQ(escape_.Cellrun({"broker", "stop", "--force"}).status, 0);
  }
  return capture().DescribeStrays();
}

void Scene::Try(Attack attack) {
  const auto prepare = attack.prepare;
  attack.prepare = [this, prepare] {
    if (prepare) prepare();
    capture().Settle();
  };
  const auto damage = attack.damage;
  attack.damage = [this, damage] {
    const std::string found = damage ? damage() : "";
    return found.empty() ? Strays() : found;
  };
  escape_.Try(attack);
}

void Scene::ExpectSent(const std::string& end) {
  EXPECT_GT(capture().CountTo(end), 0) << "nothing got out at all; strays: " << Strays();
}

Words PythonAttack(const std::string& script, const Words& arguments) {
  Words words = {"python3", "-c", "import os, socket, struct, sys\n" + script + "sys.exit(11)\n"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

}  // namespace cellrun::test
