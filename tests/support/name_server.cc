// SPDX-License-Identifier: Apache-2.0
#include "tests/support/name_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <optional>

#include "broker/net/message/wire_fixture.h"

namespace cellrun::test {
namespace {

using namespace net::wire_fixture;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kHeader = 12, kNoName = 0x8183, kIpv4 = 1, kIpv6 = 28, kAlias = 5;
constexpr char kSameName[] = "\xC0\x0C";

std::optional<NameServer::Question> ReadQuestion(std::string_view query) {
  if (query.size() <= kHeader) return std::nullopt;
  NameServer::Question question;
  question.id = WordAt(query, 0);
  std::size_t at = kHeader;
  while (at < query.size() && query[at] != '\0') {
    const auto label = static_cast<std::size_t>(static_cast<std::uint8_t>(query[at]));
    question.name += question.name.empty() ? "" : ".";
    question.name += query.substr(at + 1, label);
    at += label + 1;
  }
  if (at + 5 > query.size()) return std::nullopt;
  question.type = static_cast<std::uint16_t>(WordAt(query, at + 1));
  question.wire = query.substr(kHeader, at + 5 - kHeader);
  return question;
}

NameServer::Script From(NameServer::Addresses addresses) {
  return [addresses = std::move(addresses)](const NameServer::Question& question) {
    const auto known = addresses.find(question.name);
    return known == addresses.end() ? NameServer::NoSuchName(question)
                                    : NameServer::Answer(question, known->second);
  };
}

}  // namespace

NameServer::NameServer(Addresses addresses) : NameServer(From(std::move(addresses))) {}

NameServer::NameServer(Addresses addresses, UniqueFd bound)
    : script_(From(std::move(addresses))), datagrams_(std::move(bound)), port_(PortOf(datagrams_)) {
  thread_ = std::thread([this] { TakeDatagrams(); });
}

NameServer::NameServer(Script script, const std::string& address, std::uint16_t port)
    : NameServer(std::move(script), address, BoundSockets(address, port)) {}

NameServer::NameServer(Script script, const std::string& address, SocketsOfOnePort sockets)
    : script_(std::move(script)),
      host_(address),
      streams_(
          std::in_place, [this](int fd) { Serve(fd); }, std::move(sockets.stream)),
      datagrams_(std::move(sockets.datagrams)),
      port_(PortOf(datagrams_)) {
  thread_ = std::thread([this] { TakeDatagrams(); });
}

NameServer::~NameServer() {
  stopping_ = true;
  thread_.join();
}

std::string NameServer::address() const {
  return host_ + ":" + std::to_string(port_);
}

std::set<std::string> NameServer::asked() {
  const std::lock_guard lock(mutex_);
  return asked_;
}

void NameServer::Forget() {
  const std::lock_guard lock(mutex_);
  asked_.clear();
}

void NameServer::TakeDatagrams() {
  while (!stopping_) {
    pollfd waiting{.fd = datagrams_.get(), .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, 50) != 1) continue;
    std::array<char, 4096> buffer{};
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t count = recvfrom(datagrams_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &size);
    if (count < 0) continue;
    const std::string answer = AnswerTo({buffer.data(), static_cast<std::size_t>(count)}, false);
    if (answer.empty()) continue;
    (void)sendto(datagrams_.get(), answer.data(), answer.size(), 0,
                 reinterpret_cast<sockaddr*>(&from), size);
  }
}

void NameServer::Serve(int fd) {
  std::string length(2, '\0');
  while (recv(fd, length.data(), length.size(), MSG_WAITALL) == 2) {
    std::string query(WordAt(length, 0), '\0');
    if (recv(fd, query.data(), query.size(), MSG_WAITALL) != static_cast<ssize_t>(query.size()))
      return;
    const std::string answer = AnswerTo(query, true);
    const std::string framed = Word16(answer.size()) + answer;
    if (!answer.empty()) (void)send(fd, framed.data(), framed.size(), MSG_NOSIGNAL);
  }
}

std::string NameServer::AnswerTo(std::string_view query, bool stream) {
  std::optional<Question> question = ReadQuestion(query);
  if (!question) return "";
  question->stream = stream;
  {
    const std::lock_guard lock(mutex_);
    asked_.insert(question->name);
  }
  return script_(*question);
}

std::string NameServer::Answer(const Question& question, const std::vector<std::string>& addresses,
                               std::size_t ttl_seconds) {
  std::string records;
  std::size_t count = 0;
  for (const std::string& text : addresses) {
    in6_addr bytes{};
    const bool four = inet_pton(AF_INET, text.c_str(), &bytes) == 1;
    if (!four && inet_pton(AF_INET6, text.c_str(), &bytes) != 1) ADD_FAILURE() << text;
    if (question.type != (four ? kIpv4 : kIpv6)) continue;
    records += ResourceRecord(
        kSameName, question.type,
        {reinterpret_cast<const char*>(&bytes), four ? sizeof(in_addr) : sizeof bytes},
        ttl_seconds);
    ++count;
  }
  return Header(question.id, kResponse, {.answers = count}) + question.wire + records;
}

std::string NameServer::Alias(const Question& question, const std::string& to) {
  return Header(question.id, kResponse, {.answers = 1}) + question.wire +
         ResourceRecord(kSameName, kAlias, Name(to));
}

std::string NameServer::NoSuchName(const Question& question) {
  return Header(question.id, kNoName, {}) + question.wire;
}

}  // namespace cellrun::test
