// SPDX-License-Identifier: Apache-2.0
// Prints one document that is made from the command line's tables, for the build: the manual page
// as scdoc source, a completion script.
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "launcher/options/completion.h"
#include "launcher/options/manual.h"

namespace {

using cellrun::options::CompletionScript;
using cellrun::options::Shell;

struct Document {
  const char* name;
  std::string (*text)();
};
constexpr std::array kDocuments = {
    Document{"cellrun.1", cellrun::options::ManualPage},
    Document{"bash", [] { return CompletionScript(Shell::kBash); }},
    Document{"zsh", [] { return CompletionScript(Shell::kZsh); }},
    Document{"fish", [] { return CompletionScript(Shell::kFish); }},
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view wanted = argc == 2 ? argv[1] : "";
  for (const Document& document : kDocuments) {
    if (wanted != document.name) continue;
    const std::string text = document.text();
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    return written && std::fflush(stdout) == 0 ? 0 : 1;
  }
  std::fputs("usage: generate DOCUMENT\n", stderr);
  return 2;
}
