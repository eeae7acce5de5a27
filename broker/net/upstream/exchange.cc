// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/exchange.h"

#include <array>
#include <cerrno>
#include <utility>

#include "lib/sys/internet.h"
#include "lib/sys/random.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kRounds = 2;
constexpr std::size_t kMostStrangers = 64;  // datagrams for other questions, a socket
constexpr std::size_t kLengthBytes = 2;
constexpr std::size_t kLargest = 65'535;

}  // namespace

Exchange::Exchange(loop::Loop& loop, Settings settings, std::string name, std::uint16_t type,
                   Done done)
    : loop_(loop),
      settings_(std::move(settings)),
      name_(std::move(name)),
      type_(type),
      done_(std::move(done)) {}

void Exchange::Start() {
  if (settings_.servers.empty()) return Finish(Error(EDESTADDRREQ, "asking a DNS server"));
  Ask(false);
}

const Endpoint* Exchange::server() const {
  if (settings_.servers.empty()) return nullptr;
  return &settings_.servers[tried_ % settings_.servers.size()];
}

void Exchange::Ask(bool stream) {
  Close();
  const Result<void> opened = Open(stream);
  if (!opened.ok()) return Next(opened.error().code());
  deadline_ = loop_.After(settings_.try_time, [this] {
    if (settings_.on_silent) settings_.on_silent(*server());
    Next(ETIMEDOUT);
  });
}

Result<void> Exchange::Open(bool stream) {
  const SocketAddress address = SocketAddressOf(*server());
  id_ = sys::RandomNumber16();
  strangers_ = 0;
  received_.clear();
  socket_ = TRY(sys::InternetSocket(address.get()->sa_family,
                                    (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK));
  // Connected: datagrams of others never arrive, and a closed port is known at once.
  const Result<void> connected = sys::ConnectInternet(socket_, address.get(), address.size);
  if (stream) {
    if (!connected.ok() && connected.error().code() != EINPROGRESS) return connected;
    watch_ = loop_.WatchWritable(socket_, [this] { StartStream(); });
    return {};
  }
  TRY(Result<void>(connected));
  (void)TRY(sys::SendBytes(socket_, WriteQuestion(id_, name_, type_)));
  watch_ = loop_.WatchReadable(socket_, [this] { TakeDatagram(); });
  return {};
}

void Exchange::Next(int code) {
  Close();
  // The last one stays server().
  if (tried_ + 1 >= kRounds * settings_.servers.size()) {
    return Finish(Error(code, "asking a DNS server"));
  }
  ++tried_;
  Ask(false);
}

void Exchange::TakeDatagram() {
  std::array<char, 4096> buffer{};
  const Result<std::size_t> count = sys::ReceiveBytes(socket_, buffer);
  if (!count.ok()) {
    if (count.error().code() == EAGAIN) return;
    return Next(count.error().code());
  }
  if (!Judge({buffer.data(), *count}) && ++strangers_ >= kMostStrangers) Next(EBADMSG);
}

void Exchange::StartStream() {
  const Result<int> error = sys::PendingError(socket_);
  if (!error.ok() || *error != 0) return Next(error.ok() ? *error : error.error().code());
  const std::string question = WriteQuestion(id_, name_, type_);
  std::string framed(kLengthBytes, '\0');
  framed[1] = static_cast<char>(question.size());  // < 300; the high byte below
  framed[0] = static_cast<char>(question.size() >> 8);
  framed += question;
  const Result<std::size_t> sent = sys::SendBytes(socket_, framed);
  if (!sent.ok() || *sent != framed.size()) return Next(sent.ok() ? EIO : sent.error().code());
  watch_.reset();
  watch_ = loop_.WatchReadable(socket_, [this] { TakeStream(); });
}

void Exchange::TakeStream() {
  std::array<char, 16384> buffer{};
  const Result<std::size_t> count = sys::ReceiveBytes(socket_, buffer);
  if (!count.ok() && count.error().code() == EAGAIN) return;
  if (!count.ok() || *count == 0) return Next(count.ok() ? EPIPE : count.error().code());
  received_.append(buffer.data(), *count);
  if (received_.size() < kLengthBytes) return;
  const std::size_t length = static_cast<std::size_t>(static_cast<std::uint8_t>(received_[0]))
                                 << 8 |
                             static_cast<std::uint8_t>(received_[1]);
  if (received_.size() < kLengthBytes + length) return;
  if (!Judge(std::string_view(received_).substr(kLengthBytes, length))) Next(EBADMSG);
}

bool Exchange::Judge(std::string_view bytes) {
  if (bytes.size() > kLargest) return false;
  Result<Response> response = ReadResponse(bytes);
  if (!response.ok() || response->id != id_ || response->name != name_ || response->type != type_ ||
      response->dns_class != kInternet) {
    return false;
  }
  // It ends this try in any case: the callers do not touch this afterwards.
  if (response->truncated) {
    if (received_.empty()) {
      Ask(true);
    } else {
      Next(EBADMSG);  // truncated over TCP
    }
  } else if (response->code == Rcode::kNoError || response->code == Rcode::kNoName) {
    Finish(std::move(response));
  } else {
    Next(EREMOTEIO);
  }
  return true;
}

void Exchange::Finish(Result<Response> result) {
  Close();
  const Done done = std::move(done_);  // survives this
  done(std::move(result));
}

void Exchange::Close() {
  deadline_.reset();
  watch_.reset();
  socket_.Reset();
}

}  // namespace cellrun::net
