// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/hash.h"
#include "broker/exec/judge_case.h"
#include "broker/exec/task.h"

namespace cellrun::exec {

// The shim executes what was decided for it: exactly that, or nothing.
void Judge::Case::MatchTicket() {
  const Ticket& ticket = *out_.ticket;
  const bool may = ticket.purpose == Ticket::Purpose::kExecute && ticket.sealed != nullptr;
  const std::string difference = may ? Difference(*ticket.sealed) : "it may run nothing yet";
  if (!difference.empty()) {
    if (may && ticket.sealed->refusal != nullptr) ticket.sealed->refusal->Set(difference);
    (void)Refuse(EACCES, "not what the waiting room was told to run: " + difference);
    return;
  }
  const Sealed& sealed = *ticket.sealed;
  out_.record.verdict = policy::Action::kAllow;
  out_.record.rule = sealed.rule;
  if (!sealed.ask.empty()) {
    out_.record.detail = "{\"ask\":\"" + sealed.ask + "\"}";
  } else if (sealed.checked) {
    out_.record.detail = "{\"checked\":true}";
  }
  if (!sealed.by_path && out_.request.images[chain_.final_image].writable) {
    out_.image_hash = sealed.images[chain_.final_image].hash;
  }
  out_.answer = Judgement::Answer::kRun;
}

// What is not as it was sealed; "" where everything is.
std::string Judge::Case::Difference(const Sealed& sealed) {
  if (out_.request.raw_path != sealed.program) return "another program";
  if (out_.record.argv != sealed.argv) return "other arguments";
  if (out_.record.env_digest.empty() || out_.record.env_digest != sealed.env_digest) {
    return "another environment";
  }
  if (!sealed.cwd.empty()) {
    const Result<policy::FileId> directory = ReadWorkingDirectoryId(tid_);
    if (out_.request.cwd != sealed.cwd || !directory.ok() || *directory != sealed.cwd_id) {
      return "the working directory is another one now";
    }
  }
  if (sealed.by_path) return WritableImage();
  if (chain_.files.size() != sealed.images.size()) return "it has another interpreter now";
  for (std::size_t i = 0; i < chain_.files.size(); ++i) {
    if (!IsSealedImage(i, sealed.images[i])) return out_.request.images[i].path + " has changed";
  }
  return "";
}

std::string Judge::Case::WritableImage() const {
  for (const policy::ExecImage& image : out_.request.images) {
    if (image.writable || image.anonymous) return image.path + " could have been changed";
  }
  return "";
}

// A version that is the same says nothing about what the cell can write, but such an image is
// hashed again in its exec stop.
bool Judge::Case::IsSealedImage(std::size_t i, const Sealed::Image& image) {
  if (FileVersion::Of(chain_.files[i].facts) == image.version) return true;
  if (image.hash.empty()) return false;
  (void)lane_.EnsureReceiver();
  const Result<std::string> hash = judge_.inspector_.Hash(chain_.files[i], lane_.stop_flag());
  return hash.ok() && *hash == image.hash;
}

}  // namespace cellrun::exec
