// SPDX-License-Identifier: Apache-2.0
#include "broker/http/server.h"

#include <fcntl.h>
#include <poll.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <unordered_set>
#include <utility>

#include "broker/http/head.h"
#include "lib/base/log.h"
#include "lib/sys/file.h"
#include "lib/sys/socket.h"

namespace cellrun::http {
namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

class Session;

// One request's answer, wherever it is made.
class Responder::Impl {
 public:
  Impl(asio::io_context& context, std::weak_ptr<Session> session)
      : context_(context), session_(std::move(session)) {}
  // NOLINTNEXTLINE(bugprone-exception-escape): out of memory, which ends the broker
  ~Impl() {
    if (!answered_) Answer(ErrorResponse(500, "the request was not answered"), nullptr);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  void Answer(Response response, std::shared_ptr<ChunkSource> source);

 private:
  asio::io_context& context_;
  std::weak_ptr<Session> session_;
  std::atomic<bool> answered_ = false;
};

void Responder::Send(Response response) const {
  impl_->Answer(std::move(response), nullptr);
}

void Responder::Stream(Response head, std::shared_ptr<ChunkSource> source) const {
  impl_->Answer(std::move(head), std::move(source));
}

namespace {

bool IsAborted(const error_code& error) {
  return error == asio::error::operation_aborted;
}

const char* StatusText(int status) {
  return beast::http::obsolete_reason(static_cast<beast::http::status>(status)).data();
}

class HttpServer;

}  // namespace

// One connection: waits for a request, answers it, waits for the next. At most one asynchronous
// read and one write at a time; every handler holds the session alive.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServer& server, Socket socket, Peer peer);
  void Start() { WaitForRequest(); }
  void Close();
  void Respond(const Response& response, std::shared_ptr<ChunkSource> source);

 private:
  void WaitForRequest();
  void ReadHead();
  void OnHead(std::size_t bytes);
  void ReadBody(Request request, std::size_t bytes);
  void Dispatch(Request request);
  void Refuse(int status, std::string_view what, std::string_view cause = "");
  void Write(std::string bytes, std::function<void()> then);
  void OnAnswered();
  void StartStream();
  void NextChunk();
  void OnChunk(std::optional<std::string> chunk);
  void WatchForEnd();
  void ExpireAfter(std::chrono::milliseconds delay, bool answer);

