// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/redact.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

namespace cellrun::journal {
namespace {

// A name that has one of these inside, in any case and with or without separators, holds a secret.
constexpr std::array<std::string_view, 12> kSecretParts = {
    "password",  "passwd",     "passphrase", "token",         "secret", "apikey",
    "accesskey", "privatekey", "credential", "authorization", "cookie", "signature"};
constexpr std::array<std::string_view, 6> kSecretNames = {"pass", "auth", "pwd",
                                                          "pw",   "pin",  "passin"};
// … unless it names where the secret is, or is a directory that shells call PWD.
constexpr std::array<std::string_view, 6> kHarmlessEndings = {"file",   "path", "stdin",
                                                              "prompt", "dir",  "tokenizer"};
constexpr std::array<std::string_view, 2> kHarmlessNames = {"PWD", "OLDPWD"};

// Short options that take a secret, of programs that are often called with one.
struct ShortOption {
  std::string_view program, option;
  bool after_colon;  // only what follows "user:"
};
constexpr std::array kShortOptions = {
    ShortOption{"curl", "-u", true},        ShortOption{"curl", "--user", true},
    ShortOption{"curl", "-U", true},        ShortOption{"curl", "--proxy-user", true},
    ShortOption{"sshpass", "-p", false},    ShortOption{"redis-cli", "-a", false},
    ShortOption{"mysql", "-p", false},      ShortOption{"mysqldump", "-p", false},
    ShortOption{"mariadb", "-p", false},    ShortOption{"smbclient", "-U", true},
    ShortOption{"ldapsearch", "-w", false},
};

constexpr std::size_t kMaxNameBytes = 128;

struct Span {
  std::size_t begin, end;
};

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}
bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool IsQuote(char c) {
  return c == '"' || c == '\'' || c == '`';
}
bool IsWordEnd(char c) {
  return IsSpace(c) || IsQuote(c);
}

bool IsSecretName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  if (std::find(kHarmlessNames.begin(), kHarmlessNames.end(), name) != kHarmlessNames.end()) {
    return false;
  }
  std::string plain;
  for (const char c : name) {
    if (c == '-' || c == '_' || c == '.') continue;
    plain.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  for (const std::string_view ending : kHarmlessEndings) {
    if (plain.ends_with(ending)) return false;
  }
  for (const std::string_view secret : kSecretNames) {
    if (plain == secret) return true;
  }
  return std::any_of(kSecretParts.begin(), kSecretParts.end(),
                     [&](std::string_view part) { return plain.find(part) != std::string::npos; });
}

// The longest run of name bytes that ends before `end`.
std::string_view NameBefore(std::string_view text, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && IsNameByte(text[begin - 1]) && end - begin <= kMaxNameBytes) --begin;
  return text.substr(begin, end - begin);
}

std::size_t EndOfWord(std::string_view text, std::size_t begin) {
  std::size_t end = begin;
  while (end < text.size() && !IsWordEnd(text[end])) ++end;
  return end;
}

// A value that starts at `begin`: in quotes up to the closing one, else up to the end of the word.
Span ValueAt(std::string_view text, std::size_t begin) {
  if (begin < text.size() && IsQuote(text[begin])) {
    const std::size_t close = text.find(text[begin], begin + 1);
    return {begin + 1, close == std::string_view::npos ? text.size() : close};
  }
  return {begin, EndOfWord(text, begin)};
}

// A value in a URL's query: up to the next part.
Span QueryValueAt(std::string_view text, std::size_t begin) {
  std::size_t end = begin;
  while (end < text.size() && !IsWordEnd(text[end]) && text[end] != '&' && text[end] != '#') ++end;
  return {begin, end};
}

// scheme://USER:PASSWORD@host. A bare user name is kept where it is part of the address (ssh).
void FindUserInfo(std::string_view text, std::vector<Span>& found) {
  for (std::size_t at = text.find("://"); at != std::string_view::npos;
       at = text.find("://", at + 3)) {
    const std::size_t begin = at + 3;
    std::size_t end = begin;
    while (end < text.size() && !IsWordEnd(text[end]) && text[end] != '/' && text[end] != '?' &&
           text[end] != '#') {
      ++end;
    }
    const std::string_view authority = text.substr(begin, end - begin);
    const std::size_t user_end = authority.rfind('@');
    if (user_end == std::string_view::npos) continue;
    const bool has_password = authority.substr(0, user_end).find(':') != std::string_view::npos;
    if (!has_password && NameBefore(text, at).find("ssh") != std::string_view::npos) continue;
    found.push_back({begin, begin + user_end});
  }
}

// NAME=value: assignments, --name=value, and parts of a URL's query, which also end at '&'.
// Each search goes on behind what it found, so the whole stays linear.
void FindAssignments(std::string_view text, std::vector<Span>& found) {
  std::size_t next_at = 0;
  for (std::size_t at = text.find('='); at != std::string_view::npos;
       at = text.find('=', next_at)) {
    next_at = at + 1;
    const std::string_view name = NameBefore(text, at);
    if (!IsSecretName(name)) continue;
    const std::size_t before = at - name.size();
    const bool in_query = before > 0 && (text[before - 1] == '?' || text[before - 1] == '&');
    const Span value = in_query ? QueryValueAt(text, at + 1) : ValueAt(text, at + 1);
    found.push_back(value);
    next_at = std::max(next_at, value.end);
  }
}

