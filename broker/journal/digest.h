// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace cellrun::journal {

// 32 bytes.
using Digest = std::array<unsigned char, 32>;

// sha256 with one context that is used again. Not thread-safe: one a thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  // Of the parts one after the other.
  Digest Of(std::initializer_list<std::string_view> parts);

 private:
  evp_md_ctx_st* context_;
};

// HMAC-SHA256.
Digest Hmac(std::string_view key, std::string_view message);

std::string Hex(const Digest& digest);
std::string_view Bytes(const Digest& digest);

}  // namespace cellrun::journal
