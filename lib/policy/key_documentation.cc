// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/key_documentation.h"

#include <algorithm>
#include <string_view>

#include "lib/policy/schema.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

bool IsLeaf(const Key& key) {
  return key.shape != Shape::kSection && key.shape != Shape::kSectionList;
}

bool IsTopLevel(const Key& key) {
  return std::string_view(key.path).find('.') == std::string_view::npos;
}

// "one or a list of: a pattern".
std::string ValueInWords(const Key& key) {
  switch (key.shape) {
    case Shape::kSection:
      return "a map";
    case Shape::kSectionList:
      return "a list of maps";
    case Shape::kScalar:
      break;
    case Shape::kList:
      return "a list of: " + ExpectedValue(key);
    case Shape::kOneOrList:
      return "one or a list of: " + ExpectedValue(key);
    case Shape::kNamed:
      return "a map from names to: " + ExpectedValue(key);
    case Shape::kNamedLists:
      return "a map from names to lists of: " + ExpectedValue(key);
    case Shape::kNamedOneOrList:
      return "a map from names to one or a list of: " + ExpectedValue(key);
  }
  return ExpectedValue(key);
}

std::string DefaultInWords(const Key& key) {
  if (key.required) return "required";
  return *key.standard == '\0' ? "" : key.standard;
}

const char* StandingInWords(const Key& key) {
  if (key.workspace == Standing::kNo && key.floor == Standing::kNo) {
    return "Not in a floor, not in a workspace's .cellrun.yaml.";
  }
  if (key.workspace == Standing::kNo) return "Not in a workspace's .cellrun.yaml.";
  if (key.floor == Standing::kNo) return "Not in a floor.";
  if (key.floor == Standing::kBounded) {
    return "A floor bounds it; a workspace's .cellrun.yaml may only narrow it.";
  }
  if (key.workspace == Standing::kBounded) {
    return "A workspace's .cellrun.yaml may only narrow with it.";
  }
  return "";
}

// Whether a heading stands before the key: a section, or a single key behind one.
bool NeedsHeading(const Key& key, bool after_section) {
  return IsTopLevel(key) && (!IsLeaf(key) || after_section);
}

// ---- scdoc

