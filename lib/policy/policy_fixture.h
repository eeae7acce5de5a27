// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/policy/policy.h"

namespace cellrun::policy {

using Strings = std::vector<std::string>;

inline const Places kPlaces{.home = "/home/u", .workspace = "/home/u/project"};

// A machine: absolute path → what it is.
class Machine {
 public:
  Machine() {
    Add("/usr/bin/git", 1);
    Add("/usr/bin/ls", 2);
    Add("/usr/bin/bash", 3);
    Add("/usr/bin/python3.11", 4);
    Add("/usr/bin/sudo", 5);
    Add("/usr/bin/env", 6);
    Link("/usr/bin/python3", "/usr/bin/python3.11");
    Link("/bin", "/usr/bin");
  }
  void Add(const std::string& path, std::uint64_t inode) { files_[path] = {{8, inode}, path}; }
  void Link(const std::string& path, const std::string& to) { files_[path] = {files_[to].id, to}; }
  [[nodiscard]] FileLookup Lookup() const {
    return [files = files_](const std::string& path) -> std::optional<FileFacts> {
      const auto found = files.find(path);
      if (found == files.end()) return std::nullopt;
      return found->second;
    };
  }
  ExecImage Image(const std::string& path) {
    ExecImage image;
    image.path = path;
    image.id = files_.contains(path) ? files_[path].id : FileId{9, 1000 + path.size()};
    return image;
  }

 private:
  std::map<std::string, FileFacts> files_;
};

inline CommandRule Rule(When when, Action then, Layer layer = Layer::kProfile) {
  CommandRule rule;
  rule.when = std::move(when);
  rule.then = then;
  rule.layer = layer;
  return rule;
}

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() {
    for (const char* directory : {"/usr/local/bin", "/usr/bin", "/bin"}) {
      profile_.path.push_back({.value = directory, .at = {}, .layer = Layer::kProfile});
    }
    profile_.command_default.value = Action::kDeny;
    profile_.audit_commands.value = AuditLevel::kAll;
  }

  CommandRule& AddRule(When when, Action then, Layer layer = Layer::kProfile) {
    CommandRule rule = Rule(std::move(when), then, layer);
    rule.name = "rule" + std::to_string(profile_.command_rules.size());
    profile_.command_rules.push_back(rule);
    return profile_.command_rules.back();
  }

  std::shared_ptr<const Policy> Compile() {
    auto compiled = Policy::Compile(profile_, kPlaces, machine_.Lookup(), now_);
    EXPECT_TRUE(compiled.ok());
    return compiled.ok() ? compiled.value() : nullptr;
  }
  std::string CompileProblem() {
    const auto compiled = Policy::Compile(profile_, kPlaces, machine_.Lookup(), now_);
    return compiled.ok() ? "" : compiled.problems().front().what;
  }

  ExecRequest Request(const std::string& path, Strings arguments = {}) {
    ExecRequest request;
    request.raw_path = path;
    request.images.push_back(machine_.Image(path));
    request.argv = {path};
    request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
    request.cwd = kPlaces.workspace;
    request.parent = "/usr/bin/bash";
    request.uid = 1000;
    request.user = "u";
    return request;
  }
  Action Decide(const ExecRequest& request) { return Compile()->Decide(request).action; }
  Action Decide(const std::string& path, Strings arguments = {}) {
    return Decide(Request(path, std::move(arguments)));
  }

  Machine machine_;
  Profile profile_;
  std::chrono::system_clock::time_point now_ =
      std::chrono::sys_days(std::chrono::year(2025) / 6 / 1);
};

}  // namespace cellrun::policy
