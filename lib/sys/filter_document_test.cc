// SPDX-License-Identifier: Apache-2.0
// docs/filter.md between its two marks is what this writes from the table.
// CELLRUN_UPDATE_DOCS=1 writes it into the file.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "lib/sys/argument_rule.h"
#include "lib/sys/filter.h"

namespace cellrun::sys {
namespace {

constexpr char kBegin[] = "<!-- from lib/sys/syscall_table.cc -->\n";
constexpr char kEnd[] = "<!-- end -->\n";

std::filesystem::path DocumentPath() {
  return std::filesystem::path(CELLRUN_SOURCE_DIR) / "docs" / "filter.md";
}

std::string NamesOf(SyscallClass wanted) {
  std::string names;
  for (const SyscallEntry& entry : AllSyscalls()) {
    if (entry.syscall_class != wanted) continue;
    names += (names.empty() ? "`" : " `") + std::string(entry.name) + "`";
  }
  return names;
}

std::string NamesOf(OptIn wanted) {
  std::string names;
  for (const SyscallEntry& entry : AllSyscalls()) {
    if (entry.opt_in == wanted && entry.rule == nullptr)
      names += (names.empty() ? "`" : " `") + std::string(entry.name) + "`";
  }
  return names;
}

std::string Describe() {
  std::string text;
  for (const SyscallClass c :
       {SyscallClass::kJudged, SyscallClass::kBlocked, SyscallClass::kFallBack}) {
    text += "**" + std::string(SyscallClassName(c)) + "**: " + NamesOf(c) + "\n\n";
  }
  text += "| by arguments | number | |\n|---|---|---|\n";
  for (const SyscallEntry& entry : AllSyscalls()) {
    if (entry.syscall_class != SyscallClass::kConditional) continue;
    text += "| `" + std::string(entry.name) + "` | " + std::to_string(entry.number) + " | " +
            entry.rule->meaning + " |\n";
  }
  text += "\n| opt-in | allows |\n|---|---|\n";
  for (const OptIn opt_in : {OptIn::kPtrace, OptIn::kPerf, OptIn::kKeyctl, OptIn::kUserns}) {
    text += "| `" + std::string(OptInName(opt_in)) + "` | " + NamesOf(opt_in) + " |\n";
  }
  text += "\n| with `userns` | |\n|---|---|\n";
  for (const SyscallEntry& entry : AllSyscalls()) {
    if (entry.opt_in != OptIn::kUserns || entry.rule == nullptr) continue;
    text += "| `" + std::string(entry.name) + "` | " + entry.rule->meaning + " |\n";
  }
  text += "\nThe table has " + std::to_string(AllSyscalls().size()) + " calls, the last is " +
          std::to_string(AllSyscalls().back().number) + " `" + AllSyscalls().back().name +
          "`; the program has " + std::to_string(BuildFilter({}).size()) + " instructions.\n";
  return text;
}

TEST(FilterDocumentTest, SaysWhatTheTableSays) {
  std::ifstream in(DocumentPath());
  ASSERT_TRUE(in.is_open()) << DocumentPath();
  const std::string document{std::istreambuf_iterator<char>(in), {}};
  const std::size_t begin = document.find(kBegin);
  const std::size_t end = document.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::string expected =
      document.substr(0, begin) + kBegin + Describe() + document.substr(end);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a test has one thread
  if (std::getenv("CELLRUN_UPDATE_DOCS") != nullptr) {
    std::ofstream(DocumentPath()) << expected;
    return;
  }
  EXPECT_EQ(document, expected) << "run this test with CELLRUN_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace cellrun::sys
