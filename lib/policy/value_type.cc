// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/value_type.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "lib/base/check.h"
#include "lib/base/result.h"
#include "lib/base/text.h"
#include "lib/policy/units.h"
#include "lib/policy/value_form.h"

namespace cellrun::policy {
namespace {

constexpr auto kTypes = std::to_array<TypeInfo>({
    {Type::kText, "text", "text", ""},
    {Type::kLine, "text", "one line of text", "^[^\\n]+$"},
    {Type::kBoolean, "truth value", "true or false", ""},
    {Type::kInteger, "number", "a whole number", ""},
    {Type::kNumber, "number", "a number", ""},
    {Type::kChoice, "choice", "", ""},
    {Type::kDuration, "duration", "a whole number and a unit: 100ms 30s 5m 2h 7d",
     "^[0-9]+(ms|s|m|h|d)$"},
    {Type::kSize, "size", "a whole number and a unit: 64K 512M 2G", "^[0-9]+[KMGT]$"},
    {Type::kPath, "path", "an absolute path or ~/…, without '..'", "^(/|~)"},
    {Type::kMaskedName, "path or pattern",
     "an absolute path, ~/…, a name below the workspace, or a pattern with **; without '..'", ""},
    {Type::kPathPattern, "path or pattern", "an absolute path or pattern, ~/… or ./…", ""},
    {Type::kProgram, "program", "a bare name, an absolute path or pattern, ~/… or ./…", ""},
    {Type::kGlob, "pattern", "a pattern", ""},
    {Type::kGlobOrNull, "pattern or null", "a pattern or null", ""},
    {Type::kHash, "hash", "sha256: and 64 hex digits", "^sha256:[0-9A-Fa-f]{64}$"},
    {Type::kErrno, "errno", "an errno's name: EACCES", "^E[A-Z0-9]+$"},
    {Type::kDate, "date", "a date, 2030-12-31, or a time, 2030-12-31T12:00:00Z",
     "^[0-9]{4}-[0-9]{2}-[0-9]{2}"},
    {Type::kTarget, "destination",
     "a name, *.NAME, .NAME, *, an address or CIDR block, host, host.cell/NAME or @GROUP", ""},
    {Type::kEndpoint, "destination",
     "a name, *.NAME, .NAME, an address or CIDR block or host, perhaps with :PORT", ""},
    {Type::kGhostDestination, "destination",
     "a name, *.NAME, .NAME, an address or CIDR block, host, host.cell/NAME or @GROUP, perhaps "
     "with :PORT or :PORT/udp",
     ""},
    {Type::kPorts, "port or range", "a port from 1 to 65535, or a range \"8000-8010\"", ""},
    {Type::kPublish, "port", "PORT, \"HOST:CELL\" or \"ADDRESS:HOST:CELL\"", ""},
    {Type::kAddress, "address", "an IP address", ""},
    {Type::kProxy, "URL", "http://HOST:PORT or socks5://HOST:PORT", "^(http|socks5)://"},
    {Type::kResolver, "address", "system, or the IP address of a resolver, perhaps with :PORT", ""},
    {Type::kDomain, "domain", "a domain without a dot at its ends: corp.example",
     "^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$"},
    {Type::kGroup, "group", "a name of letters, digits, - and _", "^[A-Za-z0-9_-]+$"},
    {Type::kVariable, "variable", "a name of letters, digits and _", "^[A-Za-z_][A-Za-z0-9_]*$"},
    {Type::kVariableGlob, "variable or pattern", "a name of letters, digits and _, or a pattern",
     ""},
    {Type::kUser, "user", "self, UID, UID:GID or a user name", ""},
    {Type::kUserName, "user", "a uid or a user name", ""},
    {Type::kHostname, "host name", "a host name", "^[A-Za-z0-9]([A-Za-z0-9.-]{0,62})$"},
    {Type::kImage, "image", "an image reference or an absolute path", "^[^\\s]+$"},
    {Type::kRoot, "root", "host, image or an absolute path", "^(host|image|/.*|~/.*)$"},
    {Type::kProfileName, "profile", "letters, digits and . _ - /", "^[A-Za-z0-9._/~-]+$"},
    {Type::kRuleName, "name", "one line of text, not \"default\"", "^[^\\n]{1,100}$"},
    {Type::kToolName, "command", "a file name of letters, digits and . _ + -",
     "^[A-Za-z0-9_][A-Za-z0-9._+-]*$"},
    {Type::kSecretSource, "source", "env:NAME, file:PATH or command:COMMAND",
     "^(env|file|command):.+"},
    {Type::kSyscall, "system call",
     "a call of the blocked set or an opt-in: ptrace, userns, perf, keyctl", "^[a-z0-9_]+$"},
});

// A reader sees what an unquoted value was taken for.
const char* MeaningName(PlainMeaning meaning) {
  switch (meaning) {
    case PlainMeaning::kBoolean:
      return "a truth value";
    case PlainMeaning::kInteger:
    case PlainMeaning::kFloat:
      return "a number";
    case PlainMeaning::kText:
      break;
  }
  return "text";
}

// Types that a plain number also writes well.
bool TakesIntegers(Type type) {
  return type == Type::kInteger || type == Type::kNumber || type == Type::kPorts ||
         type == Type::kPublish || type == Type::kUser || type == Type::kUserName;
}

bool TakesMeaning(Type type, PlainMeaning meaning) {
  switch (meaning) {
    case PlainMeaning::kBoolean:
      return type == Type::kBoolean;
    case PlainMeaning::kInteger:
      return TakesIntegers(type);
    case PlainMeaning::kFloat:
      return type == Type::kNumber;
    case PlainMeaning::kText:
      return type != Type::kBoolean && type != Type::kInteger && type != Type::kNumber;
  }
  return false;
}

// Types of which "~" alone is a value, were it not YAML's null.
bool MayBeHome(Type type) {
  return type == Type::kPath || type == Type::kMaskedName || type == Type::kPathPattern ||
         type == Type::kProgram || type == Type::kRoot;
}
constexpr const char* kLoneTilde = "; a lone ~ is YAML's null: write it in quotes";

std::string Shown(const std::string& text) {
  return "'" + text::EscapeShort(text, 80) + "'";
}

// Durations and sizes are bounded in their own units.
std::string FormatBound(const Key& key, double bound) {
  if (key.type == Type::kDuration) {
    return FormatDuration(std::chrono::milliseconds(static_cast<std::int64_t>(bound)));
  }
  if (key.type == Type::kSize) return FormatSize(static_cast<std::uint64_t>(bound));
  const std::string text = std::to_string(bound);
  const std::size_t last = text.find_last_not_of("0.");
  if (bound != std::floor(bound)) return text.substr(0, last + 1);
  return std::to_string(static_cast<std::int64_t>(bound));
}

// The amount that a bound is compared with; nothing for other types.
std::optional<double> Amount(const Key& key, const std::string& text) {
  switch (key.type) {
    case Type::kInteger:
      return static_cast<double>(IntegerValue(text));
    case Type::kNumber:
      return NumberValue(text);
    case Type::kDuration:
      return static_cast<double>(
          ParseDuration(text).value_or(std::chrono::milliseconds(0)).count());
    case Type::kSize:
      return static_cast<double>(ParseSize(text).value_or(0));
    default:
      return std::nullopt;
  }
}

std::optional<ValueProblem> CheckBounds(const Key& key, const std::string& text) {
  const std::optional<double> amount = Amount(key, text);
  if (!amount || key.max <= 0) return std::nullopt;
  // The comparison is written so that a NaN fails it. A minus sign is lost in IntegerValue.
  if (*amount >= key.min && *amount <= key.max && !text.starts_with('-')) return std::nullopt;
  return ValueProblem{text::EscapeShort(text, 80) + " is out of range", ExpectedValue(key), ""};
}

std::optional<ValueProblem> CheckChoice(const Key& key, const std::string& text) {
  const std::vector<std::string_view> choices = Choices(key);
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::nullopt;
  return ValueProblem{"unknown value " + Shown(text), ExpectedValue(key), NearestChoice(key, text)};
}

}  // namespace

const TypeInfo& InfoOf(Type type) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const TypeInfo& info) { return info.type == type; });
  CHECK(found != kTypes.end());
  return *found;
}

