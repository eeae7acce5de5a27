// SPDX-License-Identifier: Apache-2.0
// A DNS server whose answers a test writes, on 127.0.0.1 over UDP and TCP.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "broker/net/message/message.h"
#include "broker/net/message/wire_fixture.h"
#include "lib/sys/internet.h"
#include "lib/sys/socket.h"

namespace cellrun::net {

class LyingServer {
 public:
  struct Asked {
    Query query;
    bool stream = false;
  };
  // What is sent back for a question; nothing: silence.
  using Script = std::function<std::vector<std::string>(const Asked&)>;

  // On the loop's thread, as its end. It may block there.
  LyingServer(loop::Loop& loop, Script script) : loop_(loop), script_(std::move(script)) {
    Bind();
    watches_.push_back(loop_.WatchReadable(datagrams_, [this] { TakeDatagrams(); }));
    watches_.push_back(loop_.WatchReadable(streams_, [this] { TakeStream(); }));
  }
  [[nodiscard]] Endpoint endpoint() const { return endpoint_; }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  // The same port for both.
  void Bind() {
    for (int tries = 0; tries < 20; ++tries) {
      datagrams_ = std::move(sys::InternetSocket(AF_INET, SOCK_DGRAM)).value();
      streams_ = std::move(sys::InternetSocket(AF_INET, SOCK_STREAM)).value();
      SocketAddress any = SocketAddressOf({.address = Ipv4(INADDR_LOOPBACK)});
      EXPECT_TRUE(sys::BindInternet(datagrams_, any.get(), any.size).ok());
      const sockaddr_storage bound = sys::LocalAddress(datagrams_).value();
      endpoint_ = *EndpointOf({reinterpret_cast<const char*>(&bound), any.size});
      const SocketAddress same = SocketAddressOf(endpoint_);
      if (!sys::BindInternet(streams_, same.get(), same.size).ok()) continue;
      constexpr int kBacklog = 8;
      EXPECT_TRUE(sys::Listen(streams_, kBacklog).ok());
      return;
    }
    ADD_FAILURE() << "no free port";
  }
  std::vector<std::string> AnswersTo(std::string_view bytes, bool stream) {
    ++count_;
    const auto query = ReadQuery(bytes);
    EXPECT_TRUE(query);
    return query ? script_({.query = *query, .stream = stream}) : std::vector<std::string>();
  }
  void TakeDatagrams() {
    const std::size_t count = batch_.Receive(datagrams_).value_or(0);
    for (std::size_t i = 0; i < count; ++i) {
      const auto datagram = batch_.at(i);
      for (const std::string& answer : AnswersTo(datagram.bytes, false)) {
        (void)sys::SendDatagram(datagrams_, answer, datagram.from, datagram.from_size);
      }
    }
  }
  void TakeStream() {
    const UniqueFd stream = std::move(sys::Accept(streams_, 0)).value();
    std::string received(512, '\0');
    const ssize_t size = recv(stream.get(), received.data(), received.size(), 0);
    if (size < 2) return;
    received.resize(static_cast<std::size_t>(size));
    for (const std::string& answer : AnswersTo(received.substr(2), true)) {
      const std::string framed = wire_fixture::Word16(answer.size()) + answer;
      (void)send(stream.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
    }
  }

  loop::Loop& loop_;
  Script script_;
  UniqueFd datagrams_, streams_;
  Endpoint endpoint_;
  sys::DatagramBatch batch_{8, 4096};
  std::size_t count_ = 0;
  std::vector<std::unique_ptr<loop::Loop::Watch>> watches_;
};

}  // namespace cellrun::net
