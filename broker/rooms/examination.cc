// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/examination.h"

#include <sys/stat.h>

#include <utility>

#include "broker/exec/hash.h"
#include "broker/exec/risks.h"
#include "lib/sys/file.h"

namespace cellrun::rooms {
namespace {

Error Because(const Error& error, const char* what) {
  return Error(error.code(), "", std::string(what) + ": " + ErrnoText(error.code()));
}

}  // namespace

Result<std::string> Examiner::Hash(const exec::File& file, bool writable) {
  const exec::FileVersion version = exec::FileVersion::Of(file.facts);
  const bool is_kept = !writable && hashes_ != nullptr;
  if (is_kept) {
    if (std::optional<std::string> known = hashes_->Find(version)) return std::move(*known);
  }
  std::string hash = TRY(exec::HashContents(TRY(exec::OpenContents(file)), &stop_));
  if (is_kept) hashes_->Remember(version, hash);
  return hash;
}

// What was read is what is hashed, shown and run.
Result<std::shared_ptr<Shelf::Lease>> Examiner::CopyScript(exec::AskedExec& asked) {
  const UniqueFd contents = TRY(exec::OpenContents(asked.script->file));
  const std::string text = TRY(sys::ReadWholeFile(contents, Shelf::kMaxBytes));
  asked.ask.script_hash = TRY(exec::HashText(text));
  std::shared_ptr<Shelf::Lease> lease = TRY(shelf_->Put(text, asked.ask.script_hash));
  asked.ask.script_copy = lease->path();
  if (asked.script->is_image) asked.ask.image_hash = asked.ask.script_hash;
  asked.script->file.fd.Reset();
  return lease;
}

Result<std::shared_ptr<Shelf::Lease>> Examiner::Examine(exec::AskedExec& asked) {
  std::shared_ptr<Shelf::Lease> lease;
  if (asked.script.has_value()) {
    Result<std::shared_ptr<Shelf::Lease>> copied = CopyScript(asked);
    if (!copied.ok()) return Because(copied.error(), "its script cannot be held for a person");
    lease = std::move(copied.value());
  }
  for (std::size_t i = 0; i < asked.files.size(); ++i) {
    const bool shown = i == 0 && asked.ask.image_hash.empty();
    if (!shown && !asked.writable[i]) continue;
    const Result<std::string> hash = Hash(asked.files[i], asked.writable[i]);
    if (!hash.ok()) return Because(hash.error(), "its image cannot be hashed");
    if (asked.writable[i]) asked.sealed.images[i].hash = *hash;
    if (shown) asked.ask.image_hash = *hash;
  }
  asked.files.clear();  // descriptors, for as long as a person needs
  asked.ask.risks = exec::FindRisks(asked);
  return lease;
}

}  // namespace cellrun::rooms
