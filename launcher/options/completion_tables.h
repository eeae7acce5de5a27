// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/options/value.h"
#include "launcher/options/verb.h"

// What the three completion scripts have in common.
namespace cellrun::options {

std::string BashCompletion();
std::string ZshCompletion();
std::string FishCompletion();

// Options that this release carries out.
bool IsOffered(const Option& option, const Verb& verb);
std::string Joined(const std::vector<std::string_view>& words, std::string_view separator);
// "profile", "audit", "broker".
std::vector<std::string_view> Groups();
// "list", "show", … of "profile".
std::vector<std::string_view> SubverbsOf(std::string_view group);
// Verbs of one word.
std::vector<std::string_view> SingleVerbs();
// What can stand first: single verbs and groups.
std::vector<std::string_view> FirstWords();
// What `cellrun help` knows, as single words.
std::vector<std::string_view> TopicWords();

}  // namespace cellrun::options
