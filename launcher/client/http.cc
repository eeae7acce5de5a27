// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/http.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "launcher/client/exchange.h"
#include "launcher/client/http_response.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"

namespace cellrun::client {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} * 1024;

bool IsUnreserved(char c) {
  constexpr std::string_view kOther = "-._~:,*/";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOther.find(c) != std::string_view::npos;
}

void AppendEncoded(std::string& target, std::string_view value) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : value) {
    if (IsUnreserved(c)) {
      target.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    target.append({'%', kDigits[byte >> 4], kDigits[byte & 0xf]});
  }
}

Result<UniqueFd> Connect(const std::string& path, int flags = 0) {
  UniqueFd socket = TRY(sys::UnixSocket(SOCK_STREAM | flags));
  TRY(sys::ConnectUnix(socket, path).With(path));
  // Whoever serves here is believed and told everything, so it has to be us or root.
  const ucred peer = TRY(sys::PeerCredentials(socket));
  if (peer.uid != geteuid() && peer.uid != 0) {
    return Error(EPERM, "connecting to the broker", path + " is served by another user");
  }
  return socket;
}

Result<void> WaitFor(const UniqueFd& socket, short events, std::chrono::milliseconds timeout) {
  pollfd entry{.fd = socket.get(), .events = events, .revents = 0};
  const int limit = timeout.count() == 0 ? -1 : static_cast<int>(timeout.count());
  for (;;) {
    const int ready = poll(&entry, 1, limit);
    if (ready > 0) return {};
    if (ready == 0) return Error(ETIMEDOUT, "waiting for the broker");
    if (errno != EINTR) return ErrnoError("poll");
  }
}

Result<void> SendAll(const UniqueFd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return ErrnoError("send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<std::size_t> ReceiveSome(const UniqueFd& socket, std::span<char> buffer) {
  for (;;) {
    const ssize_t got = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return ErrnoError("recv");
  }
}

Result<void> SendRequest(const UniqueFd& socket, const HttpRequest& request) {
  std::string text = request.method + " " + request.target + " HTTP/1.1\r\nHost: cellrun\r\n" +
                     "Connection: close\r\n";
  if (!request.body.empty() || request.method != "GET") {
    text +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(request.body.size()) +
        "\r\n";
  }
  return SendAll(socket, text + "\r\n" + request.body);
}

// Reads until the body is complete; `take` gets each piece and returns false to stop.
Result<void> Receive(const UniqueFd& socket, const HttpRequest& request, ResponseParser& parser,
                     const std::function<bool(std::string_view)>& take) {
  std::string buffer(kReadBytes, '\0');
  while (!parser.done()) {
    TRY(WaitFor(socket, POLLIN, request.timeout));
    const std::size_t got = TRY(ReceiveSome(socket, buffer));
    std::string body;
    TRY(got == 0 ? parser.End() : parser.Put(std::string_view(buffer).substr(0, got), body));
    if (!body.empty() && !take(body)) return {};
  }
  return {};
}

Error TooLong() {
  return Error(EFBIG, "reading the broker's answer");
}

}  // namespace

Result<HttpResponse> Call(const std::string& socket_path, const HttpRequest& request) {
  const UniqueFd socket = TRY(Connect(socket_path));
  TRY(SendRequest(socket, request));
  ResponseParser parser;
  std::string body;
  TRY(Receive(socket, request, parser, [&](std::string_view piece) {
    body += piece;
    return body.size() <= request.max_body_bytes;
  }));
  if (body.size() > request.max_body_bytes) return TooLong();
  return HttpResponse{
      .status = parser.status(), .content_type = parser.content_type(), .body = std::move(body)};
}

Result<Exchange> Exchange::Start(const std::string& socket_path, const HttpRequest& request) {
  // A broker that takes no connections is as good as none: nobody is kept waiting here.
  UniqueFd socket = TRY(Connect(socket_path, SOCK_NONBLOCK));
  TRY(SendRequest(socket, request));
  return Exchange(std::move(socket));
}

Result<void> Exchange::Read(std::string& body) {
  std::array<char, kReadBytes> buffer;
  while (!parser_.done()) {
    Result<std::size_t> got = ReceiveSome(socket_, buffer);
    if (!got.ok() && got.error().code() == EAGAIN) return {};
    if (!got.ok()) return std::move(got).error();
    const std::string_view piece(buffer.data(), *got);
    TRY(piece.empty() ? parser_.End() : parser_.Put(piece, body));
    if (body.size() >= kReadBytes) return {};
  }
  return {};
}

Result<HttpResponse> CallForLines(const std::string& socket_path, const HttpRequest& request,
                                  const std::function<bool(std::string_view)>& line) {
  const UniqueFd socket = TRY(Connect(socket_path));
  TRY(SendRequest(socket, request));
  ResponseParser parser;
  LineSplitter lines(request.max_body_bytes);
  std::string body;
  TRY(Receive(socket, request, parser, [&](std::string_view piece) {
    if (parser.status() / 100 == 2) return lines.Put(piece, line);
    body += piece;
    return body.size() <= request.max_body_bytes;
  }));
  if (lines.overflowed() || body.size() > request.max_body_bytes) return TooLong();
  if (parser.done()) lines.End(line);
  return HttpResponse{
      .status = parser.status(), .content_type = parser.content_type(), .body = std::move(body)};
}

std::string EncodePart(std::string_view part) {
  std::string encoded;
  AppendEncoded(encoded, part);
  return encoded;
}

std::string Target(std::string_view path,
                   const std::vector<std::pair<std::string, std::string>>& query) {
  std::string target(path);
  char separator = '?';
  for (const auto& [name, value] : query) {
    target.push_back(separator);
    AppendEncoded(target, name);
    target.push_back('=');
    AppendEncoded(target, value);
    separator = '&';
  }
  return target;
}

}  // namespace cellrun::client
