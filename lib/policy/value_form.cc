// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/value_form.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "lib/base/result.h"
#include "lib/policy/expiry.h"
#include "lib/policy/glob.h"
#include "lib/policy/load.h"
#include "lib/policy/network_target.h"
#include "lib/policy/pattern.h"
#include "lib/policy/program_set.h"
#include "lib/policy/syscalls.h"
#include "lib/policy/units.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

using Form = std::optional<std::string> (*)(const std::string&);

constexpr std::size_t kLongestPath = 4095;
constexpr std::size_t kLongestName = 255;

std::optional<std::string> Fits(bool fits) {
  return fits ? std::nullopt : std::optional<std::string>("");
}

bool Only(std::string_view text, std::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           extra.find(c) != std::string_view::npos;
  });
}

bool IsNumber(std::string_view text, std::uint32_t largest) {
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end && number <= largest;
}

bool HasParentStep(std::string_view path) {
  return path == ".." || path.starts_with("../") || path.ends_with("/..") ||
         path.find("/../") != std::string_view::npos;
}

std::optional<std::string> PlainPath(const std::string& text) {
  if (text.empty()) return "";
  if (text.size() > kLongestPath) return "longer than a path can be";
  if (HasParentStep(text)) return "'..' leads elsewhere";
  if (text.find_first_not_of("/.") == std::string::npos) {
    return "the whole tree cannot be meant";
  }
  return std::nullopt;
}

std::optional<std::string> FormOfPath(const std::string& text) {
  const bool placed = text.starts_with('/') || text == "~" || text.starts_with("~/");
  if (!placed) return "not an absolute path";
  if (HasGlobCharacters(text)) return "patterns have no meaning here";
  return PlainPath(text);
}

std::optional<std::string> FormOfMaskedName(const std::string& text) {
  if (text.starts_with('~') && text != "~" && !text.starts_with("~/")) {
    return "only your own home can be meant";
  }
  if (std::optional<std::string> problem = PlainPath(text)) return problem;
  if (!HasGlobCharacters(text)) return std::nullopt;
  if (text.find("**") == std::string::npos) return "a pattern without **";
  const Result<Glob> glob = Glob::Compile(text, GlobKind::kPath);
  return glob.ok() ? std::nullopt : std::optional<std::string>(glob.error().operation());
}

std::optional<std::string> FormOfPattern(std::string_view text, GlobKind kind) {
  const Result<Pattern> pattern = Pattern::Compile(text, kind);
  if (pattern.ok()) return std::nullopt;
  const Error& error = pattern.error();
  return error.context().empty() ? error.operation() : error.context();
}

std::optional<std::string> FormOfGlob(const std::string& text) {
  return FormOfPattern(text, GlobKind::kArgument);
}

std::optional<std::string> FormOfPathPattern(const std::string& text) {
  if (text.empty()) return "";
  if (text.starts_with(kRegexPrefix)) return FormOfPattern(text, GlobKind::kPath);
  // Where the places are is not known yet; only the form is looked at.
  static const Places kAnywhere{"/h", "/w"};
  const Result<std::string> absolute = AbsolutePattern(text, kAnywhere);
  if (!absolute.ok()) return absolute.error().operation();
  return FormOfPattern(*absolute, GlobKind::kPath);
}

std::optional<std::string> FormOfProgram(const std::string& text) {
  const bool bare = text.find('/') == std::string::npos && text != "." && text != ".." &&
                    text != "~" && text != "**" && !text.starts_with(kRegexPrefix);
  if (!bare) return FormOfPathPattern(text);
  if (text.empty()) return "";
  if (text.size() > kLongestName) return "longer than a file name can be";
  return FormOfPattern(text, GlobKind::kPath);
}

std::optional<std::string> FormOfHash(const std::string& text) {
  constexpr std::string_view kPrefix = "sha256:";
  constexpr std::size_t kDigits = 64;
  return Fits(text.starts_with(kPrefix) && text.size() == kPrefix.size() + kDigits &&
              text.find_first_not_of("0123456789abcdefABCDEF", kPrefix.size()) ==
                  std::string::npos);
}

std::optional<std::string> FormOfTarget(const Result<NetworkTarget>& parsed) {
  return parsed.ok() ? std::nullopt : std::optional<std::string>(parsed.error().operation());
}

std::optional<std::string> FormOfEndpoint(const std::string& text) {
  const Result<NetworkTarget> parsed = ParseEndpoint(text);
  if (parsed.ok() && parsed->kind == NetworkTarget::Kind::kGroup) {
    return "a group has no meaning here";
  }
  return FormOfTarget(parsed);
}

std::optional<std::string> FormOfGhostDestination(const std::string& text) {
  const Result<GhostDestination> parsed = ParseGhostDestination(text);
  return parsed.ok() ? std::nullopt : std::optional<std::string>(parsed.error().operation());
}

