// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/upstream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <optional>
#include <thread>

#include "broker/loop/loop_thread.h"
#include "broker/net/upstream/lying_server.h"

namespace cellrun::net {
namespace {

using namespace wire_fixture;          // NOLINT(google-build-using-namespace)
using namespace std::string_literals;  // NOLINT(google-build-using-namespace)
using Asked = LyingServer::Asked;
using Replies = std::vector<std::string>;
using Outcome = Upstream::Outcome;
using std::chrono::milliseconds;

const std::string kOwner = "\xC0\x0C";
const std::string kFamiliar = "\xCB\0q\1"s;  // 203.0.113.1

// A whole, honest response.
std::string Respond(const Query& query, std::size_t count, const std::string& records,
                    std::size_t flags = kResponse) {
  return Header(query.id, flags, {.answers = count}) + query.question + records;
}
std::string Honest(const Query& query) {
  if (query.type == type::kAaaa) return Respond(query, 0, "");
  return Respond(query, 1, ResourceRecord(kOwner, type::kA, kFamiliar));
}

// A server with a script, an Upstream that asks it, each on a loop of its own.
class UpstreamTest : public testing::Test {
 protected:
  void Serve(LyingServer::Script script, Upstream::Settings settings = {}) {
    server_thread_.Do([&] {
      servers_.push_back(std::make_unique<LyingServer>(server_thread_.loop(), std::move(script)));
    });
    thread_.Do([&] {
      settings_ = std::move(settings);
      if (settings_.has_way == nullptr) settings_.has_way = [](const Address&) { return true; };
      if (settings_.try_time == Upstream::Settings().try_time)
        settings_.try_time = milliseconds(200);
      settings_.servers = {};
      for (const auto& server : servers_) settings_.servers.all.push_back(server->endpoint());
      upstream_ = std::make_unique<Upstream>(thread_.loop(), settings_);
    });
  }
  Upstream::Answer Resolve(const std::string& name, milliseconds limit = milliseconds(5000)) {
    std::promise<Upstream::Answer> promise;
    thread_.Do([&] {
      upstream_->Resolve(name, Upstream::Clock::now() + limit,
                         [&](const Upstream::Answer& answer) { promise.set_value(answer); });
    });
    return promise.get_future().get();
  }
  std::string Text(const std::string& name) {
    const Upstream::Answer answer = Resolve(name);
    std::string text = std::to_string(static_cast<int>(answer.outcome));
    for (const Address& address : answer.addresses) text += " " + FormatAddress(address);
    return text;
  }
  std::size_t Count(std::size_t server = 0) {
    std::size_t count = 0;
    server_thread_.Do([&] { count = servers_.at(server)->count(); });
    return count;
  }
  void TearDown() override {
    thread_.Do([this] { upstream_.reset(); });
    server_thread_.Do([this] { servers_.clear(); });
  }