  HttpServer* server_;  // null once closed
  Socket socket_;
  asio::steady_timer timer_;
  const Peer peer_;
  std::string input_;
  std::string output_;
  std::shared_ptr<ChunkSource> source_;
  bool keep_alive_ = true;
  bool chunked_ = true;
};

namespace {

class HttpServer final : public Server {
 public:
  HttpServer(loop::Loop& loop, UniqueFd listener, Router router, ServerOptions options)
      : router_(std::move(router)),
        options_(std::move(options)),
        loop_(loop),
        listener_(std::move(listener)) {
    Watch();
  }
  // NOLINTNEXTLINE(bugprone-exception-escape): out of memory, which ends the broker
  ~HttpServer() override {
    watch_.reset();
    const auto sessions = std::exchange(sessions_, {});
    for (const auto& session : sessions) session->Close();
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::size_t connections() const override { return sessions_.size(); }
  void Remove(const std::shared_ptr<Session>& session) { sessions_.erase(session); }
  asio::io_context& context() { return loop_.context(); }
  const ServerOptions& options() const { return options_; }
  const Router& router() const { return router_; }

 private:
  void Watch() {
    watch_ = loop_.WatchReadable(listener_, [this] { Accept(); });
  }
  void Accept();
  void Adopt(UniqueFd connection);
  static void Reject(const UniqueFd& connection, const Response& response);

  const Router router_;
  const ServerOptions options_;
  loop::Loop& loop_;
  UniqueFd listener_;
  std::unique_ptr<loop::Loop::Watch> watch_;
  std::unique_ptr<loop::Loop::Timer> pause_;
  std::unordered_set<std::shared_ptr<Session>> sessions_;
};

std::string HeadText(const Response& response, bool keep_alive) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     StatusText(response.status) + "\r\nContent-Type: " + response.content_type +
                     "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  head += keep_alive ? "" : "Connection: close\r\n";
  return head;
}

std::string WholeText(const Response& response, bool keep_alive) {
  return HeadText(response, keep_alive) +
         "Content-Length: " + std::to_string(response.body.size()) + "\r\n\r\n" + response.body;
}

void HttpServer::Accept() {
  // A handful at a time: the loop has other work.
  for (int i = 0; i < 16; ++i) {
    Result<UniqueFd> connection = sys::Accept(listener_, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!connection.ok()) {
      const int code = connection.error().code();
      if (code == EAGAIN || code == ECONNABORTED) return;
      log::Warn("ignoring that a connection could not be accepted",
                {{"error", connection.error().ToString()}});
      // No descriptors left: the listener stays readable, so look again later rather than at once.
      watch_.reset();
      pause_ = loop_.After(std::chrono::milliseconds(100), [this] { Watch(); });
      return;
    }
    Adopt(std::move(connection).value());
  }
}

void HttpServer::Adopt(UniqueFd connection) {
  Result<Peer> peer = options_.check_peer(connection);
  if (!peer.ok()) {
    log::Warn("refused a caller of the API", {{"error", peer.error().ToString()}});
    return Reject(connection, ErrorResponse(403, "the broker does not talk to this process",
                                            peer.error().context()));
  }
  if (sessions_.size() >= options_.max_connections) {
    return Reject(connection, ErrorResponse(503, "too many connections"));
  }
  Socket socket(loop_.context());
  error_code error;
  socket.assign(asio::generic::stream_protocol(AF_UNIX, 0), connection.get(), error);
  if (error) {
    log::Warn("ignoring a connection", {{"error", error.message()}});
    return;
  }
  (void)connection.Release();  // now the socket's
  const auto session = std::make_shared<Session>(*this, std::move(socket), peer.value());
  sessions_.insert(session);
  session->Start();
}

void HttpServer::Reject(const UniqueFd& connection, const Response& response) {
  (void)sys::SendMessage(connection, WholeText(response, false), {});  // it may not care
}

}  // namespace

void Responder::Impl::Answer(Response response, std::shared_ptr<ChunkSource> source) {
  if (answered_.exchange(true)) return;
  asio::post(context_, [session = session_, response = std::move(response),
                        source = std::move(source)]() mutable {
    if (const auto alive = session.lock()) alive->Respond(response, std::move(source));
  });
}

Session::Session(HttpServer& server, Socket socket, Peer peer)
    : server_(&server), socket_(std::move(socket)), timer_(server.context()), peer_(peer) {}

void Session::Close() {
  if (server_ == nullptr) return;
  HttpServer& server = *std::exchange(server_, nullptr);
  timer_.cancel();
  source_.reset();
  error_code ignored;  // the peer may have closed first
  socket_.close(ignored);
  server.Remove(shared_from_this());
}

void Session::ExpireAfter(std::chrono::milliseconds delay, bool answer) {
  timer_.expires_after(delay);
  timer_.async_wait([self = shared_from_this(), answer](const error_code& error) {
    if (error || self->server_ == nullptr) return;
    // Re-armed while this was queued: not expired after all.
    if (self->timer_.expiry() > std::chrono::steady_clock::now()) return;
    if (!answer) return self->Close();
    error_code ignored;
    self->socket_.cancel(ignored);  // the read that is waiting
    self->Refuse(408, "the request did not arrive in time");
  });
}

void Session::WaitForRequest() {
  if (!input_.empty()) return ReadHead();  // sent ahead
  ExpireAfter(server_->options().idle, false);
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (self->server_ == nullptr) return;
    if (error) return self->Close();
    self->ReadHead();
  });
}

void Session::ReadHead() {
  ExpireAfter(server_->options().receive, true);
  asio::async_read_until(socket_, asio::dynamic_buffer(input_, server_->options().max_head_bytes),
                         "\r\n\r\n",
                         [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                           if (self->server_ == nullptr || IsAborted(error)) return;
                           if (error == asio::error::not_found) {
                             return self->Refuse(431, "the head of the request is too long");
                           }
                           if (error) return self->Close();
                           self->OnHead(bytes);
                         });
}

void Session::OnHead(std::size_t bytes) {
  const std::string head = input_.substr(0, bytes);
  input_.erase(0, bytes);
  if (const auto problem = HeadProblem(head)) return Refuse(400, "malformed request", *problem);
  beast::http::request_parser<beast::http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(server_->options().max_head_bytes));
  parser.body_limit(boost::none);  // the length is checked below
  error_code error;
  parser.put(asio::buffer(head), error);
  if (error && error != beast::http::error::need_more) {
    return Refuse(400, "malformed request", error.message());
  }
  if (!parser.is_header_done()) return Refuse(400, "malformed request");
  const auto& message = parser.get();
  chunked_ = message.version() == 11;
  keep_alive_ = message.keep_alive() && chunked_;
  const std::string_view target(message.target().data(), message.target().size());
  auto parsed = ParseTarget(target);
  if (!parsed) return Refuse(400, "the target is malformed");
  const std::uint64_t length = parser.content_length().value_or(0);
  if (length > server_->options().max_body_bytes) {
    return Refuse(413, "the body is too long");
  }
  Request request{.method = std::string(message.method_string()),
                  .path = std::move(parsed->path),
                  .query = std::move(parsed->query),
                  .parameters = {},
                  .body = {},
                  .peer = peer_};
  ReadBody(std::move(request), static_cast<std::size_t>(length));
}

