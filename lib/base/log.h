// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

namespace cellrun::log {

// A fact beside the message. Text is escaped (lib/base/text.h) when it is printed: it may come from
// a cell.
struct Field {
  Field(std::string_view field_name, std::string_view text) : name(field_name), value(text) {}
  Field(std::string_view field_name, const char* text) : name(field_name), value(text) {}
  Field(std::string_view field_name, const std::string& text) : name(field_name), value(text) {}
  template <std::integral T>
  Field(std::string_view field_name, T number) : name(field_name), value(std::to_string(number)) {}

  std::string_view name;
  std::string value;
};

// One line, one write(2) to the descriptor given to Open (default: stderr). `message` is a constant
// sentence fragment; what varies goes into fields. Modules never log errors that they return; main,
// loop tops and thread tops do, once.
void Info(std::string_view message, std::initializer_list<Field> fields = {});
void Warn(std::string_view message, std::initializer_list<Field> fields = {});
void Fail(std::string_view message, std::initializer_list<Field> fields = {});

}  // namespace cellrun::log
