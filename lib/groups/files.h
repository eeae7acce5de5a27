// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cellrun::groups {

// A regular file's text, "" if there is none; at most 1 MiB of it.
std::string ReadText(const std::string& path);
// The same in lines, without white space at both ends.
std::vector<std::string> ReadLines(const std::string& path);
// Paths of existing files, in order; `pattern` as for glob(3).
std::vector<std::string> Matching(const std::string& pattern);

std::string_view Trim(std::string_view text);
std::string Lower(std::string_view text);
// Without quotes of either kind around it.
std::string_view Unquote(std::string_view text);
// The words between white space or `separators`.
std::vector<std::string> Words(std::string_view text, std::string_view separators = "");
// What stands between quotes in a text.
std::vector<std::string> Quoted(std::string_view text);

// `KEY = VALUE` of a line; empty key: it is no such line.
struct Setting {
  std::string key, value;
};
Setting SettingOf(std::string_view line);

// "HOST:PORT" of an http or https URL, "[ADDRESS]:PORT" for IPv6; "" for another scheme, without a
// host, or where the host is the machine itself.
std::string EndpointOfUrl(std::string_view url);

}  // namespace cellrun::groups
