// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/approvals/approvals.h"
#include "broker/approvals/routes.h"
#include "broker/journal/temporary_journal.h"
#include "launcher/client/http.h"
#include "lib/sys/socket.h"
#include "tests/support/result_matchers.h"

namespace cellrun::approvals {

inline Ask Push(int number = 0, const std::string& cell = "0123456789ab") {
  Ask ask;
  ask.cell_id = cell;
  ask.cell_name = "quiet-otter";
  ask.profile = "strict";
  ask.workspace = "/home/u/p";
  ask.pid = 4711;
  ask.cwd = "/home/u/p";
  ask.program = "/usr/bin/git";
  ask.image_hash = std::string(64, 'a');
  ask.argv = {"git", "push", std::to_string(number)};
  ask.environment_digest = std::string(64, 'e');
  ask.rule = {.name = "push", .layer = policy::Layer::kProfile, .at = {"strict.yaml", 26, 5}};
  ask.timeout = std::chrono::seconds(100);
  return ask;
}

// A queue behind its routes, asked as the launcher asks it.
class ApprovalsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    journal_ = journal::OpenJournal(state_);
    Start();
  }
  void Start() {
    loop_ = std::make_unique<loop::Loop>();
    approvals_ = Approvals::Open(*loop_, *journal_, state_.directory()).value();
    http::Router router;
    routes_ = Routes::Make(*loop_, *approvals_, *journal_);
    routes_->Register(router);
    socket_ = state_.directory() + "/api.sock";
    UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
    ASSERT_THAT(sys::BindUnix(listener, socket_), test::IsOk());
    ASSERT_THAT(sys::Listen(listener, 128), test::IsOk());
    server_ = http::Server::Start(*loop_, std::move(listener), std::move(router),
                                  {.max_connections = 256})
                  .value();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void Stop() {
    OnLoop([this] {
      server_.reset();
      routes_.reset();
      approvals_.reset();
      loop_->Stop();
    });
    thread_.join();
    loop_.reset();
  }
  void TearDown() override {
    Stop();
    EXPECT_THAT(journal_->Close(), test::IsOk());
  }
  template <typename Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  Queue::Submission Submit(
      Ask ask, Queue::Decided decided = [](const Decision&) {}) {
    Queue::Submission submission;
    OnLoop([&] { submission = approvals_->Submit(std::move(ask), std::move(decided)); });
    return submission;
  }
  client::HttpResponse Call(const std::string& method, const std::string& target,
                            const std::string& body = "") {
    return client::Call(socket_, {.method = method, .target = target, .body = body}).value();
  }
  nlohmann::json Show(const std::string& id) {
    return nlohmann::json::parse(Call("GET", "/v1/approvals/" + id).body);
  }
  client::HttpResponse Reply(const std::string& id, nlohmann::json answer) {
    if (!answer.contains("digest")) answer["digest"] = Show(id)["digest"];
    return Call("POST", "/v1/approvals/" + id, answer.dump());
  }
  std::vector<nlohmann::json> List(const std::string& query = "") {
    std::vector<nlohmann::json> asks;
    (void)client::CallForLines(socket_, {.target = "/v1/approvals" + query},
                               [&](std::string_view line) {
                                 asks.push_back(nlohmann::json::parse(line));
                                 return true;
                               });
    return asks;
  }
  std::vector<nlohmann::json> RuleList() {
    std::vector<nlohmann::json> rules;
    (void)client::CallForLines(socket_, {.target = "/v1/approval-rules"},
                               [&](std::string_view line) {
                                 rules.push_back(nlohmann::json::parse(line));
                                 return true;
                               });
    return rules;
  }
  static std::string ReadText(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Restart() {
    Stop();
    unlink(socket_.c_str());
    Start();
  }
  std::vector<nlohmann::json> AskRecords() {
    EXPECT_THAT(journal_->Flush(std::chrono::seconds(5)), test::IsOk());
    std::vector<nlohmann::json> records;
    for (const std::string& text : state_.Records({.kinds = {"ask"}})) {
      records.push_back(nlohmann::json::parse(text));
    }
    return records;
  }

  journal::TemporaryState state_;
  std::string socket_;
  std::unique_ptr<loop::Loop> loop_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Approvals> approvals_;
  std::unique_ptr<Routes> routes_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

}  // namespace cellrun::approvals
