// SPDX-License-Identifier: Apache-2.0
// What an exec would do, from the task that asks for it.
#include <fcntl.h>

#include "broker/exec/hash.h"
#include "broker/exec/judge_case.h"
#include "broker/exec/task.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

// What the kernel calls the program of an execveat from a descriptor (alloc_bprm).
std::string KernelName(const ExecCall& call, const std::string& path) {
  if (call.directory == AT_FDCWD || path.starts_with('/')) return path;
  std::string name = "/dev/fd/" + std::to_string(call.directory);
  if (!path.empty()) name += "/" + path;
  return name;
}

std::uint32_t ImageBits(const std::vector<policy::ExecImage>& images,
                        bool (*has)(const policy::ExecImage&)) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < images.size() && i < 32; ++i) {
    if (has(images[i])) bits |= 1U << i;
  }
  return bits;
}

}  // namespace

void Judge::Case::StartRecord() {
  const notify::CellFacts& facts = judge_.facts_;
  out_.record =
      journal::RecordNow(journal::Kind::kExec, facts.cell_id, tid_, facts.inside_uid, facts.user);
  out_.record.redact = view_->policy->profile().audit_redact.value;
}

bool Judge::Case::ReadCall() {
  const Result<ExecCall> call = ExecCall::Of(data_);
  if (!call.ok()) return Missing(call.error().code());
  call_ = call.value();
  return true;
}

bool Judge::Case::ReadPath() {
  memory_.Prefetch({call_.path, call_.argv, call_.env});
  Result<std::string> path = memory_.ReadPath(call_.path);
  if (!path.ok()) return Unreadable(path.error(), "its path cannot be read");
  out_.request.raw_path = std::move(path).value();
  out_.record.path = out_.request.raw_path;
  lookup_ = {.tid = tid_,
             .directory = call_.directory,
             .path = out_.request.raw_path,
             .follow_last = (call_.flags & AT_SYMLINK_NOFOLLOW) == 0,
             .empty_path = (call_.flags & AT_EMPTY_PATH) != 0};
  return true;
}

bool Judge::Case::ChooseView() {
  if (!judge_.facts_.nests) return true;
  Result<Resolver> own = judge_.resolver_.ViewOf(tid_);
  if (!own.ok()) return Refuse(EACCES, "its root directory cannot be read");
  own_view_ = std::move(own).value();
  return true;
}
const Resolver& Judge::Case::resolver() const {
  return own_view_.has_value() ? *own_view_ : judge_.resolver_;
}

bool Judge::Case::Find() {
  Result<File> file = resolver().Resolve(lookup_);
  if (!file.ok()) return Missing(file.error().code());
  if (const int refused = CannotExecute(file.value())) return Missing(refused);
  named_ = std::move(file).value();
  return true;
}

bool Judge::Case::ReadArguments() {
  auto arguments = memory_.ReadArguments(call_.argv, call_.env);
  if (!arguments.ok()) return Unreadable(arguments.error(), "its arguments cannot be read");
  out_.request.argv = std::move(arguments->argv);
  out_.request.env = std::move(arguments->env);
  return true;
}

bool Judge::Case::ReadSurroundings() {
  Result<std::string> directory = ReadWorkingDirectory(tid_);
  if (!directory.ok()) return Refuse(EACCES, "its working directory cannot be read");
  out_.working_directory = std::move(directory).value();
  out_.request.cwd = out_.working_directory;
  if (own_view_.has_value() && !RecognizeDirectory()) return false;
  if (view_->uses_parent) {
    Result<std::string> parent = ReadExecutablePath(tid_);
    if (!parent.ok()) return Refuse(EACCES, "its program cannot be read");
    out_.request.parent = std::move(parent).value();
    if (own_view_.has_value() && !RecognizeParent()) return false;
  }
  out_.request.tty = view_->uses_terminal && HasTerminal(tid_);
  return true;
}

// In a mount namespace of its own a task can give any directory, and any program, any name.
bool Judge::Case::RecognizeDirectory() {
  Result<UniqueFd> opened =
      sys::OpenAt(AT_FDCWD, ProcPath(tid_, "cwd").c_str(), O_PATH | O_DIRECTORY);
  if (!opened.ok()) return Refuse(EACCES, "its working directory cannot be read");
  const Result<File> directory = own_view_->Describe(std::move(opened).value());
  if (!directory.ok()) return Refuse(EACCES, "its working directory cannot be read");
  if (directory->anonymous && view_->uses_directory) {
    return Refuse(EACCES, "its working directory is not one of the cell's");
  }
  out_.request.cwd = directory->path;
  out_.directory_id = directory->id();
  return true;
}
bool Judge::Case::RecognizeParent() {
  Result<UniqueFd> opened = sys::OpenAt(AT_FDCWD, ProcPath(tid_, "exe").c_str(), O_PATH);
  if (!opened.ok()) return Refuse(EACCES, "its program cannot be read");
  const Result<File> program = own_view_->Describe(std::move(opened).value());
  if (!program.ok()) return Refuse(EACCES, "its program cannot be read");
  out_.request.parent = program->anonymous ? "(foreign) " + program->path : program->path;
  return true;
}

bool Judge::Case::UnwrapAll() {
  Result<Chain> chain = Unwrap(resolver(), judge_.inspector_,
                               {.lookup = lookup_,
                                .name = KernelName(call_, out_.request.raw_path),
                                .argv = out_.request.argv},
                               std::move(named_));
  if (!chain.ok()) {
    const int code = chain.error().code();
    if (code == ENOENT || code == ELOOP) return Missing(code);
    return Refuse(code, "its image cannot be looked into");
  }
  chain_ = std::move(chain).value();
  return true;
}

void Judge::Case::FillRequest() {
  policy::ExecRequest& request = out_.request;
  out_.record.argv = request.argv;
  request.argv = std::move(chain_.judged_argv);
  request.images = std::move(chain_.images);
  request.uid = judge_.facts_.inside_uid;
  request.user = judge_.facts_.user;
  request.check_only = call_.check_only();
  out_.final_argv = std::move(chain_.final_argv);
  out_.image = FileVersion::Of(chain_.files[chain_.final_image].facts);
  FillRecord();
}

void Judge::Case::FillRecord() {
  journal::Record& record = out_.record;
  const policy::ExecRequest& request = out_.request;
  record.exe = request.images[0].path;
  for (std::size_t i = 1; i < request.images.size(); ++i) {
    record.chain.push_back(request.images[i].path);
  }
  record.cwd = request.cwd;
  record.parent = request.parent;
  record.tty = request.tty;
  record.script_images = ImageBits(request.images, [](const policy::ExecImage& image) {
    return image.kind == policy::ExecImage::Kind::kScript;
  });
  record.writable_images =
      ImageBits(request.images, [](const policy::ExecImage& image) { return image.writable; });
  record.anonymous_images =
      ImageBits(request.images, [](const policy::ExecImage& image) { return image.anonymous; });
  Result<std::string> digest = HashStrings(request.env);
  if (digest.ok()) record.env_digest = std::move(digest).value();
}

}  // namespace cellrun::exec
