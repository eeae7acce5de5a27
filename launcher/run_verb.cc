// SPDX-License-Identifier: Apache-2.0
#include "launcher/run_verb.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "launcher/client/error_form.h"
#include "launcher/options/help.h"
#include "launcher/options/value.h"
#include "lib/base/check.h"
#include "lib/base/text.h"

namespace cellrun::launcher {
namespace {

using options::Arguments;
using options::OptionId;

constexpr int kNotFound = 127;

TtyMode ToTtyMode(std::string_view name) {
  if (name == "yes") return TtyMode::kYes;
  if (name == "no") return TtyMode::kNo;
  if (name == "raw") return TtyMode::kRaw;
  return TtyMode::kAuto;
}

bool IsInPath(const std::string& name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): single-threaded
  const char* path = getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::size_t end = rest.find(':');
    const std::string candidate = std::string(rest.substr(0, end)) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return true;
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
  }
  return false;
}

void SuggestVerb(const std::string& word) {
  if (word.find('/') != std::string::npos || IsInPath(word)) return;
  const std::string_view near = options::NearestVerb(word);
  if (near.empty()) return;
  PrintNote(text::Quote(word) + " is no verb of cellrun; did you mean: cellrun " +
            std::string(near));
}

}  // namespace

RunOptions ToRunOptions(const Arguments& arguments) {
  RunOptions run;
  run.profile = arguments.Get(OptionId::kProfile);
  run.workspace = arguments.Get(OptionId::kWorkspace);
  run.name = arguments.Get(OptionId::kName);
  for (const std::string& variable : arguments.All(OptionId::kEnvironment)) {
    const std::size_t equals = variable.find('=');
    if (equals == std::string::npos) {
      run.env.emplace_back(variable, std::nullopt);
    } else {
      run.env.emplace_back(variable.substr(0, equals), variable.substr(equals + 1));
    }
  }
  run.read = arguments.All(OptionId::kRead);
  run.write = arguments.All(OptionId::kWrite);
  run.publish = arguments.All(OptionId::kPublish);
  run.network = arguments.All(OptionId::kNetwork);
  run.observe = arguments.Has(OptionId::kObserve);
  run.tty = ToTtyMode(arguments.Get(OptionId::kTerminal, "auto"));
  run.report = arguments.Get(OptionId::kReport);
  if (arguments.Has(OptionId::kTime)) {
    const auto limit = options::ParseDuration(arguments.Get(OptionId::kTime));
    CHECK(limit.has_value());
    run.time_limit = *limit;
  }
  run.argv = arguments.words;
  return run;
}

int RunVerb(const Arguments& arguments) {
  const int status = Run(ToRunOptions(arguments));
  if (status == kNotFound && arguments.implied_run) SuggestVerb(arguments.words[0]);
  return status;
}

}  // namespace cellrun::launcher
