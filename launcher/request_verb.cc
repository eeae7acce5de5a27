// SPDX-License-Identifier: Apache-2.0
#include "launcher/request_verb.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "launcher/client/error_form.h"
#include "launcher/client/inside.h"
#include "lib/base/text.h"
#include "lib/wire/strict_json.h"

namespace cellrun::launcher {
namespace {

constexpr int kFailed = 125, kDenied = 126, kNotFound = 127;

Result<void> Propose(const std::string& reason) {
  TRY(client::TellBroker({{"type", "propose"}, {"reason", wire::TextToJson(reason)}}));
  return {};
}

}  // namespace

int RequestVerb(const options::Arguments& arguments) {
  const Result<void> proposed = Propose(arguments.Get(options::OptionId::kReason));
  if (!proposed.ok()) {
    // EACCES: a broker of root has its directory there.
    const bool outside = proposed.error().code() == ENOENT || !client::IsInside();
    PrintError({.what = outside ? "this is not a cell" : "nothing can be proposed",
                .cause = outside ? "request is for programs in a cell; outside, you decide yourself"
                                 : text::Escape(proposed.error().ToString()),
                .suggest = outside ? "cellrun approvals" : ""});
    return kFailed;
  }
  std::vector<char*> argv;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): as execv(3) is declared
  for (const std::string& word : arguments.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  const int code = errno;
  PrintError({.what = text::Escape(arguments.words[0]) + ": " + ErrnoText(code),
              .cause = "",
              .suggest = ""});
  return code == ENOENT ? kNotFound : kDenied;
}

}  // namespace cellrun::launcher
