// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "launcher/options/verb.h"
#include "tests/support/required.h"

namespace cellrun::options {
namespace {

using testing::HasSubstr;

std::string Output(const std::string& command) {
  // NOLINTNEXTLINE(cert-env33-c): a test's own command line
  FILE* pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) return "popen failed";
  std::string text;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), n);
  }
  const int status = pclose(pipe);
  return text + (WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "[failed]");
}

class ScriptFile {
 public:
  explicit ScriptFile(Shell shell) {
    const int fd = mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    const std::string script = CompletionScript(shell);
    EXPECT_EQ(write(fd, script.data(), script.size()), static_cast<ssize_t>(script.size()));
    close(fd);
  }
  ~ScriptFile() { unlink(path_.c_str()); }
  ScriptFile(const ScriptFile&) = delete;
  ScriptFile& operator=(const ScriptFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = testing::TempDir() + "cellrun-completion-XXXXXX";
};

// What bash would offer for the last of `words`.
std::string BashOffers(const std::string& words) {
  const ScriptFile script(Shell::kBash);
  return Output("bash -c '. " + script.path() + "; COMP_WORDS=(" + words +
                "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); cellrun() { :; }; _cellrun; "
                "printf \"%s\\n\" \"${COMPREPLY[@]}\"' 2>&1");
}

bool HasProgram(const std::string& name) {
  return Output("command -v " + name + " >/dev/null && echo yes") == "yes\n";
}

TEST(CompletionTest, BashScriptParses) {
  const ScriptFile script(Shell::kBash);
  EXPECT_EQ(Output("bash -n " + script.path() + " 2>&1"), "");
}

TEST(CompletionTest, ZshScriptParses) {
  REQUIRE_OR_SKIP(HasProgram("zsh"), "zsh");
  const ScriptFile script(Shell::kZsh);
  EXPECT_EQ(Output("zsh -n " + script.path() + " 2>&1"), "");
}

TEST(CompletionTest, FishScriptParses) {
  REQUIRE_OR_SKIP(HasProgram("fish"), "fish");
  const ScriptFile script(Shell::kFish);
  EXPECT_EQ(Output("fish -n " + script.path() + " 2>&1"), "");
}

TEST(CompletionTest, BashOffersVerbs) {
  EXPECT_THAT(BashOffers("cellrun doc"), HasSubstr("doctor\n"));
  EXPECT_EQ(BashOffers("cellrun profile sch"), "schema\n");
}

TEST(CompletionTest, BashOffersOptionsOfTheVerb) {
  EXPECT_EQ(BashOffers("cellrun --obs"), "--observe\n");
  EXPECT_EQ(BashOffers("cellrun history --verd"), "--verdict\n");
  EXPECT_EQ(BashOffers("cellrun doctor --obs"), "\n");
}

TEST(CompletionTest, BashOffersTheChoicesOfAValue) {
  EXPECT_EQ(BashOffers("cellrun run --tty r"), "raw\n");
  EXPECT_EQ(BashOffers("cellrun doctor -o y"), "yaml\n");
}

TEST(CompletionTest, EveryOptionIsInEveryScript) {
  const std::string bash = CompletionScript(Shell::kBash);
  const std::string zsh = CompletionScript(Shell::kZsh);
  const std::string fish = CompletionScript(Shell::kFish);
  for (const Option& option : AllOptions()) {
    if (option.support != Support::kNow || *option.flag == '\0') continue;
    EXPECT_THAT(bash, HasSubstr(option.flag));
    EXPECT_THAT(zsh, HasSubstr(option.flag));
    EXPECT_THAT(fish, HasSubstr("-l " + std::string(option.flag).substr(2)));
  }
}

TEST(CompletionTest, NamesNoOtherShell) {
  EXPECT_FALSE(ShellFromName("csh"));
  EXPECT_EQ(ShellFromName("zsh"), Shell::kZsh);
}

}  // namespace
}  // namespace cellrun::options