std::optional<std::string> FormOfAddress(const std::string& text) {
  const Result<NetworkTarget> parsed = ParseTarget(text);
  return Fits(parsed.ok() && parsed->kind == NetworkTarget::Kind::kBlock &&
              text.find('/') == std::string::npos);
}

// An address, perhaps with a port.
std::optional<std::string> FormOfResolver(const std::string& text) {
  if (text == "system") return std::nullopt;
  const Result<NetworkTarget> parsed = ParseEndpoint(text);
  return Fits(parsed.ok() && parsed->kind == NetworkTarget::Kind::kBlock &&
              text.find('/') == std::string::npos &&
              (!parsed->ports || parsed->ports->first == parsed->ports->second));
}

// It stands for itself and everything below it.
std::optional<std::string> FormOfDomain(const std::string& text) {
  using Kind = NetworkTarget::Kind;
  const Result<NetworkTarget> parsed = ParseTarget(text);
  if (!parsed.ok()) return parsed.error().operation();
  if (parsed->kind == Kind::kBelow || parsed->kind == Kind::kWithBelow)
    return "a domain stands for everything below it as well: write '" + parsed->name + "'";
  if (parsed->kind == Kind::kEverything) return "all other names are `network.dns.upstream`";
  return Fits(parsed->kind == Kind::kName);
}

std::optional<std::string> FormOfPublish(const std::string& text) {
  const PublishedPort port = PublishedValue(text);
  return Fits(port.host != 0 && port.cell != 0);
}

// User information would put a password into the profile.
std::optional<std::string> FormOfProxy(const std::string& text) {
  const std::size_t scheme = text.starts_with("http://")     ? 7
                             : text.starts_with("socks5://") ? 9
                                                             : 0;
  if (scheme == 0) return "";
  std::string_view rest = std::string_view(text).substr(scheme);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) return "user information does not belong here";
  const Result<NetworkTarget> parsed = ParseEndpoint(rest);
  return Fits(parsed.ok() && parsed->ports && parsed->ports->first == parsed->ports->second &&
              (parsed->kind == NetworkTarget::Kind::kName ||
               parsed->kind == NetworkTarget::Kind::kBlock ||
               parsed->kind == NetworkTarget::Kind::kHost));
}

std::optional<std::string> FormOfVariable(const std::string& text) {
  return Fits(!text.empty() && text.size() <= kLongestName && Only(text, "_") &&
              !(text[0] >= '0' && text[0] <= '9'));
}

std::optional<std::string> FormOfVariableGlob(const std::string& text) {
  if (text.empty() || !Only(text, "_*?[]!-{},^")) return "";
  return FormOfPattern(text, GlobKind::kArgument);
}

std::optional<std::string> FormOfUserName(const std::string& text) {
  constexpr std::uint32_t kLargestId = 4'294'967'294;  // -1 means "no change" to the kernel
  if (text.empty()) return "";
  if (text[0] >= '0' && text[0] <= '9') return Fits(IsNumber(text, kLargestId));
  return Fits(text.size() <= 32 && Only(text, "._-") && text[0] != '-');
}

std::optional<std::string> FormOfUser(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return FormOfUserName(text);
  const std::string uid = text.substr(0, colon), gid = text.substr(colon + 1);
  const bool numbers = !uid.empty() && !gid.empty() && uid[0] >= '0' && uid[0] <= '9' &&
                       gid[0] >= '0' && gid[0] <= '9';
  return Fits(numbers && !FormOfUserName(uid) && !FormOfUserName(gid));
}

std::optional<std::string> FormOfRoot(const std::string& text) {
  return text == "host" || text == "image" ? std::nullopt : FormOfPath(text);
}

std::optional<std::string> FormOfImage(const std::string& text) {
  return Fits(!text.empty() && text.size() <= kLongestPath &&
              text.find_first_of(" \t\r\n") == std::string::npos && text[0] != '-' &&
              !HasParentStep(text));
}

std::optional<std::string> FormOfProfileName(const std::string& text) {
  return Fits(!text.empty() && text.size() <= kLongestPath && Only(text, "._-/~+") &&
              text[0] != '-');
}

std::optional<std::string> FormOfRuleName(const std::string& text) {
  constexpr std::size_t kLongest = 100;
  if (text == "default") return "that is what a profile's default is called";
  return Fits(!text.empty() && text.size() <= kLongest && text.find('\n') == std::string::npos);
}

std::optional<std::string> FormOfToolName(const std::string& text) {
  return Fits(!text.empty() && text.size() <= kLongestName && Only(text, "._+-") &&
              text[0] != '.' && text[0] != '-' && text[0] != '+');
}

std::optional<std::string> FormOfSecretSource(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return "";
  const std::string kind = text.substr(0, colon), rest = text.substr(colon + 1);
  if (kind == "env") return FormOfVariable(rest);
  if (kind == "file") return FormOfPath(rest);
  return Fits(kind == "command" && !rest.empty());
}

