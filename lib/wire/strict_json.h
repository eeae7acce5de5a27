// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

// Strict reading and byte-safe writing of JSON. Includes all of nlohmann: only for .cc files.
namespace cellrun::wire {

// The text, or {"bytes":"HEX"} if it is not UTF-8.
nlohmann::json TextToJson(const std::string& text);

// Reads one object member by member and remembers the first thing that is wrong; Finish() reports
// it, or a member that nobody asked for. `where` names the object in messages ("run",
// "plan.mounts[3]"). A member that is read with Maybe… may be missing, all others may not.
class ObjectReader {
 public:
  ObjectReader(const nlohmann::json& value, std::string where);

  void Type(std::string_view expected);  // the member "type"
  void Text(const char* name, std::string& out);
  void MaybeText(const char* name, std::string& out);
  void Texts(const char* name, std::vector<std::string>& out);
  void MaybeTexts(const char* name, std::vector<std::string>& out);
  void Bool(const char* name, bool& out);
  void MaybeBool(const char* name, bool& out);
  // An integer in [minimum, maximum].
  void Number(const char* name, std::int64_t minimum, std::int64_t maximum, std::int64_t& out);
  // Any unsigned 64-bit integer.
  void Count(const char* name, std::uint64_t& out);
  void MaybeCount(const char* name, std::uint64_t& out);
  template <typename T>
  void Small(const char* name, T& out, std::int64_t minimum, std::int64_t maximum) {
    std::int64_t number = 0;
    Number(name, minimum, maximum, number);
    if (ok()) out = static_cast<T>(number);
  }
  template <typename T>
  void MaybeSmall(const char* name, T& out, std::int64_t minimum, std::int64_t maximum) {
    if (Has(name)) Small(name, out, minimum, maximum);
  }
  // The name of an enumerator, which is its place in `names`.
  template <typename T, typename Names>
  void Choice(const char* name, T& out, const Names& names) {
    std::string text;
    Text(name, text);
    if (!ok()) return;
    std::size_t index = 0;
    for (const char* known : names) {
      if (text == known) {
        out = static_cast<T>(index);
        return;
      }
      ++index;
    }
    Fail(name, "is not one of the known values");
  }
  // Calls `each(ObjectReader&)` for every object of an array; the elements' members are checked
  // too.
  template <typename Each>
  void Objects(const char* name, Each each) {
    const nlohmann::json* array = Array(name);
    if (array == nullptr) return;
    std::size_t index = 0;
    for (const nlohmann::json& element : *array) {
      ObjectReader reader(element, where_ + "." + name + "[" + std::to_string(index++) + "]");
      each(reader);
      const Result<void> finished = reader.Finish();
      if (!finished.ok()) return Adopt(finished.error());
    }
  }
  // Calls `each(ObjectReader&)` for an object, where there is one; its members are checked too.
  template <typename Each>
  void MaybeObject(const char* name, Each each) {
    const nlohmann::json* object = Has(name) ? Find(name) : nullptr;
    if (object == nullptr) return;
    ObjectReader reader(*object, where_ + "." + name);
    if (reader.ok()) each(reader);
    const Result<void> finished = reader.Finish();
    if (!finished.ok()) Adopt(finished.error());
  }
  [[nodiscard]] bool Has(const char* name) const;
  void Fail(const char* name, std::string_view what);
  [[nodiscard]] bool ok() const { return problem_.empty(); }
  [[nodiscard]] Result<void> Finish() const;

 private:
  const nlohmann::json* Find(const char* name);
  const nlohmann::json* Array(const char* name);
  void Adopt(const Error& error);

  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string, std::less<>> seen_;
  std::string problem_;
};

}  // namespace cellrun::wire
