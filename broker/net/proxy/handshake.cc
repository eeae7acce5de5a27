// SPDX-License-Identifier: Apache-2.0
#include "broker/net/proxy/handshake.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace cellrun::net {

Handshake::Handshake(Reactor& reactor, UniqueFd socket, std::unique_ptr<Dialogue> dialogue,
                     Done done)
    : reactor_(reactor),
      socket_(std::move(socket)),
      dialogue_(std::move(dialogue)),
      done_(std::move(done)) {}

void Handshake::Start() {
  const Result<void> watched =
      reactor_.Watch(socket_.get(), EPOLLIN | EPOLLOUT, shared_from_this());
  if (!watched.ok()) return Finish(watched.error().code());
  watched_ = true;
  limit_ = reactor_.After(kLimit, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->limit_ = 0;
      self->Finish(ETIMEDOUT);
    }
  });
}

void Handshake::Cancel() {
  done_ = nullptr;
  Clear();
}

void Handshake::Clear() {
  if (limit_ != 0) reactor_.Cancel(std::exchange(limit_, 0));
  if (std::exchange(watched_, false)) reactor_.Forget(socket_.get());
  explicit_bzero(unsent_.data(), unsent_.size());  // credentials
}

void Handshake::OnReady(int /*fd*/, std::uint32_t /*events*/) {
  const std::shared_ptr<Handshake> self = shared_from_this();
  if (socket_.valid() && done_) Turn();
}

void Handshake::Turn() {
  if (!Flush()) return;
  while (Read()) {
    if (!Flush()) return;
  }
  if (done_) reactor_.Change(socket_.get(), unsent_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

bool Handshake::Flush() {
  unsent_ += dialogue_->TakeOutput();
  while (!unsent_.empty()) {
    const ssize_t put =
        send(socket_.get(), unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (put < 0) {
      Finish(ECONNREFUSED);
      return false;
    }
    explicit_bzero(unsent_.data(), static_cast<std::size_t>(put));
    unsent_.erase(0, static_cast<std::size_t>(put));
  }
  return true;
}

bool Handshake::Read() {
  std::array<char, 512> bytes{};
  const std::size_t most = std::min(bytes.size(), dialogue_->wants());
  const ssize_t got = recv(socket_.get(), bytes.data(), most, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    Finish(ECONNREFUSED);  // it has hung up
    return false;
  }
  dialogue_->Feed({bytes.data(), static_cast<std::size_t>(got)});
  if (dialogue_->state() == Dialogue::State::kTalks) return true;
  Finish(dialogue_->state() == Dialogue::State::kOpen ? 0 : dialogue_->code());
  return false;
}

void Handshake::Finish(int code) {
  const Done done = std::exchange(done_, nullptr);
  Clear();
  if (!done) return;
  if (code != 0) return done(Error(code, "proxy"));
  done(std::move(socket_));
}

}  // namespace cellrun::net