// The clock counts nanoseconds in 64 bits: a later year would wrap into the past, and a deny rule
// would be gone.
std::optional<std::string> FormOfDate(const std::string& text) {
  const std::string year = text.substr(0, 4);
  const bool is_year =
      year.size() == 4 && year.find_first_not_of("0123456789") == std::string::npos;
  if (is_year && (year < "1970" || year > "2261")) return "the year is not in 1970 to 2261";
  return Fits(ParseExpiry(text).has_value());
}

struct TypeForm {
  Type type;
  Form problem;
};
// Types that are not here have no form of their own.
constexpr auto kForms = std::to_array<TypeForm>({
    {Type::kLine,
     [](const std::string& text) {
       return Fits(!text.empty() && text.find('\n') == std::string::npos);
     }},
    {Type::kDuration,
     [](const std::string& text) { return Fits(ParseDuration(text).has_value()); }},
    {Type::kSize,
     [](const std::string& text) {
       return Fits(ParseSize(text).has_value() && !IsNumber(text, UINT32_MAX));
     }},
    {Type::kPath, FormOfPath},
    {Type::kMaskedName, FormOfMaskedName},
    {Type::kPathPattern, FormOfPathPattern},
    {Type::kProgram, FormOfProgram},
    {Type::kGlob, FormOfGlob},
    {Type::kGlobOrNull, FormOfGlob},
    {Type::kHash, FormOfHash},
    {Type::kErrno, [](const std::string& text) { return Fits(ErrnoFromName(text) != 0); }},
    {Type::kDate, FormOfDate},
    {Type::kTarget, [](const std::string& text) { return FormOfTarget(ParseTarget(text)); }},
    {Type::kEndpoint, FormOfEndpoint},
    {Type::kGhostDestination, FormOfGhostDestination},
    {Type::kPorts, [](const std::string& text) { return Fits(ParsePorts(text).has_value()); }},
    {Type::kPublish, FormOfPublish},
    {Type::kAddress, FormOfAddress},
    {Type::kProxy, FormOfProxy},
    {Type::kResolver, FormOfResolver},
    {Type::kDomain, FormOfDomain},
    {Type::kGroup, [](const std::string& text) { return FormOfTarget(ParseTarget("@" + text)); }},
    {Type::kVariable, FormOfVariable},
    {Type::kVariableGlob, FormOfVariableGlob},
    {Type::kUser, FormOfUser},
    {Type::kUserName, FormOfUserName},
    {Type::kHostname,
     [](const std::string& text) {
       return Fits(IsHostName(text) && text.size() <= 64 && text.find('_') == std::string::npos);
     }},
    {Type::kImage, FormOfImage},
    {Type::kRoot, FormOfRoot},
    {Type::kProfileName, FormOfProfileName},
    {Type::kRuleName, FormOfRuleName},
    {Type::kToolName, FormOfToolName},
    {Type::kSecretSource, FormOfSecretSource},
    {Type::kSyscall, [](const std::string& text) { return Fits(IsRuleSyscall(text)); }},
});

}  // namespace

std::optional<std::string> FormProblem(Type type, const std::string& text) {
  const auto found = std::find_if(kForms.begin(), kForms.end(),
                                  [&](const TypeForm& form) { return form.type == type; });
  return found == kForms.end() ? std::nullopt : found->problem(text);
}

PublishedPort PublishedValue(const std::string& text) {
  PublishedPort port;
  std::string_view rest = text;
  const auto take = [&]() -> std::uint16_t {
    const std::size_t colon = rest.rfind(':');
    const std::string_view last = rest.substr(colon == std::string_view::npos ? 0 : colon + 1);
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(0, colon);
    const std::optional<PortRange> ports = ParsePorts(last);
    return ports && ports->first == ports->second ? ports->first : std::uint16_t{0};
  };
  const bool both = rest.find(':') != std::string_view::npos;
  port.cell = take();
  port.host = both ? take() : port.cell;
  port.exact = both;
  if (rest.empty()) return port;
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  port.address = rest;
  if (FormOfAddress(port.address)) port.host = 0;  // refused
  return port;
}

std::string PublishedText(const PublishedPort& port) {
  const std::string cell = std::to_string(port.cell);
  if (!port.exact) return cell;
  const bool bracketed = port.address.find(':') != std::string::npos;
  std::string text = bracketed ? "[" + port.address + "]" : port.address;
  if (!text.empty()) text += ":";
  return text + std::to_string(port.host) + ":" + cell;
}

bool IsBuiltInGroup(std::string_view name) {
  constexpr std::array<std::string_view, 5> kGroups{"apt", "npm", "pip", "cargo", "go"};
  return std::find(kGroups.begin(), kGroups.end(), name) != kGroups.end();
}

}  // namespace cellrun::policy
