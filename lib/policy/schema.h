// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The one table of everything that a profile can say (key_table_*.cc). The loader's checks, the
// JSON Schema, the manual page and the key reference all come from it, so none can know a key that
// the others do not.
namespace cellrun::policy {

// How a key's value is written.
enum class Shape : std::uint8_t {
  kSection,      // a map with keys of its own
  kSectionList,  // a list of such maps
  kScalar,
  kList,
  kOneOrList,      // one scalar, or a list of them that is not empty
  kNamed,          // a map from free names to scalars
  kNamedLists,     // a map from free names to lists
  kNamedOneOrList  // the same, or one scalar for a list of one
};

// What a scalar (or each item of a list) may be; see value_type.cc for the exact form of each.
enum class Type : std::uint8_t {
  kText,     // one line or more
  kLine,     // one line
  kBoolean,  // true | false
  kInteger,
  kNumber,
  kChoice,  // one of Key::choices
  kDuration,
  kSize,
  kPath,         // absolute or below ~
  kMaskedName,   // a path, a name below the workspace, or a pattern with **
  kPathPattern,  // a program's or directory's path or pattern
  kProgram,      // the same, or a bare name
  kGlob,         // of one argument or value
  kGlobOrNull,
  kHash,
  kErrno,
  kDate,
  kTarget,            // a destination without a port
  kEndpoint,          // a destination, perhaps with a port
  kGhostDestination,  // the same, perhaps over UDP
  kPorts,             // 443, "8000-8010"
  kPublish,           // 3000, "8080:80", "127.0.0.1:8080:80"
  kAddress,           // an IP address, perhaps with a port
  kProxy,             // http://HOST:PORT
  kResolver,          // "system" or an address
  kDomain,            // a host name, for itself and everything below it
  kGroup,
  kVariable,
  kVariableGlob,
  kUser,      // self, UID[:GID] or a name
  kUserName,  // a uid or a name
  kHostname,
  kImage,
  kRoot,  // host, image or a directory
  kProfileName,
  kRuleName,
  kToolName,
  kSecretSource,
  kSyscall,
};

// Whether a key may stand in a document that can only narrow.
enum class Standing : std::uint8_t {
  kYes,      // it cannot widen anything
  kBounded,  // it may, within bounds that merging checks
  kNo,
};

struct Key {
  const char* path;  // "commands.rules[].when.exe"; [] is an item of a list, * any name
  Shape shape = Shape::kScalar;
  Type type = Type::kText;
  const char* choices = "";   // of kChoice: separated by spaces
  const char* standard = "";  // what holds if nothing says otherwise; "" for none
  const char* meaning = "";
  const char* risk = "";  // what can go wrong by setting it
  // Of numbers, of durations in ms, of sizes in bytes; max 0: not bounded.
  double min = 0, max = 0;
  bool required = false;
  bool not_empty = false;               // a list or section that must hold something
  Standing floor = Standing::kYes;      // in /etc/cellrun/floor.d
  Standing workspace = Standing::kYes;  // in .cellrun.yaml before `cellrun trust`
  Type names = Type::kVariable;         // of a map from free names: what these are
};

// In the order of the documentation; a section stands before its keys.
std::span<const Key> KeyTable();

// The table as a tree, for walking it along a document.
struct KeyNode {
  const Key* key = nullptr;  // null at the root
  std::string_view name;     // last part of the path
  std::vector<KeyNode> children;

  // Null for a name that is not a child.
  [[nodiscard]] const KeyNode* Find(std::string_view child) const;
};
const KeyNode& KeyTree();

// The child's name nearest to `unknown` by edit distance; "" if none is near.
std::string NearestKey(const KeyNode& parent, std::string_view unknown);
// The choice nearest to `unknown`; "" if none is near.
std::string NearestChoice(const Key& key, std::string_view unknown);

// Key::choices taken apart.
std::vector<std::string_view> Choices(const Key& key);
// Least number of insertions, deletions, replacements and swaps of neighbours.
std::size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace cellrun::policy
