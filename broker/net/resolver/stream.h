// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "broker/loop/loop.h"
#include "broker/net/resolver/answerer.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// One TCP connection to a resolver: queries with two bytes of length before each (RFC 7766),
// several one after another. One that sends nothing whole for `stream_idle`, asks too fast, sends
// too much at once or does not take its answers ends. On the loop's thread.
class Stream {
 public:
  // `ended` destroys the Stream.
  Stream(loop::Loop& loop, UniqueFd socket, Answerer& answerer, TokenBucket& queries,
         std::function<void(const Stream*)> ended);

 private:
  void Take();
  void Expect();  // the next query, in time
  [[nodiscard]] bool AnswerAll();
  void EndEarly();
  void End();

  loop::Loop& loop_;
  const UniqueFd socket_;
  Answerer& answerer_;
  TokenBucket& queries_;
  const std::function<void(const Stream*)> ended_;
  std::string received_;
  std::unique_ptr<loop::Loop::Watch> watch_;
  std::unique_ptr<loop::Loop::Timer> deadline_;
};

}  // namespace cellrun::net
