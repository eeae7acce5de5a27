// SPDX-License-Identifier: Apache-2.0
#include "broker/run/redactor.h"

#include <string.h>

#include <algorithm>
#include <array>

namespace cellrun::run {
namespace {

constexpr std::string_view kMark = "***";

std::string Base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i + 2 < bytes.size(); i += 3) {
    const auto at = [&](std::size_t k) { return static_cast<unsigned char>(bytes[i + k]); };
    const unsigned group = static_cast<unsigned>(at(0)) << 16 | static_cast<unsigned>(at(1)) << 8 |
                           static_cast<unsigned>(at(2));
    for (const unsigned shift : {18U, 12U, 6U, 0U}) text += kDigits[group >> shift & 63];
  }
  return text;
}

std::string PercentEncoded(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      text += c;
    } else {
      text += '%';
      text += kHex[byte >> 4U];
      text += kHex[byte & 15U];
    }
  }
  return text;
}

}  // namespace

Redactor::Redactor(const std::vector<std::string>& secrets) {
  const auto add = [&](std::string needle) {
    if (needle.size() < kMinBytes) return;
    if (std::find(needles_.begin(), needles_.end(), needle) == needles_.end())
      needles_.push_back(std::move(needle));
  };
  for (const std::string& secret : secrets) {
    if (secret.size() < kMinBytes) continue;
    add(secret);
    add(PercentEncoded(secret));
    // Only the digits that are made of nothing but the secret's own bytes.
    for (std::size_t skipped = 0; skipped < 3; ++skipped)
      add(Base64(std::string_view(secret).substr(skipped)));
  }
  std::sort(needles_.begin(), needles_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  for (const std::string& needle : needles_) beginnings_ += needle[0];
}

Redactor::~Redactor() {
  for (std::string& needle : needles_) explicit_bzero(needle.data(), needle.size());
  explicit_bzero(kept_.data(), kept_.size());
}

std::string Redactor::Take(std::string_view bytes) {
  kept_ += bytes;
  return Replace(/*is_end=*/false);
}

std::string Redactor::Finish() {
  return Replace(/*is_end=*/true);
}

// The longest at each place: a secret may begin with another one.
std::string Redactor::Replace(bool is_end) {
  const std::string_view kept = kept_;
  std::string out;
  std::size_t at = 0;
  while (at < kept.size()) {
    const std::size_t next = std::min(kept.find_first_of(beginnings_, at), kept.size());
    out.append(kept, at, next - at);
    at = next;
    if (at == kept.size()) break;
    const std::string_view rest = kept.substr(at);
    const auto fits = [&](const std::string& needle) {
      if (rest.size() >= needle.size()) return rest.starts_with(needle);
      return !is_end && needle.starts_with(rest);
    };
    const auto found = std::find_if(needles_.begin(), needles_.end(), fits);  // longest first
    if (found == needles_.end()) {
      out += kept[at++];
      continue;
    }
    if (rest.size() < found->size()) break;  // what follows decides
    out += kMark;
    at += found->size();
  }
  kept_.erase(0, at);
  return out;
}

}  // namespace cellrun::run