  loop::LoopThread server_thread_, thread_;  // a server may block
  std::vector<std::unique_ptr<LyingServer>> servers_;
  Upstream::Settings settings_;
  std::unique_ptr<Upstream> upstream_;
};

TEST_F(UpstreamTest, BothFamiliesAreFound) {
  Serve([](const Asked& asked) -> Replies {
    const std::size_t type = asked.query.type;
    const std::string data = type == type::kA ? kFamiliar : "\x20\1\x0D\xB8"s + std::string(12, 1);
    return {Respond(asked.query, 1, ResourceRecord(kOwner, type, data))};
  });
  EXPECT_EQ(Text("git.example.com"), "0 2001:db8:101:101:101:101:101:101 203.0.113.1");
}

TEST_F(UpstreamTest, AnAnswerIsRememberedForItsTime) {
  Serve([](const Asked& asked) -> Replies { return {Honest(asked.query)}; });
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_EQ(Count(), 2U);
}

TEST_F(UpstreamTest, ATimeOfZeroIsNotRemembered) {
  Serve([](const Asked& asked) -> Replies {
    if (asked.query.type == type::kAaaa) return {Respond(asked.query, 0, "")};
    return {Respond(asked.query, 1, ResourceRecord(kOwner, type::kA, kFamiliar, 0))};
  });
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_EQ(Count(), 4U);
}

TEST_F(UpstreamTest, WhatDoesNotExistIsSaid) {
  Serve([](const Asked& asked) -> Replies {
    return {Respond(asked.query, 0, "", asked.query.name == "no.example.com" ? 0x8183 : 0x8180)};
  });
  EXPECT_EQ(Resolve("no.example.com").outcome, Outcome::kNoName);
  EXPECT_EQ(Resolve("empty.example.com").outcome, Outcome::kNoAddress);
}

// G4: what answers another question, or with another id, is as if it had not come.
TEST_F(UpstreamTest, LiesBesideTheAnswerAreIgnored) {
  Serve([](const Asked& asked) -> Replies {
    const std::string lie = ResourceRecord(kOwner, type::kA, "\x0A\0\0\1"s);
    Query other_id = asked.query, other_name = asked.query, other_type = asked.query,
          other_class = asked.query;
    ++other_id.id;
    other_name.question = Question(Name("evil.example.com"), asked.query.type);
    other_type.question = Question(Name(asked.query.name), 16);
    other_class.question = Question(Name(asked.query.name), asked.query.type, 3);
    return {"garbage",
            "",
            Respond(other_id, 1, lie),
            Respond(other_name, 1, lie),
            Respond(other_type, 1, lie),
            Respond(other_class, 1, lie),
            Respond(asked.query, 1, lie, 0x0100),  // not even a response
            Respond(asked.query, 2, lie),          // less than it says
            Honest(asked.query)};
  });
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
}

TEST_F(UpstreamTest, AddressesOfOtherNamesDoNotCount) {
  Serve([](const Asked& asked) -> Replies {
    return {Respond(asked.query, 2,
                    ResourceRecord(Name("evil.example.com"), type::kA, kFamiliar) +
                        ResourceRecord(kOwner, 16, "\4text"))};
  });
  EXPECT_EQ(Resolve("git.example.com").outcome, Outcome::kNoAddress);
}

TEST_F(UpstreamTest, AliasesAreFollowed) {
  Serve([](const Asked& asked) -> Replies {
    if (asked.query.type == type::kAaaa) return {Respond(asked.query, 0, "")};
    if (asked.query.name == "far.example.net") return {Honest(asked.query)};
    return {Respond(asked.query, 2,
                    ResourceRecord(Name("near.example.com"), 5, Name("far.example.net")) +
                        ResourceRecord(kOwner, 5, Name("near.example.com")))};
  });
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
}

TEST_F(UpstreamTest, AliasLoopsEnd) {
  Serve([](const Asked& asked) -> Replies {
    if (asked.query.name == "self.example.com") {
      return {Respond(asked.query, 1, ResourceRecord(kOwner, 5, kOwner))};
    }
    const std::string other = asked.query.name == "a.example.com" ? "b" : "a";
    return {Respond(asked.query, 1, ResourceRecord(kOwner, 5, Name(other + ".example.com")))};
  });
  EXPECT_EQ(Resolve("self.example.com").outcome, Outcome::kFailed);
  EXPECT_EQ(Resolve("a.example.com").outcome, Outcome::kFailed);
  EXPECT_LT(Count(), 30U);
}

TEST_F(UpstreamTest, ATruncatedAnswerIsAskedForOverTcp) {
  Serve([](const Asked& asked) -> Replies {
    if (!asked.stream) return {Respond(asked.query, 0, "", kResponse | 0x0200)};
    if (asked.query.type == type::kAaaa) return {Respond(asked.query, 0, "")};
    std::string records;
    for (int i = 0; i < 4000; ++i) records += ResourceRecord(kOwner, type::kA, kFamiliar);
    return {Respond(asked.query, 4000, records).substr(0, 65535)};
  });
  EXPECT_EQ(Resolve("big.example.com").addresses.size(), Upstream::kMostAddresses / 2);
}

TEST_F(UpstreamTest, LiesOverTcpAreNoAnswer) {
  Serve([](const Asked& asked) -> Replies {
    if (!asked.stream) return {Respond(asked.query, 0, "", kResponse | 0x0200)};
    if (asked.query.type == type::kAaaa) return {};
    return {"garbage"};
  });
  EXPECT_EQ(Resolve("git.example.com").outcome, Outcome::kFailed);
}

TEST_F(UpstreamTest, SilenceEndsAtTheDeadline) {
  Serve([](const Asked&) -> Replies { return {}; }, {.try_time = milliseconds(10'000)});
  const auto before = Upstream::Clock::now();
  EXPECT_EQ(Resolve("git.example.com", milliseconds(150)).outcome, Outcome::kTimedOut);
  const auto took = Upstream::Clock::now() - before;
  EXPECT_GE(took, milliseconds(140));
  EXPECT_LT(took, milliseconds(2000));
}

TEST_F(UpstreamTest, OneSilentFamilyDoesNotHoldTheOther) {
  Serve(
      [](const Asked& asked) -> Replies {
        if (asked.query.type == type::kAaaa) return {};
        return {Honest(asked.query)};
      },
      {.try_time = milliseconds(10'000)});
  const auto before = Upstream::Clock::now();
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_LT(Upstream::Clock::now() - before, milliseconds(2000));
}

// A host with one family: a resolver that makes up addresses of the other one takes longer for it
// (DNS64), or has those that lead nowhere first.
TEST_F(UpstreamTest, AddressesThatThereIsNoWayToWaitForTheOthers) {
  Serve(
      [](const Asked& asked) -> Replies {
        if (asked.query.type == type::kAaaa) {
          return {Respond(
              asked.query, 1,
              ResourceRecord(kOwner, asked.query.type, "\x20\1\x0D\xB8"s + std::string(12, 1)))};
        }
        std::this_thread::sleep_for(milliseconds(300));  // what a far resolver takes
        return {Honest(asked.query)};
      },
      {.try_time = milliseconds(3000),
       .has_way = [](const Address& address) { return !address.ipv6; }});
  EXPECT_EQ(Text("git.example.com"), "0 2001:db8:101:101:101:101:101:101 203.0.113.1");
}

TEST_F(UpstreamTest, WhoeverWantsANameAtOnceSharesOneLookup) {
  Serve([](const Asked& asked) -> Replies { return {Honest(asked.query)}; }, {.pending = 1});
  constexpr int kMany = 200;
  std::atomic<int> found{0}, ended{0};
  std::promise<void> all;
  thread_.Do([&] {
    for (int i = 0; i < kMany; ++i) {
      upstream_->Resolve("git.example.com", Upstream::Clock::now() + milliseconds(5000),
                         [&](const Upstream::Answer& answer) {
                           found += answer.outcome == Outcome::kFound ? 1 : 0;
                           if (++ended == kMany) all.set_value();
                         });
    }
  });
  all.get_future().wait();
  EXPECT_EQ(found, kMany);
  EXPECT_EQ(Count(), 2U);
}

TEST_F(UpstreamTest, AServerThatCannotIsPassedOver) {
  Serve([](const Asked& asked) -> Replies { return {Respond(asked.query, 0, "", 0x8182)}; });
  Serve([](const Asked& asked) -> Replies { return {Honest(asked.query)}; });
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_GE(Count(0), 1U);
}

TEST_F(UpstreamTest, AServerThatIsNotThereIsPassedOverAtOnce) {
  Serve([](const Asked& asked) -> Replies { return {Honest(asked.query)}; });
  thread_.Do([&] {
    Endpoint closed = settings_.servers.all[0];
    closed.address = *ParseAddress("127.0.0.77");
    settings_.servers.all.insert(settings_.servers.all.begin(), closed);
    settings_.try_time = milliseconds(10'000);
    upstream_ = std::make_unique<Upstream>(thread_.loop(), settings_);
  });
  const auto before = Upstream::Clock::now();
  EXPECT_EQ(Text("git.example.com"), "0 203.0.113.1");
  EXPECT_LT(Upstream::Clock::now() - before, milliseconds(2000));
}

TEST_F(UpstreamTest, ASilentServerIsAskedLastFromThenOn) {
  Serve([](const Asked&) -> Replies { return {}; });
  Serve([](const Asked& asked) -> Replies { return {Honest(asked.query)}; });
  EXPECT_EQ(Text("one.example.com"), "0 203.0.113.1");
  const std::size_t before = Count(0);
  EXPECT_GE(before, 1U);
  EXPECT_EQ(Text("two.example.com"), "0 203.0.113.1");
  EXPECT_EQ(Count(0), before);
}

// ---- Split DNS. Of three servers the first answers for everything else, the second for
// corp.example, the third for lab.corp.example.

std::string Saying(const Query& query, char last) {
  if (query.type == type::kAaaa) return Respond(query, 0, "");
  return Respond(query, 1, ResourceRecord(kOwner, type::kA, kFamiliar.substr(0, 3) + last));
}

class SplitTest : public UpstreamTest {
 protected:
  void Serve(LyingServer::Script all, LyingServer::Script corp, LyingServer::Script lab) {
    UpstreamTest::Serve(std::move(all));
    UpstreamTest::Serve(std::move(corp));
    UpstreamTest::Serve(std::move(lab));
    thread_.Do([&] {
      settings_.servers = {.all = {servers_[0]->endpoint()},
                           .split = {{"corp.example", {servers_[1]->endpoint()}},
                                     {"lab.corp.example", {servers_[2]->endpoint()}}}};
      upstream_ = std::make_unique<Upstream>(thread_.loop(), settings_);
    });
  }
  static LyingServer::Script Always(char last) {
    return [last](const Asked& asked) -> Replies { return {Saying(asked.query, last)}; };
  }
  Endpoint Server(std::size_t index) {
    Endpoint endpoint;
    server_thread_.Do([&] { endpoint = servers_.at(index)->endpoint(); });
    return endpoint;
  }
};

TEST_F(SplitTest, TheLongestDomainDecidesWhoIsAsked) {
  Serve(Always(1), Always(2), Always(3));
  EXPECT_EQ(Text("git.example"), "0 203.0.113.1");
  EXPECT_EQ(Text("notcorp.example"), "0 203.0.113.1");
  EXPECT_EQ(Text("corp.example.org"), "0 203.0.113.1");
  EXPECT_EQ(Text("corp.example"), "0 203.0.113.2");
  EXPECT_EQ(Text("a.b.corp.example"), "0 203.0.113.2");
  EXPECT_EQ(Text("lab.corp.example"), "0 203.0.113.3");
  EXPECT_EQ(Text("x.lab.corp.example"), "0 203.0.113.3");
  EXPECT_EQ(Resolve("y.lab.corp.example").asked, std::vector<Endpoint>{Server(2)});
}

// Neither silence nor a refusal nor NXDOMAIN asks anybody else: the name would be told to them.
TEST_F(SplitTest, NobodyElseIsAskedWhenNoAnswerComes) {
  Serve(
      Always(1), [](const Asked&) -> Replies { return {}; },
      [](const Asked& asked) -> Replies {
        const bool no_name = asked.query.name == "no.lab.corp.example";
        return {Respond(asked.query, 0, "", no_name ? 0x8183 : 0x8182)};
      });
  const Upstream::Answer silent = Resolve("git.corp.example");
  EXPECT_EQ(silent.outcome, Outcome::kTimedOut);
  EXPECT_EQ(silent.asked, std::vector<Endpoint>{Server(1)});
  EXPECT_EQ(Resolve("git.lab.corp.example").outcome, Outcome::kFailed);
  EXPECT_EQ(Resolve("no.lab.corp.example").outcome, Outcome::kNoName);
  EXPECT_EQ(Count(0), 0U);
}

// An alias into another domain is asked for there, whatever its giver says of it.
TEST_F(SplitTest, AnAliasIsAskedForWhereItBelongs) {
  const auto alias_with_lie = [](const std::string& to) {
    return [to](const Asked& asked) -> Replies {
      if (asked.query.type == type::kAaaa) return {Respond(asked.query, 0, "")};
      return {Respond(
          asked.query, 2,
          ResourceRecord(kOwner, 5, Name(to)) + ResourceRecord(Name(to), type::kA, "\x0A\0\0\1"s))};
    };
  };
  Serve(alias_with_lie("git.corp.example"), alias_with_lie("git.lab.corp.example"), Always(3));
  EXPECT_EQ(Text("www.example"), "0 203.0.113.3");
  EXPECT_EQ(Count(0), 2U);
}

TEST_F(SplitTest, OtherServersForgetWhatWasRemembered) {
  Serve(Always(1), Always(2), Always(3));
  EXPECT_EQ(Text("git.corp.example"), "0 203.0.113.2");
  thread_.Do([&] { upstream_->Use({.all = settings_.servers.all, .split = {}}); });
  EXPECT_EQ(Text("git.corp.example"), "0 203.0.113.1");
}

TEST_F(UpstreamTest, TooManyAtOnceAreRefused) {
  Serve([](const Asked&) -> Replies { return {}; }, {.pending = 2});
  std::vector<Outcome> outcomes;
  thread_.Do([&] {
    for (int i = 0; i < 3; ++i) {
      upstream_->Resolve(
          "n" + std::to_string(i), Upstream::Clock::now() + std::chrono::hours(1),
          [&](const Upstream::Answer& answer) { outcomes.push_back(answer.outcome); });
    }
  });
  thread_.Do([&] { EXPECT_EQ(outcomes, std::vector<Outcome>{Outcome::kBusy}); });
}

// Mapped addresses come out as what they are, so that the judge sees them.
TEST_F(UpstreamTest, AMappedAddressIsAnIpv4Address) {
  Serve([](const Asked& asked) -> Replies {
    if (asked.query.type == type::kA) return {Respond(asked.query, 0, "")};
    return {Respond(
        asked.query, 1,
        ResourceRecord(kOwner, type::kAaaa, std::string(10, '\0') + "\xFF\xFF\x7F\0\0\1"s))};
  });
  EXPECT_EQ(Text("git.example.com"), "0 127.0.0.1");
}

}  // namespace
}  // namespace cellrun::net
