// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>

#include "launcher/cell/mount_attributes.h"
#include "launcher/cell/steps.h"
#include "lib/sys/file.h"
#include "lib/sys/mount.h"
#include "lib/sys/process.h"

// The mount tree, in the new root: after EnterRoot every path is the cell's own, so a symbolic link
// in a workspace leads where it leads inside the cell and never to the host.
namespace cellrun::launcher {
namespace {

using wire::MountKind;
using wire::MountStep;

constexpr char kRootBytes[] = "16777216";
constexpr std::uint64_t kStageBytes = 16 << 20;
constexpr int kDetach = 2;  // MNT_DETACH

// A tmpfs of ours that holds what cellrun puts into the cell. While the tree is built it is mounted
// twice, writable and, on a directory of itself, read-only; what is cloned from there is read-only
// from the start.
constexpr char kStage[] = "/.cellrun";
constexpr char kStageReadOnly[] = "/.cellrun/read-only";
// In it.
constexpr std::array kStageDirectories = {"read-only",  "own",        "own/tools",
                                          "own/script", "own/.empty", "own/.empty/directory"};
constexpr char kOwn[] = "own";
constexpr char kEmptyFile[] = "own/.empty/file";
constexpr char kEmptyDirectory[] = "own/.empty/directory";

std::string StagedFile(std::size_t index) {
  return "file-" + std::to_string(index);
}

Result<UniqueFd> MakeTmpfs(const char* bytes, mode_t mode, std::uint64_t attributes) {
  std::array<char, 8> octal{};
  for (std::size_t digit = 0; digit < 4; ++digit)
    octal[digit] = static_cast<char>('0' + ((mode >> (9 - 3 * digit)) & 7U));
  const UniqueFd context = TRY(sys::Fsopen("tmpfs"));
  TRY(sys::FsconfigString(context, "size", bytes));
  TRY(sys::FsconfigString(context, "mode", octal.data()));
  TRY(sys::FsconfigCreate(context));
  return sys::Fsmount(context, static_cast<unsigned>(attributes));
}

Result<void> MakeParents(const std::string& path) {
  constexpr mode_t kParentMode = 0755;
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const Result<void> made = sys::MkdirAt(AT_FDCWD, path.substr(0, slash).c_str(), kParentMode);
    if (!made.ok() && made.error().code() != EEXIST && made.error().code() != EROFS) return made;
  }
  return {};
}

// Runs `make`, which creates `path`, and once more with parents if they were missing. Something
// that is there already is fine; so is EROFS, since what the target of a mount on a read-only bind
// needs is only to exist, and mounting finds out.
template <typename Make>
Result<void> MakeTarget(const std::string& path, Make make) {
  Result<void> made = make();
  if (!made.ok() && made.error().code() == ENOENT) {
    TRY(MakeParents(path));
    made = make();
  }
  if (made.ok() || made.error().code() == EEXIST || made.error().code() == EROFS) return {};
  return made;
}
Result<void> MakeDirectory(const std::string& path, mode_t mode) {
  return MakeTarget(path, [&] { return sys::MkdirAt(AT_FDCWD, path.c_str(), mode); });
}
Result<void> MakeFile(const std::string& path) {
  return MakeTarget(path, [&]() -> Result<void> {
    (void)TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0444));
    return {};
  });
}

Result<void> RunDirectory(ChildState& /*child*/, const MountStep& step) {
  return MakeDirectory(step.to, step.mode);
}
Result<void> RunSymlink(ChildState& /*child*/, const MountStep& step) {
  return MakeTarget(step.to,
                    [&] { return sys::SymlinkAt(step.text.c_str(), AT_FDCWD, step.to.c_str()); });
}

Result<void> RunBind(ChildState& child, const MountStep& step) {
  const UniqueFd tree = std::move(child.trees[child.detail]);
  if (!tree.valid()) return {};  // optional and missing
  const struct stat facts = TRY(sys::Fstat(tree));
  TRY(S_ISDIR(facts.st_mode) ? MakeDirectory(step.to, step.mode) : MakeFile(step.to));
  return sys::MoveMount(tree, AT_FDCWD, step.to.c_str());
}

Result<void> RunTmpfs(ChildState& /*child*/, const MountStep& step) {
  const std::uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                   (step.no_exec ? MOUNT_ATTR_NOEXEC : 0U) |
                                   (step.read_only ? MOUNT_ATTR_RDONLY : 0U);
  const UniqueFd tmpfs = TRY(MakeTmpfs(std::to_string(step.bytes).c_str(), step.mode, attributes));
  TRY(MakeDirectory(step.to, 0755));
  return sys::MoveMount(tmpfs, AT_FDCWD, step.to.c_str());
}

Result<void> RunProc(ChildState& child, const MountStep& step) {
  TRY(MakeDirectory(step.to, 0555));
  TRY(sys::MoveMount(child.prepared.proc, AT_FDCWD, step.to.c_str()));
  child.prepared.proc.Reset();
  return {};
}

