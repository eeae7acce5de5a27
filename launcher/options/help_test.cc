// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "launcher/options/manual.h"

namespace cellrun::options {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(VerbTableTest, EveryVerbIsExplained) {
  for (const Verb& verb : AllVerbs()) {
    EXPECT_EQ(&VerbOf(verb.id), &verb);
    EXPECT_GT(std::string_view(verb.summary).size(), 8U) << verb.name;
    EXPECT_GT(std::string_view(verb.description).size(), 40U) << verb.name;
    EXPECT_FALSE(verb.examples.empty()) << verb.name;
    for (const Example& example : verb.examples) {
      EXPECT_THAT(example.command, testing::StartsWith("cellrun ")) << verb.name;
    }
  }
}

TEST(VerbTableTest, NoOptionIsListedTwiceForAVerb) {
  for (const Verb& verb : AllVerbs()) {
    std::set<OptionId> ids;
    std::set<char> letters;
    for (const Option& option : AllOptions()) {
      if (!Applies(option, verb)) continue;
      EXPECT_TRUE(ids.insert(option.id).second) << verb.name << " " << option.flag;
      if (option.letter != '\0') {
        EXPECT_TRUE(letters.insert(option.letter).second) << verb.name;
      }
      EXPECT_EQ(option.kind == ValueKind::kChoice, *option.choices != '\0') << option.flag;
      EXPECT_EQ(option.kind == ValueKind::kFlag, *option.value == '\0') << option.flag;
    }
  }
}

TEST(VerbTableTest, EveryOptionBelongsToAVerb) {
  for (const Option& option : AllOptions()) EXPECT_NE(option.verbs, 0U) << option.flag;
}

// Another verb may mean something else by the same flag.
bool HasOptionWritten(const std::string& usage, const Verb& verb) {
  const auto options = AllOptions();
  return std::any_of(options.begin(), options.end(), [&](const Option& option) {
    return Applies(option, verb) && OptionUsage(option) == usage;
  });
}

TEST(HelpTest, ShowsEveryOptionOfTheVerbAndNoOther) {
  for (const Verb& verb : AllVerbs()) {
    const std::string text = ShortHelp(verb);
    for (const Option& option : AllOptions()) {
      const std::string usage = "  " + OptionUsage(option) + " ";
      if (Applies(option, verb) && option.support != Support::kHidden) {
        EXPECT_THAT(text + " ", HasSubstr("  " + OptionUsage(option))) << verb.name;
      } else if (!Applies(option, verb) && !HasOptionWritten(OptionUsage(option), verb)) {
        EXPECT_THAT(text, Not(HasSubstr(usage))) << verb.name;
      }
    }
  }
}

TEST(HelpTest, FullHelpBeginsWithExamples) {
  for (const Verb& verb : AllVerbs()) {
    const std::string text = FullHelp(verb);
    const std::size_t examples = text.find("Examples:");
    EXPECT_NE(examples, std::string::npos);
    EXPECT_LT(examples, text.find("Usage:")) << verb.name;
    EXPECT_LT(text.find("Usage:"), text.find("Options:")) << verb.name;
  }
}

TEST(HelpTest, NoLineIsWiderThanAHundredColumns) {
  std::string text = Overview();
  for (const Verb& verb : AllVerbs()) text += FullHelp(verb);
  for (const Topic& topic : AllTopics()) text += TopicHelp(topic.name).value_or("");
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    EXPECT_LE(end - start, 104U) << text.substr(start, end - start);
  }
}

TEST(HelpTest, HiddenOptionsStayHidden) {
  EXPECT_THAT(FullHelp(VerbOf(VerbId::kDoctor)), Not(HasSubstr("attack-plan")));
  EXPECT_THAT(ManualPage(), Not(HasSubstr("attack-plan")));
}

TEST(HelpTest, KnowsGroupsAndTopics) {
  EXPECT_THAT(TopicHelp("profile").value_or(""), HasSubstr("profile schema"));
  EXPECT_THAT(TopicHelp("exit-status").value_or(""), HasSubstr("124"));
  EXPECT_FALSE(TopicHelp("nonsense"));
  EXPECT_EQ(NearestTopic("exit-staus"), "exit-status");
}

TEST(ManualPageTest, HasEveryVerbAndEveryExitStatus) {
  const std::string page = ManualPage();
  for (const Verb& verb : AllVerbs()) EXPECT_THAT(page, HasSubstr(verb.name));
  for (const char* status : {"*124*", "*125*", "*126*", "*127*", "*128+N*"}) {
    EXPECT_THAT(page, HasSubstr(status));
  }
}

}  // namespace
}  // namespace cellrun::options
