// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/network_policy.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::import {
namespace {

using policy::Action;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

policy::Source Configuration(const std::string& text) {
  return {"", "/p/.clawker.yaml", text, policy::Layer::kProfile};
}

Imported Import(const std::string& text) {
  const auto imported = ImportClawker(Configuration(text));
  if (imported.ok()) return imported.value();
  for (const auto& problem : imported.problems()) ADD_FAILURE() << problem.ToString();
  return {};
}

std::string FirstProblem(const std::string& text) {
  const auto imported = ImportClawker(Configuration(text));
  EXPECT_FALSE(imported.ok()) << text;
  return imported.ok() ? "" : imported.problems()[0].ToString();
}

// What the rules of an imported profile decide.
Action Decide(const std::string& profile, const std::string& destination) {
  policy::YamlNode root;
  EXPECT_THAT(policy::ReadYaml(Configuration(profile), &root), IsEmpty()) << profile;
  policy::Profile compiled;
  compiled.network_default.value = Action::kDeny;
  const policy::YamlNode* network = root.Find("network");
  const policy::YamlNode* rules = network != nullptr ? network->Find("rules") : nullptr;
  for (std::size_t i = 0; rules != nullptr && i < rules->items.size(); ++i) {
    const policy::YamlNode& node = rules->items[i];
    policy::NetworkRule& rule = compiled.network_rules.emplace_back();
    rule.to = {node.Find("to")->text};
    rule.ports = {*policy::ParsePorts(node.Find("ports")->items[0].text)};
    rule.udp = node.Find("proto") != nullptr;
    rule.then = node.Find("then")->text == "allow" ? Action::kAllow : Action::kDeny;
  }
  const auto policy = policy::NetworkPolicy::Compile(compiled);
  EXPECT_TRUE(policy.ok());
  return policy.value().Decide(*policy::ParseDestination(destination)).action;
}

TEST(ClawkerTest, DomainsAndRulesDecideAsThere) {
  const std::string profile = Import(R"(
build: {packages: [ripgrep]}
security:
  docker_socket: false
  firewall:
    add_domains: [example.com, .metrics.example.net]
    rules:
      - {dst: git.example.com, proto: ssh, port: "22", action: allow}
      - {dst: db.example.com, proto: tcp, port: "5432-5433"}
      - {dst: stun.example.com, proto: udp, port: "3478"}
      - {dst: bad.metrics.example.net, action: deny}
      - {dst: 203.0.113.0/24, proto: opaque, port: 8443}
)")
                                  .profile;
  EXPECT_EQ(Decide(profile, "example.com:443"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "example.com:80"), Action::kDeny);
  EXPECT_EQ(Decide(profile, "www.example.com:443"), Action::kDeny);
  EXPECT_EQ(Decide(profile, "metrics.example.net:443"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "a.metrics.example.net:443"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "bad.metrics.example.net:443"), Action::kDeny);
  EXPECT_EQ(Decide(profile, "git.example.com:22"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "git.example.com:443"), Action::kDeny);
  EXPECT_EQ(Decide(profile, "db.example.com:5433"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "stun.example.com:3478/udp"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "stun.example.com:3478"), Action::kDeny);
  EXPECT_EQ(Decide(profile, "203.0.113.9:8443"), Action::kAllow);
  EXPECT_THAT(profile, HasSubstr("Not imported: build, security.docker_socket\n"));
  EXPECT_THAT(Import("firewall: {add_domains: [a.example]}\nbuild: {}\nsecurity: {}\n").profile,
              HasSubstr("Not imported: build, security\n"));
}

TEST(ClawkerTest, ExactBeatsWildcardAndDenyWinsAmongEquals) {
  const std::string profile = Import(R"(
rules:
  - {dst: "*.example.com", action: deny}
  - {dst: .deep.example.com}
  - {dst: a.example.com}
  - {dst: b.example.com}
  - {dst: b.example.com, action: deny}
)")
                                  .profile;
  EXPECT_EQ(Decide(profile, "a.example.com:443"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "b.example.com:443"), Action::kDeny);
  EXPECT_EQ(Decide(profile, "x.deep.example.com:443"), Action::kAllow);
  EXPECT_EQ(Decide(profile, "x.example.com:443"), Action::kDeny);
}

TEST(ClawkerTest, PathRulesAreCarriedAndNeverDropped) {
  const Imported imported = Import(R"(
firewall:
  rules:
    - dst: api.example.com
      path_rules: [{path: "~/repos/(a|b)/?", action: allow, methods: [GET, HEAD]},
                   {path: /admin, action: deny}]
      path_default: deny
    - {dst: other.example.com, path_default: allow}
)");
  EXPECT_EQ(Decide(imported.profile, "api.example.com:443"), Action::kDeny);
  EXPECT_EQ(Decide(imported.profile, "other.example.com:443"), Action::kDeny);
  EXPECT_THAT(imported.profile,
              HasSubstr("needs TLS inspection: allow GET HEAD ~/repos/(a|b)/?; deny /admin; "
                        "else deny"));
  EXPECT_THAT(imported.notes,
              ElementsAre("api.example.com (line 4) is denied: its path rules need TLS inspection",
                          HasSubstr("other.example.com")));
}

TEST(ClawkerTest, WhatIsWrongIsSaidWithItsPlace) {
  EXPECT_THAT(FirstProblem("rules:\n  - {dst: a.org, action: allwo}\n"),
              HasSubstr("2:26: unknown action 'allwo'"));
  EXPECT_THAT(FirstProblem("rules:\n  - {dst: a.org, prot: tcp}\n"), HasSubstr("unknown key"));
  EXPECT_THAT(FirstProblem("rules:\n  - {proto: tcp, port: 1}\n"), HasSubstr("without 'dst'"));
  EXPECT_THAT(FirstProblem("rules:\n  - {dst: a.org, proto: tcp}\n"), HasSubstr("needs a port"));
  EXPECT_THAT(FirstProblem("rules:\n  - {dst: a.org, proto: icmp}\n"), HasSubstr("unknown proto"));
  EXPECT_THAT(FirstProblem("rules:\n  - {dst: a.org, port: 99999}\n"), HasSubstr("is no port"));
  for (const char* name : {"host", "@npm", "host.cell/x", "a b", "a..org", "127.1", "10.0.0.1/8"}) {
    EXPECT_THAT(FirstProblem("add_domains: ['" + std::string(name) + "']\n"), HasSubstr(name));
  }
  EXPECT_THAT(FirstProblem("build: {}\n"), HasSubstr("no security.firewall"));
  EXPECT_THAT(FirstProblem("[]\n"), HasSubstr("must be a mapping"));
}

TEST(ClawkerTest, NothingAllowedIsNothingAllowed) {
  const Imported empty = Import("add_domains: []\n");
  EXPECT_THAT(empty.profile, HasSubstr("default: deny"));
  EXPECT_THAT(empty.profile, Not(HasSubstr("rules:\n")));
  const Imported off = Import("firewall: {enable: false, add_domains: [a.org]}\n");
  EXPECT_EQ(off.notes.size(), 1U);
  EXPECT_EQ(Decide(off.profile, "b.org:443"), Action::kDeny);
}

}  // namespace
}  // namespace cellrun::import
