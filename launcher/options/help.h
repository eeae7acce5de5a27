// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "launcher/options/verb.h"

// What `-h`, `--help` and `help` print. Plain text, at most 100 columns.
namespace cellrun::options {

// Synopsis and options.
std::string ShortHelp(const Verb& verb);
// Examples first, then everything.
std::string FullHelp(const Verb& verb);
// How cellrun is called, in a few lines.
std::string Usage();
// All verbs, one a line.
std::string Overview();
// The verbs "GROUP …".
std::string GroupHelp(std::string_view group);
// A verb, a group or a topic by name; nothing if there is none of that name.
std::optional<std::string> TopicHelp(std::string_view name);
// The name nearest to `name` among those that TopicHelp knows; "" if none is near.
std::string_view NearestTopic(std::string_view name);
// The same among the verbs that stand alone; "" as well for a verb itself.
std::string_view NearestVerb(std::string_view word);

// "[options] [--] COMMAND [ARG…]"
std::string Synopsis(const Verb& verb);
// "-p, --profile NAME|FILE"
std::string OptionUsage(const Option& option);
// What help and manual say: the help text, with the choices or "not in this release".
std::string OptionMeaning(const Option& option);

}  // namespace cellrun::options
