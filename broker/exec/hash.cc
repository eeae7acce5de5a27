// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/hash.h"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <span>
#include <string_view>

#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;

// Fetched once: a fetch costs more than the hash of an environment.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    good_ = context_ != nullptr && Algorithm() != nullptr &&
            EVP_DigestInit_ex2(context_.get(), Algorithm(), nullptr) == 1;
  }
  void Add(std::string_view bytes) {
    good_ = good_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
  }
  Result<std::string> Finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    good_ = good_ && EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1;
    if (!good_) return Error(EIO, "sha256");
    std::string text;
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (const unsigned char byte : std::span(digest).first(size)) {
      text += kDigits[byte >> 4U];
      text += kDigits[byte & 15U];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  bool good_ = false;
};

}  // namespace

Result<std::string> HashContents(const UniqueFd& contents, const std::atomic<bool>* stop) {
  const struct stat facts = TRY(sys::Fstat(contents));
  if (static_cast<std::size_t>(facts.st_size) > kMaxHashedBytes) return Error(EFBIG, "sha256");
  Sha256 sha;
  std::vector<char> chunk(kChunkBytes);
  for (std::size_t done = 0; done <= kMaxHashedBytes;) {
    if (stop != nullptr && *stop) return Error(ECANCELED, "sha256");
    const std::size_t bytes = TRY(sys::Pread(contents, chunk, static_cast<off_t>(done)));
    if (bytes == 0) return sha.Finish();
    sha.Add({chunk.data(), bytes});
    done += bytes;
  }
  return Error(EFBIG, "sha256");  // it grew meanwhile
}

Result<std::string> HashText(std::string_view text) {
  Sha256 sha;
  sha.Add(text);
  return sha.Finish();
}

Result<std::string> HashStrings(const std::vector<std::string>& strings) {
  Sha256 sha;
  for (const std::string& text : strings) sha.Add({text.c_str(), text.size() + 1});
  return sha.Finish();
}

}  // namespace cellrun::exec