// "Authorization: Bearer …", "X-Api-Key: …": up to the closing quote or the end of the line. Also
// "pass:…" as openssl takes it.
void FindHeaders(std::string_view text, std::vector<Span>& found) {
  std::size_t next_at = 0;
  for (std::size_t at = text.find(':'); at != std::string_view::npos;
       at = text.find(':', next_at)) {
    next_at = at + 1;
    if (text.substr(at, 3) == "://" || !IsSecretName(NameBefore(text, at))) continue;
    std::size_t begin = at + 1;
    while (begin < text.size() && text[begin] == ' ') ++begin;
    if (begin < text.size() && IsQuote(text[begin])) {
      found.push_back(ValueAt(text, begin));
      next_at = found.back().end;
      continue;
    }
    std::size_t end = begin;
    while (end < text.size() && !IsQuote(text[end]) && text[end] != '\n') ++end;
    found.push_back({begin, end});
    next_at = end;
  }
}

// --password VALUE inside one text (`sh -c`).
void FindFlags(std::string_view text, std::vector<Span>& found) {
  for (std::size_t at = 0; at < text.size();) {
    while (at < text.size() && IsWordEnd(text[at])) ++at;
    const std::size_t end = EndOfWord(text, at);
    const std::string_view word = text.substr(at, end - at);
    std::size_t next = end;
    while (next < text.size() && IsSpace(text[next])) ++next;
    if (word.starts_with('-') && word.find('=') == std::string_view::npos && next > end &&
        IsSecretName(word) && !text.substr(next).starts_with("--")) {
      found.push_back(ValueAt(text, next));
    }
    at = end;
  }
}

bool Replace(std::string& text, std::vector<Span> spans) {
  std::erase_if(spans, [](const Span& span) { return span.begin >= span.end; });
  if (spans.empty()) return false;
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::string out;
  std::size_t copied = 0;
  for (const Span& span : spans) {
    if (span.begin >= copied) {
      out.append(text, copied, span.begin - copied).append(kRedacted);
    }
    copied = std::max(copied, span.end);
  }
  text = out.append(text, copied);
  return true;
}

// An argument that is one assignment: its value is the rest, spaces included.
bool RedactAssignment(std::string& argument) {
  for (std::size_t at = argument.find('='); at != std::string::npos && at < 2 * kMaxNameBytes;
       at = argument.find('=', at + 1)) {
    if (!std::all_of(argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(at),
                     [](char c) { return IsNameByte(c) || c == '='; })) {
      return false;
    }
    if (IsSecretName(NameBefore(argument, at))) {
      return Replace(argument, {{at + 1, argument.size()}});
    }
  }
  return false;
}

bool RedactText(std::string& text) {
  std::vector<Span> found;
  FindUserInfo(text, found);
  FindAssignments(text, found);
  FindHeaders(text, found);
  FindFlags(text, found);
  return Replace(text, std::move(found));
}

bool RedactFrom(std::string& argument, std::size_t begin) {
  return Replace(argument, {{begin, argument.size()}});
}

std::string_view BaseName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

const ShortOption* FindShortOption(std::string_view program, std::string_view argument) {
  for (const ShortOption& option : kShortOptions) {
    if (option.program == program && argument.starts_with(option.option)) return &option;
  }
  return nullptr;
}

// The secret of a short option, in `argument` from `begin` on.
bool RedactShortOption(const ShortOption& option, std::string& argument, std::size_t begin) {
  if (!option.after_colon) return RedactFrom(argument, begin);
  const std::size_t colon = argument.find_first_of(":%", begin);
  return colon != std::string::npos && RedactFrom(argument, colon + 1);
}

}  // namespace

bool Redact(std::vector<std::string>& argv) {
  bool any = false;
  if (argv.empty()) return false;
  const std::string program(BaseName(argv[0]));
  for (std::size_t i = 0; i < argv.size(); ++i) {
    std::string& argument = argv[i];
    if (i > 0 && argument.starts_with('-')) {
      const bool has_next = i + 1 < argv.size();
      const ShortOption* option = FindShortOption(program, argument);
      if (option != nullptr && argument == option->option) {
        if (has_next) any |= RedactShortOption(*option, argv[++i], 0);
        continue;
      }
      if (option != nullptr && !option->option.starts_with("--")) {
        any |= RedactShortOption(*option, argument, option->option.size());
        continue;
      }
      // A value may start with one dash: a token in base64url.
      if (has_next && argument.find('=') == std::string::npos && IsSecretName(argument) &&
          !argv[i + 1].starts_with("--")) {
        any |= RedactFrom(argv[++i], 0);
        continue;
      }
    }
    const bool is_script = i > 0 && argv[i - 1].starts_with('-') && argv[i - 1].ends_with('c');
    if (!is_script && RedactAssignment(argument)) {
      any = true;
      continue;
    }
    any |= RedactText(argument);
  }
  return any;
}

}  // namespace cellrun::journal
