// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/digest.h"

#include <cstdint>
#include <string_view>

#include "broker/journal/digest.h"

namespace cellrun::approvals {
namespace {

// Every field in a fixed order, each with its length before it: no two asks have one encoding.
class Encoding {
 public:
  void Number(std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes_.push_back(static_cast<char>(static_cast<unsigned char>(value >> shift)));
    }
  }
  void Text(std::string_view value) {
    Number(value.size());
    bytes_ += value;
  }
  void Texts(const std::vector<std::string>& values) {
    Number(values.size());
    for (const std::string& value : values) Text(value);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

void EncodeCommand(const Ask& ask, Encoding& out) {
  out.Text(ask.cwd);
  out.Number(static_cast<std::uint64_t>(ask.strategy));
  out.Text(ask.program);
  out.Texts(ask.chain);
  out.Text(ask.image_hash);
  out.Number(ask.writable ? 1 : 0);
  out.Texts(ask.argv);
  out.Texts(ask.original_argv);
  out.Number(ask.environment.size());
  for (const EnvironmentChange& change : ask.environment) {
    out.Text(change.name);
    out.Number((change.was_set ? 1U : 0U) | (change.is_set ? 2U : 0U));
    out.Text(change.before);
    out.Text(change.after);
  }
  out.Text(ask.environment_digest);
  out.Text(ask.script_hash);
}

}  // namespace

std::string DigestOf(const Ask& ask) {
  Encoding out;
  out.Text("cellrun ask 1");
  for (const std::string* text : {&ask.cell_id, &ask.cell_name, &ask.profile, &ask.workspace}) {
    out.Text(*text);
  }
  out.Texts(ask.parents);
  EncodeCommand(ask, out);
  out.Text(ask.rule.name);
  out.Number(static_cast<std::uint64_t>(ask.rule.layer));
  out.Text(ask.rule.at.file);
  out.Number(static_cast<std::uint64_t>(ask.rule.at.line));
  out.Text(ask.reason);
  out.Texts(ask.risks);
  out.Text(ask.said_by_cell);
  out.Number(static_cast<std::uint64_t>(ask.timeout.count()));
  out.Number(static_cast<std::uint64_t>(ask.on_timeout));
  out.Number(static_cast<std::uint64_t>(ask.approvers));
  out.Number(ask.rememberable ? 1 : 0);
  journal::Sha256 sha256;
  return journal::Hex(sha256.Of({out.bytes()}));
}

}  // namespace cellrun::approvals
