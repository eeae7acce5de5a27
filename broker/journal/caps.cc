// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/caps.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "broker/journal/digest.h"

namespace cellrun::journal {
namespace {

struct TextField {
  const char* name;
  std::string Record::*text;
  std::size_t limit_bytes;
};
constexpr std::array kTextFields = {
    TextField{"path", &Record::path, kMaxPathBytes},
    TextField{"exe", &Record::exe, kMaxPathBytes},
    TextField{"cwd", &Record::cwd, kMaxPathBytes},
    TextField{"parent", &Record::parent, kMaxPathBytes},
    TextField{"user", &Record::user, 256},
    TextField{"to", &Record::to, kMaxPathBytes},
    TextField{"name", &Record::name, kMaxPathBytes},
    TextField{"proto", &Record::proto, 64},
    TextField{"cell", &Record::cell, 256},
    TextField{"env_digest", &Record::env_digest, 128},
    TextField{"image_hash", &Record::image_hash, 128},
    TextField{"observed", &Record::observed, 64},
    TextField{"reason", &Record::reason, kMaxPathBytes},
    TextField{"result", &Record::result, 256},
};

// Not in the middle of a character, unless the bytes there are no UTF-8 anyway.
void CutText(std::string& text, std::size_t limit_bytes) {
  std::size_t end = limit_bytes;
  for (int back = 0; back < 3 && end > 0; ++back) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80) break;
    --end;
  }
  if ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) end = limit_bytes;
  text.resize(end);
}

bool CapText(std::string& text, std::size_t limit_bytes) {
  if (text.size() <= limit_bytes) return false;
  CutText(text, limit_bytes);
  return true;
}

bool CapList(std::vector<std::string>& list) {
  bool cut = list.size() > kMaxListItems;
  if (cut) list.resize(kMaxListItems);
  for (std::string& item : list) cut |= CapText(item, kMaxPathBytes);
  return cut;
}

std::size_t TotalBytes(const std::vector<std::string>& list) {
  std::size_t bytes = 0;
  for (const std::string& item : list) bytes += item.size();
  return bytes;
}

void CapArgv(Record& record, std::string_view key, Cuts& cuts) {
  std::vector<std::string>& argv = record.argv;
  const std::size_t bytes = TotalBytes(argv);
  if (argv.size() <= kMaxArguments && bytes <= kMaxArgvBytes) return;
  cuts.fields.push_back("argv");
  cuts.argv_count = argv.size();
  cuts.argv_bytes = bytes;
  cuts.argv_digest = ArgvDigest(argv, key);
  if (argv.size() > kMaxArguments) argv.resize(kMaxArguments);
  std::size_t left = kMaxArgvBytes;
  for (std::size_t i = 0; i < argv.size(); ++i) {
    if (argv[i].size() > left) {
      CutText(argv[i], left);
      argv.resize(i + 1);
      break;
    }
    left -= argv[i].size();
  }
  argv.shrink_to_fit();
}

}  // namespace

Cuts ApplyCaps(Record& record, std::string_view key) {
  Cuts cuts;
  for (const TextField& field : kTextFields) {
    if (CapText(record.*field.text, field.limit_bytes)) cuts.fields.push_back(field.name);
  }
  if (CapText(record.rule.name, kMaxPathBytes)) cuts.fields.push_back("rule.name");
  if (CapText(record.rule.at.file, kMaxPathBytes)) cuts.fields.push_back("rule.file");
  if (CapList(record.chain)) cuts.fields.push_back("chain");
  if (CapList(record.layers)) cuts.fields.push_back("layers");
  if (CapText(record.detail, kMaxDetailBytes)) cuts.fields.push_back("detail");
  CapArgv(record, key, cuts);
  return cuts;
}

std::string ArgvDigest(const std::vector<std::string>& argv, std::string_view key) {
  std::string joined;
  joined.reserve(TotalBytes(argv) + argv.size());
  for (const std::string& argument : argv) joined.append(argument).push_back('\0');
  return "hmac-sha256:" + Hex(Hmac(key, joined));
}

std::size_t FootprintBytes(const Record& record) {
  std::size_t bytes = sizeof(Record);
  for (const TextField& field : kTextFields) bytes += (record.*field.text).size();
  bytes += record.rule.name.size() + record.rule.at.file.size() + record.detail.size();
  for (const auto* list : {&record.chain, &record.argv, &record.layers}) {
    bytes += TotalBytes(*list) + list->size() * sizeof(std::string);
  }
  return bytes;
}

}  // namespace cellrun::journal
