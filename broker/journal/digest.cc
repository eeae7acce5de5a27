// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/check.h"

namespace cellrun::journal {
namespace {

// Fetched once: a fetch at every hash costs more than the hash of a record.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CHECK(algorithm != nullptr);
  return algorithm;
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CHECK(context_ != nullptr);
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(context_);
}

Digest Sha256::Of(std::initializer_list<std::string_view> parts) {
  Digest digest{};
  CHECK(EVP_DigestInit_ex2(context_, Algorithm(), nullptr) == 1);
  for (const std::string_view part : parts) {
    CHECK(EVP_DigestUpdate(context_, part.data(), part.size()) == 1);
  }
  CHECK(EVP_DigestFinal_ex(context_, digest.data(), nullptr) == 1);
  return digest;
}

Digest Hmac(std::string_view key, std::string_view message) {
  Digest digest{};
  unsigned int length = 0;
  CHECK(HMAC(Algorithm(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
             &length) != nullptr);
  CHECK(length == digest.size());
  return digest;
}

std::string Hex(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const unsigned char byte : digest) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 0xf]);
  }
  return hex;
}

std::string_view Bytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace cellrun::journal