Result<UniqueFd> MakeDevpts() {
  const UniqueFd context = TRY(sys::Fsopen("devpts"));
  TRY(sys::FsconfigFlag(context, "newinstance"));
  // No gid=5: a group that is not mapped is EINVAL. `max`: the kernel's own limit is shared with
  // the host.
  constexpr std::array kOptions = {std::pair{"ptmxmode", "0666"}, std::pair{"mode", "0620"},
                                   std::pair{"max", "64"}};
  for (const auto& [key, value] : kOptions) TRY(sys::FsconfigString(context, key, value));
  TRY(sys::FsconfigCreate(context));
  return sys::Fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}
Result<void> RunDevpts(ChildState& child, const MountStep& step) {
  UniqueFd terminals = std::move(child.prepared.terminals);
  if (!terminals.valid()) terminals = TRY(MakeDevpts());
  TRY(MakeDirectory(step.to, 0755));
  return sys::MoveMount(terminals, AT_FDCWD, step.to.c_str());
}

// What lies in the tree already is bound by mount(2): open_tree makes a mount namespace for each
// clone, and with the masks that adds up.
Result<void> MountFromStage(const char* name, const MountStep& step) {
  return sys::BindMount((std::string(kStageReadOnly) + "/" + name).c_str(), step.to.c_str(), false);
}

Result<void> RunCellrun(ChildState& child, const MountStep& step) {
  TRY(MakeDirectory(step.to, 0755));
  TRY(MountFromStage(kOwn, step));
  // Through the cell's own read-only mount, while this process may still read a 0111 file: what a
  // redirected task could do with its descriptor is bounded by that mount (fchmod, reopening it for
  // writing).
  child.cell_shim = TRY(sys::OpenAt(AT_FDCWD, (step.to + "/shim").c_str(), O_RDONLY));
  return {};
}

Result<void> WriteNewFile(int directory, const char* path, std::string_view text, mode_t mode) {
  const UniqueFd file =
      TRY(sys::OpenAt(directory, path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode));
  return sys::WriteAll(file, text);
}

// Made in place where nothing is, else mounted over what is there. In a read-only directory that
// has no such file there is nothing to replace.
Result<void> RunFile(ChildState& child, const MountStep& step) {
  const Result<struct stat> there = sys::FstatAt(AT_FDCWD, step.to.c_str(), 0);
  if (there.ok()) return MountFromStage(StagedFile(child.detail).c_str(), step);
  Result<void> written = WriteNewFile(AT_FDCWD, step.to.c_str(), step.text, step.mode);
  if (!written.ok() && written.error().code() == ENOENT) {
    TRY(MakeParents(step.to));
    written = WriteNewFile(AT_FDCWD, step.to.c_str(), step.text, step.mode);
  }
  if (written.ok() || written.error().code() != EROFS) return written;
  SendNote(child, Note::kFileSkipped);
  return {};
}

Result<void> RunMask(ChildState& /*child*/, const MountStep& step) {
  // Looked at first: a mount of the wrong type is made, undone, and waits for an RCU grace period.
  // What is there may change meanwhile, so the other type is tried as well.
  const Result<struct stat> there = sys::FstatAt(AT_FDCWD, step.to.c_str(), 0);
  const bool directory = there.ok() && S_ISDIR(there->st_mode);
  Result<void> mounted = MountFromStage(directory ? kEmptyDirectory : kEmptyFile, step);
  // ENOENT: nothing to hide. ENOTDIR: of the other type, or below something that is no directory.
  // Everything else must be hidden.
  if (!mounted.ok() && mounted.error().code() == ENOTDIR)
    mounted = MountFromStage(directory ? kEmptyFile : kEmptyDirectory, step);
  if (!mounted.ok() && (mounted.error().code() == ENOENT || mounted.error().code() == ENOTDIR))
    return {};
  return mounted;
}

Result<void> RunPin(ChildState& /*child*/, const MountStep& step) {
  Result<void> bound = sys::BindMount(step.to.c_str(), step.to.c_str(), true);
  if (!bound.ok() && step.optional &&
      (bound.error().code() == ENOENT || bound.error().code() == ENOTDIR))
    return {};
  TRY(std::move(bound));
  if (!step.read_only && !step.no_exec) return {};
  mount_attr attributes{};
  attributes.attr_set =
      (step.read_only ? MOUNT_ATTR_RDONLY : 0U) | (step.no_exec ? MOUNT_ATTR_NOEXEC : 0U);
  return sys::MountSetattrAt(AT_FDCWD, step.to.c_str(), AT_RECURSIVE, attributes);
}

// In the order of MountKind.
constexpr std::array<Result<void> (*)(ChildState&, const MountStep&), 10> kRunners = {
    RunDirectory, RunFile,   RunSymlink, RunBind, RunTmpfs,
    RunProc,      RunDevpts, RunCellrun, RunMask, RunPin};
static_assert(static_cast<std::size_t>(MountKind::kPin) + 1 == kRunners.size());

