// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cellrun::run {

// Replaces secrets in a stream by ***: each as it is, in base64 (at whatever offset of three it
// begins), and percent-encoded. Values of fewer than kMinBytes are in too much that is no secret.
class Redactor {
 public:
  static constexpr std::size_t kMinBytes = 4;
  explicit Redactor(const std::vector<std::string>& secrets);
  ~Redactor();
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;

  // What may be passed on now. An end that could be the beginning of a secret is kept back.
  std::string Take(std::string_view bytes);
  // The rest.
  std::string Finish();

 private:
  std::string Replace(bool is_end);

  std::vector<std::string> needles_;  // the longest first
  std::string beginnings_;            // first bytes of them
  std::string kept_;
};

}  // namespace cellrun::run
