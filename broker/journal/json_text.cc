// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/json_text.h"

#include <charconv>
#include <cstddef>

#include "lib/base/text.h"

namespace cellrun::journal {
namespace {

template <typename T>
void AppendNumber(std::string& out, T value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  out.append(digits, end);
}

void AppendUnit(std::string& out, std::uint32_t unit) {
  constexpr char kDigits[] = "0123456789abcdef";
  const char text[] = {'\\',
                       'u',
                       kDigits[(unit >> 12) & 0xf],
                       kDigits[(unit >> 8) & 0xf],
                       kDigits[(unit >> 4) & 0xf],
                       kDigits[unit & 0xf]};
  out.append(text, sizeof(text));
}

void AppendCodePoint(std::string& out, std::uint32_t code) {
  if (code < 0x10000) return AppendUnit(out, code);
  code -= 0x10000;
  AppendUnit(out, 0xd800 + (code >> 10));
  AppendUnit(out, 0xdc00 + (code & 0x3ff));
}

bool IsPlain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

}  // namespace

JsonText::JsonText() : out_("{") {
  out_.reserve(1024);
}

void JsonText::AppendString(std::string& out, std::string_view utf8) {
  for (std::size_t i = 0; i < utf8.size();) {
    std::size_t run = i;
    while (run < utf8.size() && IsPlain(static_cast<unsigned char>(utf8[run]))) ++run;
    out.append(utf8, i, run - i);
    if (run == utf8.size()) return;
    i = run;
    const auto lead = static_cast<unsigned char>(utf8[i]);
    if (lead < 0x80) {
      if (lead == '"' || lead == '\\') {
        out.push_back('\\');
        out.push_back(static_cast<char>(lead));
      } else {
        AppendUnit(out, lead);
      }
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    std::uint32_t code = lead & (0xffU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      code = (code << 6) | (static_cast<unsigned char>(utf8[i + k]) & 0x3fU);
    }
    AppendCodePoint(out, code);
    i += length;
  }
}

void JsonText::Comma() {
  if (out_.back() != '{' && out_.back() != '[') out_.push_back(',');
}

void JsonText::Name(std::string_view name) {
  Comma();
  out_.append("\"").append(name).append("\":");
  member_ = name;
}

void JsonText::Value(std::string_view value) {
  out_.push_back('"');
  if (text::IsUtf8(value)) {
    AppendString(out_, value);
  } else {
    AppendString(out_, text::Escape(value));
    escaped_.append("\"").append(object_).append(member_);
    if (in_list_) {
      escaped_.push_back('[');
      AppendNumber(escaped_, item_);
      escaped_.push_back(']');
    }
    escaped_.append("\",");
  }
  out_.push_back('"');
}

void JsonText::Number(std::string_view name, std::uint64_t value) {
  Name(name);
  AppendNumber(out_, value);
}

void JsonText::Number(std::string_view name, std::int64_t value) {
  Name(name);
  AppendNumber(out_, value);
}

void JsonText::Text(std::string_view name, std::string_view value) {
  Name(name);
  Value(value);
}

void JsonText::Boolean(std::string_view name, bool value) {
  Name(name);
  out_.append(value ? "true" : "false");
}

void JsonText::Raw(std::string_view name, std::string_view json) {
  Name(name);
  out_.append(json);
}

void JsonText::OpenObject(std::string_view name) {
  Name(name);
  out_.push_back('{');
  object_.assign(name).push_back('.');
}

void JsonText::CloseObject() {
  out_.push_back('}');
  object_.clear();
}

void JsonText::OpenList(std::string_view name) {
  Name(name);
  out_.push_back('[');
  in_list_ = true;
  item_ = 0;
}

void JsonText::Item(std::string_view value) {
  Comma();
  Value(value);
  ++item_;
}

void JsonText::Item(std::uint64_t value) {
  Comma();
  AppendNumber(out_, value);
  ++item_;
}

void JsonText::CloseList() {
  out_.push_back(']');
  in_list_ = false;
}

std::string JsonText::Finish() {
  if (!escaped_.empty()) {
    escaped_.pop_back();
    Comma();
    out_.append("\"escaped\":[").append(escaped_).append("]");
  }
  out_.push_back('}');
  return std::move(out_);
}

}  // namespace cellrun::journal