Result<void> CopyShim(const ChildState& child) {
  constexpr mode_t kShimMode =
      0111;  // not readable: the kernel then treats its processes as not dumpable
  const UniqueFd copy = TRY(
      sys::OpenAt(child.prepared.stage.get(), "own/shim", O_CREAT | O_EXCL | O_WRONLY, kShimMode));
  const struct stat facts = TRY(sys::Fstat(child.shim));
  off_t at = 0;
  while (at < facts.st_size) {
    const ssize_t moved =
        sendfile(copy.get(), child.shim.get(), &at, static_cast<std::size_t>(facts.st_size - at));
    if (moved < 0) return ErrnoError("sendfile");
    if (moved == 0) return Error(EIO, "sendfile");  // it became shorter meanwhile
  }
  return {};
}

Result<void> ListenOnStage(ChildState& child) {
  child.broker = TRY(sys::UnixSocket(SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC));
  // The call takes a path and no directory, and the stage is not mounted anywhere yet.
  TRY(sys::ChangeDirectory(child.prepared.stage));
  TRY(sys::BindUnix(child.broker, "own/broker.sock"));
  TRY(sys::ChangeDirectory("/"));
  constexpr int kBacklog = 8;
  return sys::Listen(child.broker, kBacklog);
}

Result<void> FillStage(ChildState& child) {
  const int stage = child.prepared.stage.get();
  for (const char* directory : kStageDirectories) TRY(sys::MkdirAt(stage, directory, 0755));
  TRY(CopyShim(child));
  TRY(WriteNewFile(stage, kEmptyFile, "", 0444));
  child.denials =
      TRY(sys::OpenAt(stage, "own/denials.jsonl", O_CREAT | O_EXCL | O_WRONLY | O_APPEND, 0444));
  child.scripts = TRY(sys::OpenAt(stage, "own/script", O_RDONLY | O_DIRECTORY));
  return ListenOnStage(child);
}

// What of the tree no plan changes. The cell's user owns the files.
Result<void> MakeTree(ChildState& child) {
  child.umask = umask(0);
  child.prepared.root = TRY(MakeTmpfs(kRootBytes, 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  child.prepared.stage = TRY(
      MakeTmpfs(std::to_string(kStageBytes).c_str(), 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  return FillStage(child);
}

Result<void> WriteStagedFiles(const ChildState& child) {
  for (std::size_t i = 0; i < child.plan.mounts.size(); ++i) {
    const MountStep& step = child.plan.mounts[i];
    if (step.kind != MountKind::kFile) continue;
    TRY(WriteNewFile(child.prepared.stage.get(), StagedFile(i).c_str(), step.text, step.mode));
  }
  return {};
}

}  // namespace

// The user of a cell that root runs is known with the plan.
Result<void> PrepareTree(ChildState& child) {
  if (child.by_root) return {};
  if (Result<UniqueFd> terminals = MakeDevpts(); terminals.ok())
    child.prepared.terminals = std::move(*terminals);
  return MakeTree(child);
}

// The new root covers the old one, becomes the root, and the old one is let go: every path is the
// cell's from here on.
Result<void> EnterRoot(ChildState& child) {
  if (!child.prepared.root.valid()) TRY(MakeTree(child));
  const UniqueFd root = std::move(child.prepared.root);
  TRY(sys::MoveMount(root, AT_FDCWD, "/"));
  TRY(sys::ChangeDirectory(root));
  TRY(sys::PivotRoot(".", "."));
  TRY(sys::Unmount(".", kDetach));
  return sys::ChangeDirectory("/");
}

Result<void> RunMounts(ChildState& child) {
  TRY(WriteStagedFiles(child));
  TRY(sys::MkdirAt(AT_FDCWD, kStage, 0700));
  TRY(sys::MoveMount(child.prepared.stage, AT_FDCWD, kStage));
  child.prepared.stage.Reset();
  {
    // Not the writable mount made read-only: the descriptor of denials.jsonl keeps that one busy.
    const UniqueFd read_only = TRY(sys::OpenTree(AT_FDCWD, kStage, OPEN_TREE_CLONE));
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    TRY(sys::MountSetattr(read_only, 0, attributes));
    TRY(sys::MoveMount(read_only, AT_FDCWD, kStageReadOnly));
  }
  const auto& mounts = child.plan.mounts;
  for (child.detail = 0; child.detail < mounts.size(); ++child.detail) {
    const MountStep& step = mounts[child.detail];
    TRY(kRunners.at(static_cast<std::size_t>(step.kind))(child, step));
  }
  return {};
}

// The root holds the links and empty directories that make up the tree, and belongs to the cell's
// user.
Result<void> SealRoot(ChildState& child) {
  TRY(sys::Unmount(kStage, kDetach));  // both at once: each call waits for an RCU grace period
  TRY(sys::UnlinkAt(AT_FDCWD, kStage, AT_REMOVEDIR));
  const UniqueFd root = TRY(sys::OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  TRY(sys::MountSetattr(root, 0, attributes));
  (void)umask(child.umask);
  return {};
}

}  // namespace cellrun::launcher
