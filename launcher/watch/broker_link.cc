// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/broker_link.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace cellrun::watch {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kFirstWait{250};
constexpr std::chrono::milliseconds kLongestWait{4000};
constexpr std::chrono::seconds kCallTime{30};
constexpr std::size_t kMaxCalls = 8;
constexpr std::size_t kMaxLineBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxBodyBytes = std::size_t{64} << 20;
constexpr int kOk = 200;

json Parse(std::string_view text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string TextOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// What an answer of the API says went wrong.
std::string ErrorOf(std::string_view body) {
  const json parsed = Parse(body);
  if (!parsed.is_object() || !parsed.contains("error") || !parsed["error"].is_object()) {
    return "the broker's answer makes no sense";
  }
  const std::string what = TextOf(parsed["error"], "what");
  const std::string cause = TextOf(parsed["error"], "cause");
  return cause.empty() ? what : what + ": " + cause;
}

std::string BodyOf(const Answer& answer) {
  json body = {{"verdict", answer.approve ? "approve" : "deny"}, {"digest", answer.digest}};
  if (answer.scope != "once") body["scope"] = answer.scope;
  if (answer.lasts.count() != 0) body["for_ms"] = answer.lasts.count();
  if (!answer.reason.empty()) body["reason"] = answer.reason;
  if (answer.argv) body["argv"] = *answer.argv;
  if (answer.widen) body["widen"] = true;
  // What a person typed is UTF-8; should it not be, the broker refuses the replacement's digest.
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

client::HttpRequest RequestOf(const Order& order) {
  client::HttpRequest request;
  request.target = "/v1/approvals/" + order.answer.id;
  if (order.kind == Order::Kind::kLoad) return request;
  request.method = "POST";
  if (order.kind == Order::Kind::kPreview) request.target += "/preview";
  request.body = BodyOf(order.answer);
  return request;
}

std::optional<Preview> PreviewFromJson(const json& object) {
  if (!object.is_object() || TextOf(object, "rule").empty()) return std::nullopt;
  Preview preview{.rule = TextOf(object, "rule"),
                  .file = TextOf(object, "file"),
                  .expires = TextOf(object, "expires"),
                  .matches = {}};
  if (object.contains("matches") && object["matches"].is_array()) {
    for (const json& match : object["matches"]) {
      if (!match.is_object() || !match.contains("argv") || !match["argv"].is_array()) continue;
      std::vector<std::string> argv;
      for (const json& word : match["argv"]) {
        if (word.is_string()) argv.push_back(word.get<std::string>());
      }
      preview.matches.push_back(std::move(argv));
    }
  }
  preview.matches_total = preview.matches.size();
  if (object.contains("matches_total") && object["matches_total"].is_number_unsigned()) {
    preview.matches_total = object["matches_total"].get<std::uint64_t>();
  }
  return preview;
}

}  // namespace

void BrokerLink::Connect(Moment now) {
  client::HttpRequest request;
  request.target = "/v1/approvals?follow=1";
  Result<client::Exchange> exchange = client::Exchange::Start(socket_path_, request);
  if (!exchange.ok()) {
    const bool nobody =
        exchange.error().code() == ENOENT || exchange.error().code() == ECONNREFUSED;
    return Lose(nobody ? "it does not run" : exchange.error().ToString(), now);
  }
  stream_.emplace(Stream{std::move(*exchange), client::LineSplitter(kMaxLineBytes), "", false});
}

void BrokerLink::Lose(const std::string& why, Moment now) {
  stream_.reset();
  calls_.clear();
  waiting_.clear();
  patience_ = std::clamp(patience_ * 2, kFirstWait, kLongestWait);
  next_try_ = now + patience_;
  model_.Disconnected(why, next_try_, now);
}

void BrokerLink::Tick(Moment now) {
  if (!stream_ && now >= next_try_) Connect(now);
  for (auto call = calls_.begin(); call != calls_.end();) {
    if (now < call->deadline) {
      ++call;
      continue;
    }
    model_.Failed(call->number, 0, "the broker did not answer in time", now);
    call = calls_.erase(call);
  }
  StartCalls(now);
}

Moment BrokerLink::NextTick(Moment now) const {
  Moment next = now + std::chrono::hours(1);
  if (!stream_) next = next_try_;
  for (const Call& call : calls_) next = std::min(next, call.deadline);
  return next;
}

void BrokerLink::Carry(Order order, Moment now) {
  if (order.kind == Order::Kind::kLoad) {
    waiting_.push_back(std::move(order));
  } else {
    waiting_.push_front(std::move(order));  // somebody looks at the screen for it
  }
  StartCalls(now);
}

void BrokerLink::StartCalls(Moment now) {
  while (!waiting_.empty() && calls_.size() < kMaxCalls) {
    const Order order = std::move(waiting_.front());
    waiting_.pop_front();
    Result<client::Exchange> exchange = client::Exchange::Start(socket_path_, RequestOf(order));
    if (exchange.ok()) {
      calls_.push_back(Call{order.number, order.kind, std::move(*exchange), "", now + kCallTime});
    } else {
      model_.Failed(order.number, 0, exchange.error().ToString(), now);
    }
  }
}

void BrokerLink::AppendTo(std::vector<pollfd>& poll_set) const {
  if (stream_) poll_set.push_back({stream_->exchange.socket().get(), POLLIN, 0});
  for (const Call& call : calls_) poll_set.push_back({call.exchange.socket().get(), POLLIN, 0});
}

void BrokerLink::Handle(const std::vector<pollfd>& poll_set, Moment now) {
  const auto ready = [&poll_set](const client::Exchange& exchange) {
    return std::any_of(poll_set.begin(), poll_set.end(), [&exchange](const pollfd& entry) {
      return entry.fd == exchange.socket().get() && entry.revents != 0;
    });
  };
  for (auto call = calls_.begin(); call != calls_.end();) {
    if (ready(call->exchange)) ReadCall(*call, now);
    const bool over = call->deadline <= now || call->exchange.done();
    call = over ? calls_.erase(call) : std::next(call);
  }
  StartCalls(now);
  if (stream_ && ready(stream_->exchange)) ReadStream(now);
}

void BrokerLink::ReadCall(Call& call, Moment now) {
  const Result<void> read = call.exchange.Read(call.body);
  if (!read.ok() || call.body.size() > kMaxBodyBytes) {
    model_.Failed(call.number, 0, read.ok() ? "the answer is too long" : read.error().ToString(),
                  now);
    call.deadline = now;
  } else if (call.exchange.done()) {
    FinishCall(call, now);
  }
}

void BrokerLink::FinishCall(const Call& call, Moment now) {
  const int status = call.exchange.status();
  if (status / 100 != 2) return model_.Failed(call.number, status, ErrorOf(call.body), now);
  if (call.kind == Order::Kind::kAnswer) return model_.Answered(call.number, now);
  if (call.kind == Order::Kind::kPreview) {
    auto preview = PreviewFromJson(Parse(call.body));
    if (preview) return model_.Previewed(call.number, std::move(*preview), now);
  } else if (auto ask = AskFromJson(Parse(call.body))) {
    return model_.Loaded(call.number, std::move(*ask), now);
  }
  model_.Failed(call.number, 0, "the broker's answer makes no sense", now);
}

void BrokerLink::ReadStream(Moment now) {
  std::string piece;
  const Result<void> read = stream_->exchange.Read(piece);
  const int status = stream_->exchange.status();
  if (status == kOk && !std::exchange(stream_->announced, true)) {
    patience_ = std::chrono::milliseconds(0);
    model_.Connected(now);
  }
  if (status == kOk) {
    stream_error_.clear();
    const bool good = stream_->lines.Put(
        piece, [this, now](std::string_view line) { return TakeLine(line, now); });
    if (!good) return Lose(stream_error_.empty() ? "it said too much at once" : stream_error_, now);
  } else {
    stream_->failure += piece.substr(0, kMaxLineBytes);
  }
  if (!read.ok()) return Lose("it has gone", now);
  if (!stream_->exchange.done()) return;
  Lose(status == kOk ? "it has ended the list" : ErrorOf(stream_->failure), now);
}

bool BrokerLink::TakeLine(std::string_view line, Moment now) {
  if (line.empty()) return true;
  const json object = Parse(line);
  auto ask = AskFromJson(object);
  if (ask) {
    model_.Heard(std::move(*ask), now);
    return true;
  }
  stream_error_ = ErrorOf(line);
  return false;
}

}  // namespace cellrun::watch