void Session::ReadBody(Request request, std::size_t bytes) {
  if (input_.size() >= bytes) {
    request.body = input_.substr(0, bytes);
    input_.erase(0, bytes);
    return Dispatch(std::move(request));
  }
  asio::async_read(socket_, asio::dynamic_buffer(input_),
                   asio::transfer_exactly(bytes - input_.size()),
                   [self = shared_from_this(), request = std::move(request), bytes](
                       const error_code& error, std::size_t /*more*/) mutable {
                     if (self->server_ == nullptr || IsAborted(error)) return;
                     if (error) return self->Close();
                     self->ReadBody(std::move(request), bytes);
                   });
}

void Session::Dispatch(Request request) {
  timer_.cancel();
  const Responder responder(
      std::make_shared<Responder::Impl>(server_->context(), weak_from_this()));
  Response refusal;
  const AsyncHandler* const handler = server_->router().Find(request, refusal);
  if (handler == nullptr) return responder.Send(std::move(refusal));
  try {
    (*handler)(request, responder);
  } catch (const std::exception& error) {
    // JSON and Boost throw; the request fails, the broker goes on.
    log::Fail("a request failed", {{"path", request.path}, {"what", error.what()}});
    responder.Send(ErrorResponse(500, "the request failed", error.what()));
  }
}

void Session::Refuse(int status, std::string_view what, std::string_view cause) {
  keep_alive_ = false;  // where the next request would begin is not known
  Respond(ErrorResponse(status, what, cause), nullptr);
}

void Session::Respond(const Response& response, std::shared_ptr<ChunkSource> source) {
  if (server_ == nullptr) return;
  if (source == nullptr) {
    ExpireAfter(server_->options().send, false);
    return Write(WholeText(response, keep_alive_), [this] { OnAnswered(); });
  }
  source_ = std::move(source);
  std::string head = HeadText(response, keep_alive_);
  head += chunked_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  Write(std::move(head), [this] { StartStream(); });
}

void Session::Write(std::string bytes, std::function<void()> then) {
  output_ = std::move(bytes);
  asio::async_write(socket_, asio::buffer(output_),
                    [self = shared_from_this(), then = std::move(then)](const error_code& error,
                                                                        std::size_t /*bytes*/) {
                      if (self->server_ == nullptr) return;
                      if (error) return self->Close();
                      then();
                    });
}

void Session::OnAnswered() {
  timer_.cancel();
  if (!keep_alive_) return Close();
  WaitForRequest();
}

void Session::StartStream() {
  WatchForEnd();
  NextChunk();
}

// A stream may wait for hours: that its reader went away must not be found out only at the next
// piece.
void Session::WatchForEnd() {
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (error || self->server_ == nullptr || self->source_ == nullptr) return;
    // Only a peer that closed both directions is gone; one that merely sent its end still reads,
    // and what it sends else is the next request, which waits.
    pollfd state{.fd = self->socket_.native_handle(), .events = 0, .revents = 0};
    if (poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0) self->Close();
  });
}

void Session::NextChunk() {
  source_->Next(
      [&context = server_->context(), weak = weak_from_this()](std::optional<std::string> chunk) {
        asio::post(context, [weak, chunk = std::move(chunk)]() mutable {
          if (const auto self = weak.lock()) self->OnChunk(std::move(chunk));
        });
      });
}

void Session::OnChunk(std::optional<std::string> chunk) {
  if (server_ == nullptr || source_ == nullptr) return;
  if (!chunk) {
    source_.reset();
    error_code ignored;
    socket_.cancel(ignored);  // WatchForEnd
    return Write(chunked_ ? "0\r\n\r\n" : "", [this] { OnAnswered(); });
  }
  if (chunk->empty()) return NextChunk();
  if (!chunked_) return Write(std::move(*chunk), [this] { NextChunk(); });
  char size[20];
  const int length = std::snprintf(size, sizeof size, "%zx\r\n", chunk->size());
  Write(std::string(size, static_cast<std::size_t>(length)) + *chunk + "\r\n",
        [this] { NextChunk(); });
}

Result<std::unique_ptr<Server>> Server::Start(loop::Loop& loop, UniqueFd listener, Router router,
                                              ServerOptions options) {
  TRY(sys::SetNonBlocking(listener, true));
  if (!options.check_peer) options.check_peer = peer::CheckPeer;
  return std::unique_ptr<Server>(std::make_unique<HttpServer>(
      loop, std::move(listener), std::move(router), std::move(options)));
}

}  // namespace cellrun::http
