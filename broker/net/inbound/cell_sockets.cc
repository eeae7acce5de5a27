// SPDX-License-Identifier: Apache-2.0
#include "broker/net/inbound/cell_sockets.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/wire/control.h"

namespace cellrun::net {

CellSockets::Stock& CellSockets::Of(int family) {
  return stocks_.at(family == AF_INET6 ? 1 : 0);
}

void CellSockets::Take(Taken taken) {
  waiting_.push_back(std::move(taken));
  Serve();
}

void CellSockets::Give(int family, Result<UniqueFd> made) {
  Stock& stock = Of(family);
  stock.ordered = std::max(0, stock.ordered - 1);
  if (made.ok()) {
    stock.sockets.push_back(std::move(*made));
  } else if (family == AF_INET6 && made.error().code() == EAFNOSUPPORT) {
    stock.missing = true;
  } else if (!waiting_.empty()) {
    const Taken first = std::move(waiting_.front());
    waiting_.pop_front();
    first(made.error());
  } else {
    return;  // the next one who wants a pair orders again
  }
  Serve();
}

void CellSockets::Serve() {
  const auto ready = [](const Stock& stock) { return stock.missing || !stock.sockets.empty(); };
  const auto take = [](Stock& stock) {
    if (stock.sockets.empty()) return UniqueFd();
    UniqueFd taken = std::move(stock.sockets.back());
    stock.sockets.pop_back();
    return taken;
  };
  while (!waiting_.empty() && ready(stocks_[0]) && ready(stocks_[1])) {
    const Taken first = std::move(waiting_.front());
    waiting_.pop_front();
    Pair pair;
    pair.four = take(stocks_[0]);
    pair.six = take(stocks_[1]);
    first(std::move(pair));
  }
  Fill();
}

void CellSockets::Fill() {
  for (const int family : {AF_INET, AF_INET6}) {
    Stock& stock = Of(family);
    if (stock.missing || order_ == nullptr) continue;
    const auto there = static_cast<int>(stock.sockets.size()) + stock.ordered;
    const int wanted = static_cast<int>(waiting_.size()) + kSpare - there;
    const int count = std::min(wanted, wire::kMaxSocketsOrdered - stock.ordered);
    if (count <= 0) continue;
    stock.ordered += count;
    order_(family, count);
  }
}

bool CellSockets::Shrink() {
  for (Stock& stock : stocks_) {
    if (stock.sockets.empty()) continue;
    stock.sockets.pop_back();
    return true;
  }
  return false;
}

void CellSockets::Clear() {
  order_ = nullptr;
  waiting_.clear();
  for (Stock& stock : stocks_) stock.sockets.clear();
}

}  // namespace cellrun::net
