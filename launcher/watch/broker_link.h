// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/client/exchange.h"
#include "launcher/client/http_response.h"
#include "launcher/watch/model.h"

namespace cellrun::watch {

// Carries what the broker says to the model, and the model's orders to the broker. Nothing in here
// waits: the caller polls.
class BrokerLink {
 public:
  BrokerLink(std::string socket_path, Model& model)
      : socket_path_(std::move(socket_path)), model_(model) {}

  // Connects where it is time to, and gives up on what takes too long.
  void Tick(Moment now);
  [[nodiscard]] Moment NextTick(Moment now) const;
  void Carry(Order order, Moment now);
  // Appends what to wait for; Handle takes the same entries, as poll(2) left them.
  void AppendTo(std::vector<pollfd>& poll_set) const;
  void Handle(const std::vector<pollfd>& poll_set, Moment now);

 private:
  struct Call {
    std::uint64_t number;
    Order::Kind kind;
    client::Exchange exchange;
    std::string body;
    Moment deadline;
  };
  struct Stream {
    client::Exchange exchange;
    client::LineSplitter lines;
    std::string failure;  // the body of an answer that is no list
    bool announced = false;
  };

  void StartCalls(Moment now);
  void Connect(Moment now);
  void Lose(const std::string& why, Moment now);
  void ReadStream(Moment now);
  bool TakeLine(std::string_view line, Moment now);
  void ReadCall(Call& call, Moment now);
  void FinishCall(const Call& call, Moment now);

  const std::string socket_path_;
  Model& model_;
  std::optional<Stream> stream_;
  std::string stream_error_;
  std::list<Call> calls_;
  std::deque<Order> waiting_;
  Moment next_try_{};
  std::chrono::milliseconds patience_{0};  // before the next try
};

}  // namespace cellrun::watch
