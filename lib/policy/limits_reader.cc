// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/limits_reader.h"

#include "lib/policy/units.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

std::uint64_t Whole(const std::string& text) {
  return IntegerValue(text);
}
std::uint64_t Size(const std::string& text) {
  return ParseSize(text).value_or(0);
}
std::chrono::milliseconds Duration(const std::string& text) {
  return ParseDuration(text).value_or(std::chrono::milliseconds(0));
}

}  // namespace

void ReadLimits(const FieldReader& reader, const YamlNode& map, Limits* limits) {
  const auto read = [&](const char* key, auto* target, auto value) {
    if (const YamlNode* node = map.Find(key)) *target = reader.Place(value(node->text), *node);
  };
  read("memory", &limits->memory_bytes, Size);
  read("processes", &limits->processes, Whole);
  read("cpus", &limits->cpus, NumberValue);
  read("files", &limits->files, Whole);
  read("time", &limits->time, Duration);
  read("output", &limits->output_bytes, Size);
}

}  // namespace cellrun::policy
