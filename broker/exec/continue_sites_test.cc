// SPDX-License-Identifier: Apache-2.0
// Answering CONTINUE is where a sandbox of this kind is won or lost: each place is classified.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace cellrun::exec {
namespace {

using testing::IsEmpty;
using testing::Not;

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Every source file of the programs, without tests.
std::map<std::string, std::string> Sources() {
  std::map<std::string, std::string> sources;
  const std::filesystem::path root = CELLRUN_SOURCE_DIR;
  for (const char* folder : {"broker", "launcher", "lib", "shim"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(".cc") && !name.ends_with(".h")) continue;
      if (name.ends_with("_test.cc")) continue;
      sources[std::filesystem::relative(entry.path(), root)] = ReadText(entry.path());
    }
  }
  return sources;
}

std::vector<std::smatch> All(const std::string& text, const std::regex& pattern) {
  return {std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator()};
}

// site -> "file class"
std::map<std::string, std::string> TaggedSites(const std::map<std::string, std::string>& sources) {
  std::map<std::string, std::string> sites;
  const std::regex tag(R"(// CONTINUE-SITE\(([a-z-]+), class ([a-d])\):)");
  for (const auto& [file, text] : sources) {
    for (const std::smatch& match : All(text, tag)) {
      EXPECT_EQ(sites.count(match[1]), 0U) << "two sites are called " << match[1];
      sites[match[1]] = file + " " + match[2].str();
    }
  }
  return sites;
}

TEST(ContinueSitesTest, EveryCallStandsUnderItsTag) {
  // A comment with a tag, then nothing but the rest of the comment, then the call.
  const std::regex tagged(
      R"(// CONTINUE-SITE\([a-z-]+, class [a-d]\):[^\n]*\n(\s*//[^\n]*\n)*[^\n/]*SeccompContinue\()");
  const std::regex call(R"(SeccompContinue\()");
  std::size_t calls = 0;
  for (const auto& [file, text] : Sources()) {
    if (file.starts_with("lib/sys/seccomp.")) continue;  // the wrapper itself
    EXPECT_EQ(All(text, call).size(), All(text, tagged).size()) << file;
    calls += All(text, call).size();
  }
  EXPECT_GT(calls, 0U);
}

TEST(ContinueSitesTest, NobodySetsTheFlagBesideTheWrapper) {
  for (const auto& [file, text] : Sources()) {
    if (file == "lib/sys/seccomp.cc") continue;
    EXPECT_EQ(text.find("USER_NOTIF_FLAG_"
                        "CONTINUE"),
              std::string::npos)
        << file;
    EXPECT_EQ(text.find("IOCTL_NOTIF_"
                        "SEND"),
              std::string::npos)
        << file;
  }
}

TEST(ContinueSitesTest, TheDocumentListsTheSameSites) {
  const std::string document =
      ReadText(std::filesystem::path(CELLRUN_SOURCE_DIR) / "docs/continue-sites.md");
  std::map<std::string, std::string> listed;
  const std::regex row(R"(\n\| `([a-z-]+)` \| ([a-z_/.]+) \| ([a-d]) \|)");
  for (const std::smatch& match : All(document, row)) {
    listed[match[1]] = match[2].str() + " " + match[3].str();
  }
  EXPECT_THAT(listed, Not(IsEmpty()));
  EXPECT_EQ(listed, TaggedSites(Sources()));
}

}  // namespace
}  // namespace cellrun::exec
