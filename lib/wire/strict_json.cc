// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/strict_json.h"

#include <charconv>

#include "lib/base/text.h"
#include "lib/wire/launch.h"

namespace cellrun::wire {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 64;
constexpr char kBytesMember[] = "bytes";

// Builds the value while it is read, so that depth and duplicates are refused before they cost
// anything: the library's own DOM parser keeps the last of two equal members, and its destructor
// and dump() recurse.
class StrictBuilder : public nlohmann::json_sax<json> {
 public:
  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return Put(value); }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return Refuse("binary value"); }
  bool start_object(std::size_t /*elements*/) override { return Open(json::object()); }
  bool start_array(std::size_t /*elements*/) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (open_.back()->contains(name))
      return Refuse("duplicate member " + text::EscapeShort(name, 64));
    member_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*why*/) override {
    return Refuse("not JSON at byte " + std::to_string(position));
  }

  Result<json> Take() && {
    if (!problem_.empty()) return Error(EINVAL, "JSON", std::move(problem_));
    return std::move(root_);
  }
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

 private:
  json* Place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) return &parent.emplace_back(std::move(value));
    return &(parent[member_] = std::move(value));
  }
  bool Put(json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(json value) {
    if (open_.size() >= kMaxDepth) return Refuse("nested deeper than " + std::to_string(kMaxDepth));
    open_.push_back(Place(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  json root_;
  std::vector<json*>
      open_;  // a container does not move while an inner one is open: only the innermost grows
  std::string member_;
  std::string problem_;
};

Result<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return Error(EINVAL, "JSON");
  std::string bytes;
  for (std::size_t at = 0; at < hex.size(); at += 2) {
    unsigned value = 0;
    const auto [end, failed] = std::from_chars(hex.data() + at, hex.data() + at + 2, value, 16);
    if (failed != std::errc() || end != hex.data() + at + 2) return Error(EINVAL, "JSON");
    bytes.push_back(static_cast<char>(value));
  }
  return bytes;
}

Result<std::string> TextFromJson(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>();
  if (!value.is_object() || value.size() != 1 || !value.contains(kBytesMember))
    return Error(EINVAL, "JSON");
  const json& hex = value[kBytesMember];
  if (!hex.is_string()) return Error(EINVAL, "JSON");
  return FromHex(hex.get_ref<const std::string&>());
}

}  // namespace

Result<json> ParseStrictJson(std::string_view text) {
  StrictBuilder builder;
  try {
    (void)json::sax_parse(text.begin(), text.end(), &builder);  // a failure is in the builder
  } catch (const std::exception& failure) {
    builder.Refuse(failure.what());
  }
  return std::move(builder).Take();
}

json TextToJson(const std::string& text) {
  if (text::IsUtf8(text)) return text;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return {{kBytesMember, hex}};
}

ObjectReader::ObjectReader(const json& value, std::string where)
    : object_(value), where_(std::move(where)) {
  if (!value.is_object()) problem_ = where_ + ": is not an object";
}

void ObjectReader::Fail(const char* name, std::string_view what) {
  if (ok()) problem_ = where_ + "." + name + ": " + std::string(what);
}
void ObjectReader::Adopt(const Error& error) {
  if (ok()) problem_ = error.context();
}
bool ObjectReader::Has(const char* name) const {
  return object_.is_object() && object_.contains(name);
}

const json* ObjectReader::Find(const char* name) {
  if (!ok()) return nullptr;
  const auto found = object_.find(name);
  if (found == object_.end()) {
    Fail(name, "is missing");
    return nullptr;
  }
  seen_.emplace(name);
  return &*found;
}
const json* ObjectReader::Array(const char* name) {
  const json* value = Find(name);
  if (value == nullptr) return nullptr;
  if (value->is_array()) return value;
  Fail(name, "is not an array");
  return nullptr;
}

void ObjectReader::Type(std::string_view expected) {
  std::string type;
  Text("type", type);
  if (ok() && type != expected) Fail("type", "is not " + std::string(expected));
}
void ObjectReader::Text(const char* name, std::string& out) {
  const json* value = Find(name);
  if (value == nullptr) return;
  Result<std::string> text = TextFromJson(*value);
  if (!text.ok()) return Fail(name, "is not a string");
  out = std::move(text).value();
}
void ObjectReader::MaybeText(const char* name, std::string& out) {
  if (Has(name)) Text(name, out);
}
void ObjectReader::Texts(const char* name, std::vector<std::string>& out) {
  const json* array = Array(name);
  if (array == nullptr) return;
  for (const json& element : *array) {
    Result<std::string> text = TextFromJson(element);
    if (!text.ok()) return Fail(name, "has an element that is not a string");
    out.push_back(std::move(text).value());
  }
}
void ObjectReader::MaybeTexts(const char* name, std::vector<std::string>& out) {
  if (Has(name)) Texts(name, out);
}
void ObjectReader::Bool(const char* name, bool& out) {
  const json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Fail(name, "is not true or false");
  out = value->get<bool>();
}
void ObjectReader::MaybeBool(const char* name, bool& out) {
  if (Has(name)) Bool(name, out);
}
void ObjectReader::Number(const char* name, std::int64_t minimum, std::int64_t maximum,
                          std::int64_t& out) {
  const json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return Fail(name, "is not an integer");
  // An unsigned number over INT64_MAX would come out negative.
  const bool too_large = value->is_number_unsigned() &&
                         value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const std::int64_t number = too_large ? 0 : value->get<std::int64_t>();
  if (too_large || number < minimum || number > maximum) return Fail(name, "is out of range");
  out = number;
}
void ObjectReader::Count(const char* name, std::uint64_t& out) {
  const json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_number_unsigned()) return Fail(name, "is not a count");
  out = value->get<std::uint64_t>();
}
void ObjectReader::MaybeCount(const char* name, std::uint64_t& out) {
  if (Has(name)) Count(name, out);
}

Result<void> ObjectReader::Finish() const {
  if (!ok()) return Error(EINVAL, "message", problem_);
  for (const auto& item : object_.items()) {
    if (!seen_.contains(item.key())) {
      return Error(EINVAL, "message",
                   where_ + ": unknown member " + text::EscapeShort(item.key(), 64));
    }
  }
  return {};
}

}  // namespace cellrun::wire
