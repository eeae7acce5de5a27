// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/shelved_exec.h"

#include <utility>

#include "broker/exec/risks.h"
#include "broker/journal/record_packing.h"
#include "lib/base/packing.h"

namespace cellrun::policy {

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, FileId>) void PackFields(Archive& archive, T& id) {
  archive(id.device, id.inode);
}

}  // namespace cellrun::policy

namespace cellrun::exec {

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, Sealed::Image>) void PackFields(Archive& archive,
                                                                                T& image) {
  auto& version = image.version;
  archive(version.id, version.size, version.modified_ns, version.changed_ns, image.hash);
}

template <typename Archive, typename T>
requires(std::is_same_v<std::remove_const_t<T>, Sealed>) void PackFields(Archive& archive,
                                                                         T& sealed) {
  archive(sealed.program, sealed.images, sealed.by_path, sealed.argv, sealed.env_digest, sealed.cwd,
          sealed.cwd_id, sealed.rule, sealed.ask, sealed.checked);
}

namespace {

template <typename Archive, typename T>
void PackScript(Archive& archive, T& script) {
  archive(script.is_image, script.argument, script.interpreter);
}

// What is not the ask. `has_script` and `has_refusal` say what there is.
template <typename Archive, typename T>
void PackRest(Archive& archive, T& asked) {
  archive(asked.allowed, asked.sealed, asked.original_program, asked.environment,
          asked.own_environment, asked.operand, asked.operand_found, asked.image_writable,
          asked.content_may_change, asked.denied_by_rule, asked.record, asked.seq);
}

}  // namespace

bool ShelvedExec::CanHold(const AskedExec& asked) {
  return asked.ask.strategy == policy::Strategy::kInPlace && asked.files.empty() &&
         asked.read_copy == nullptr;
}

bool ShelvedExec::CanHoldNow(const AskedExec& asked) {
  constexpr std::size_t kFewBytes = 4096;  // or looking for risks takes long
  std::size_t bytes = 0;
  for (const std::string& argument : asked.ask.argv) bytes += argument.size();
  return CanHold(asked) && !asked.allowed && !asked.checks.has_value() &&
         !asked.script.has_value() && asked.ask.timeout.count() > 0 && bytes <= kFewBytes;
}

std::shared_ptr<const ShelvedExec> ShelvedExec::Make(std::shared_ptr<AskedExec> asked) {
  asked->ask.risks = FindRisks(*asked);
  return std::make_shared<const ShelvedExec>(*asked, asked->ask);
}

// Behind the ask, so that what it has said already is not said again; and then without it.
ShelvedExec::ShelvedExec(const AskedExec& asked, approvals::PackedAsk ask) : ask_(std::move(ask)) {
  Packer packer;
  packer(asked.ask);
  const std::size_t begin = packer.size();
  packer(asked.script.has_value(), asked.sealed.refusal != nullptr);
  if (asked.script.has_value()) PackScript(packer, *asked.script);
  PackRest(packer, asked);
  rest_ = packer.Take().substr(begin);
}

std::shared_ptr<AskedExec> ShelvedExec::Restore() const {
  const std::string whole = std::string(ask_.packed()) + rest_;
  Unpacker unpacker(whole);
  auto asked = std::make_shared<AskedExec>();
  bool has_script = false;
  bool has_refusal = false;
  unpacker(asked->ask, has_script, has_refusal);
  if (has_script) PackScript(unpacker, asked->script.emplace());
  PackRest(unpacker, *asked);
  if (has_refusal) asked->sealed.refusal = std::make_shared<Refusal>();
  return asked;
}

}  // namespace cellrun::exec
