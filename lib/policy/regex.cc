// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/regex.h"

#include <re2/re2.h>

#include <cerrno>
#include <string>

namespace cellrun::policy {
namespace {

re2::RE2::Options MakeOptions() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_max_mem(1 << 20);
  return options;
}

class Re2Regex final : public Regex {
 public:
  explicit Re2Regex(std::string_view expression)
      : re2_({expression.data(), expression.size()}, MakeOptions()) {}
  [[nodiscard]] const re2::RE2& re2() const { return re2_; }
  [[nodiscard]] bool Matches(std::string_view subject) const override {
    return re2::RE2::FullMatch({subject.data(), subject.size()}, re2_);
  }

 private:
  re2::RE2 re2_;
};

}  // namespace

Result<std::shared_ptr<const Regex>> Regex::Compile(std::string_view expression) {
  auto regex = std::make_shared<Re2Regex>(expression);
  if (!regex->re2().ok()) return Error(EINVAL, "invalid regular expression", regex->re2().error());
  return std::shared_ptr<const Regex>(std::move(regex));
}

}  // namespace cellrun::policy
