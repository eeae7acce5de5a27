// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cellrun::journal {

// Writes one JSON object in the canonical form whose bytes are hashed: members in the order in
// which they are written, no spaces, ASCII only (everything else as \uXXXX, so a stored record can
// neither be split into lines nor act on a terminal). Text that is not UTF-8 cannot stand in JSON:
// it is written in the form of text::Escape, and its place is noted in the member "escaped".
class JsonText {
 public:
  JsonText();
  void Number(std::string_view name, std::uint64_t value);
  void Number(std::string_view name, std::int64_t value);
  void Text(std::string_view name, std::string_view value);
  void Boolean(std::string_view name, bool value);
  void Raw(std::string_view name, std::string_view json);
  void OpenObject(std::string_view name);
  void CloseObject();
  void OpenList(std::string_view name);
  void Item(std::string_view value);
  void Item(std::uint64_t value);
  void CloseList();
  // Writes "escaped", if any text was, and closes the object.
  std::string Finish();

  // The text as it stands between the quotes; it must be UTF-8.
  static void AppendString(std::string& out, std::string_view utf8);

 private:
  void Name(std::string_view name);
  void Comma();
  void Value(std::string_view value);

  std::string out_;
  std::string escaped_;  // JSON strings, each with a comma behind it
  std::string object_;   // name of the open inner object and a dot
  std::string_view member_;
  std::uint64_t item_ = 0;
  bool in_list_ = false;
};

}  // namespace cellrun::journal