std::string ExpectedValue(const Key& key) {
  std::string expected;
  if (key.type == Type::kChoice) {
    for (const std::string_view choice : Choices(key)) {
      expected += (expected.empty() ? "" : ", ") + std::string(choice);
    }
    return expected;
  }
  if (key.max > 0 && key.min == key.max) return FormatBound(key, key.min);
  expected = InfoOf(key.type).expected;
  if (key.max > 0) {
    expected += ", " + FormatBound(key, key.min) + " to " + FormatBound(key, key.max);
  }
  return expected;
}

std::optional<ValueProblem> CheckScalar(const Key& key, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kNull) {
    if (key.type == Type::kGlobOrNull) return std::nullopt;
    return ValueProblem{"nothing", ExpectedValue(key) + (MayBeHome(key.type) ? kLoneTilde : ""),
                        ""};
  }
  if (node.kind != YamlNode::Kind::kScalar) {
    return ValueProblem{node.kind == YamlNode::Kind::kMap ? "a map" : "a list", ExpectedValue(key),
                        ""};
  }
  const PlainMeaning meaning = MeaningOf(node);
  if (key.type == Type::kChoice && meaning == PlainMeaning::kText) {
    return CheckChoice(key, node.text);
  }
  if (!TakesMeaning(key.type, meaning)) {
    const bool quote = meaning != PlainMeaning::kText && key.type != Type::kChoice &&
                       !FormProblem(key.type, node.text);
    return ValueProblem{std::string(MeaningName(meaning)) + ", " + Shown(node.text),
                        ExpectedValue(key),
                        quote ? "\"" + text::EscapeShort(node.text, 80) + "\"" : ""};
  }
  if (const std::optional<std::string> problem = FormProblem(key.type, node.text)) {
    return ValueProblem{
        Shown(node.text) +
            (problem->empty() ? " does not fit" : ": " + text::EscapeShort(*problem, 300)),
        ExpectedValue(key), ""};
  }
  return CheckBounds(key, node.text);
}

std::uint64_t IntegerValue(const std::string& text) {
  int base = 10;
  std::string_view digits = text;
  if (digits.starts_with("0x") || digits.starts_with("0o")) {
    base = digits[1] == 'x' ? 16 : 8;
    digits.remove_prefix(2);
  } else if (digits.starts_with('+') || digits.starts_with('-')) {
    digits.remove_prefix(1);
  }
  std::uint64_t value = 0;
  const auto [rest, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return error == std::errc() ? value : UINT64_MAX;  // out of every range
}

double NumberValue(const std::string& text) {
  double value = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [rest, error] = std::from_chars(begin, text.data() + text.size(), value);
  return error == std::errc() && rest == text.data() + text.size() ? value : NAN;
}

}  // namespace cellrun::policy