// Text as scdoc takes it: `code` becomes bold, formatting characters lose their meaning.
std::string Manual(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '`') {
      escaped += '*';
      continue;
    }
    if (std::string_view("\\*_#[]|<>").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string ManualKey(const Key& key) {
  std::string text = "*" + Manual(key.path) + "*: " + Manual(ValueInWords(key));
  const std::string standard = DefaultInWords(key);
  if (key.required) text += " (required)";
  if (!key.required && !standard.empty()) text += " (default: " + Manual(standard) + ")";
  text += "\n\t" + Manual(key.meaning) + "\n";
  if (*key.risk != '\0') text += "\n\tRisk: " + Manual(key.risk) + "\n";
  const std::string standing = StandingInWords(key);
  if (!standing.empty()) text += "\n\t" + Manual(standing) + "\n";
  return text + "\n";
}

constexpr std::string_view kManualHead = R"(cellrun-profile(5)

# NAME

cellrun-profile - what a cellrun cell may do

# DESCRIPTION

A profile is one YAML document, format version 1, that says everything about a cell: its files,
the programs that may start, where connections may go, limits, environment. It is UTF-8 of at most
1 MiB. Unknown and duplicate keys, anchors, aliases, tags, directives and further documents are
errors, and with an error nothing starts. Only *true* and *false* are truth values; a value that
YAML would take for a number or a truth value is written in quotes where text is meant.

Durations are whole numbers with a unit: 100ms, 30s, 5m, 2h, 7d. Sizes: 64K, 512M, 2G, 1T, in
powers of 1024. *~* is the home directory of whoever runs the cell.

# EXAMPLE

```
cellrun: 1
name: strict
description: Everyday development without the network; asks for the rest.
commands:
  default: ask
  rules:
    - name: read-only tools
      when: {exe: [ls, cat, grep]}
      then: allow
    - when: {exe: git, args: [push, "**"]}
      then: ask
      reason: publishes code
    - name: no-root
      when: {exe: sudo}
      then: deny
      message: there is no root in this cell
network:
  default: deny
tests:
  - {exec: [sudo, id], expect: deny, rule: no-root}
```

# PATTERNS

In a pattern \* is any run of characters (in paths without a slash), \*\* also across slashes, ? one
character, \[a-z\] one of a set, {a,b} either; a backslash takes the meaning from the next
character. A text that begins with re: is an RE2 regular expression of the whole. In *args* the
element "\*\*" stands for any number of arguments.

# WHO MAY SAY WHAT

Rules are tried in this order: the floor (/etc/cellrun/floor.d, owned by root), remembered
approvals, the command line, the workspace's .cellrun.yaml, the profile, what it extends. The first
match decides, with two exceptions: a rule of the floor or of .cellrun.yaml only makes the verdict
stricter, it never loosens what the rest says; and a remembered approval only answers what a rule of
the command line, the profile or what it extends asks: it loosens no denial, and how the command runs
is what the asking rule says.

Along *extends*, rules and tests append, own first; read, write, hide, protect, require, pass, set,
tools, secrets, groups and split unite, and of two with one name the nearest wins; of every other value the
nearest wins. A floor bounds every default and limit and adds to hide, protect, noexec and require.
Until its owner ran *cellrun trust*, .cellrun.yaml may only narrow: ask and deny rules, stricter
defaults, smaller limits, more to hide and protect.

# KEYS

A name after a dot is a key inside the map before it; \[\] stands for each entry of a list.

)";

constexpr std::string_view kManualTail = R"(# FILES

/etc/cellrun/floor.d/\*.yaml
	Documents that nobody can loosen; owned by root.

.cellrun.yaml
	In a workspace: narrows the chosen profile.

# SEE ALSO

*cellrun*(1)
)";

// ---- Markdown

std::string Cell(std::string_view text) {
  std::string escaped;
  bool code = false;
  for (const char c : text) {
    if (c == '`') code = !code;
    // A star or an underscore outside of code may begin emphasis; a bar ends the cell anywhere.
    if (c == '|' || (!code && (c == '*' || c == '_' || c == '<'))) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string TableHead() {
  return "| key | value | default | meaning | risk |\n|---|---|---|---|---|\n";
}

std::string TableRow(const Key& key) {
  const std::string standard = key.required ? "required" : DefaultInWords(key);
  const bool code = !key.required && !standard.empty() && key.type != Type::kPathPattern;
  std::string meaning = Cell(key.meaning);
  if (const std::string standing = StandingInWords(key); !standing.empty()) {
    meaning += " " + Cell(standing);
  }
  return "| `" + std::string(key.path) + "` | " + Cell(ValueInWords(key)) + " | " +
         (code ? "`" + standard + "`" : standard) + " | " + meaning + " | " + Cell(key.risk) +
         " |\n";
}

}  // namespace

std::string ProfileManualPage() {
  std::string page(kManualHead);
  bool after_section = false;
  for (const Key& key : KeyTable()) {
    after_section = after_section || !IsLeaf(key);
    if (NeedsHeading(key, after_section)) page += "## " + Manual(key.path) + "\n\n";
    page += ManualKey(key);
  }
  page += kManualTail;
  return page;
}

std::string ProfileKeyReference() {
  std::string text = "### Head\n\n" + TableHead();
  bool after_section = false;
  for (const Key& key : KeyTable()) {
    after_section = after_section || !IsLeaf(key);
    if (NeedsHeading(key, after_section)) {
      text += "\n### `" + std::string(key.path) + "`\n\n" + TableHead();
    }
    text += TableRow(key);
  }
  return text;
}

}  // namespace cellrun::policy
