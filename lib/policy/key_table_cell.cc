// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "lib/policy/key_table.h"

namespace cellrun::policy {
namespace {

constexpr Standing kNo = Standing::kNo;
constexpr Standing kBounded = Standing::kBounded;
constexpr double kKilobyte = 1024;
constexpr double kTerabyte = 1024.0 * 1024 * 1024 * 1024;

constexpr auto kKeys = std::to_array<Key>({
    {.path = "cellrun",
     .type = Type::kInteger,
     .meaning = "Version of the format.",
     .min = 1,
     .max = 1,
     .required = true},
    {.path = "name",
     .type = Type::kProfileName,
     .meaning = "What `--profile` and `extends` call it."},
    {.path = "description", .meaning = "One sentence for `cellrun profile list`."},
    {.path = "extends",
     .shape = Shape::kList,
     .type = Type::kProfileName,
     .meaning = "Profiles that this one builds on, left to right. Its own rules are tried before "
                "inherited ones.",
     .risk = "Whatever an inherited profile allows is allowed here too unless a rule of this file "
             "says otherwise.",
     .floor = kNo,
     .workspace = kNo},
    {.path = "require",
     .shape = Shape::kList,
     .type = Type::kChoice,
     .choices = "userns netns landlock seccomp idmap ebpf cgroup.memory cgroup.pids cgroup.cpu",
     .meaning = "Layers without which the cell must not start.",
     .risk = "A layer that is not named here may be missing on a host; the cell then starts "
             "without it and says so."},

    {.path = "cell",
     .shape = Shape::kSection,
     .meaning = "What the cell is made of.",
     .floor = kNo,
     .workspace = kNo},
    {.path = "cell.backend",
     .type = Type::kChoice,
     .choices = "native docker",
     .standard = "native",
     .meaning = "Namespaces of this host, or a container."},
    {.path = "cell.image",
     .type = Type::kImage,
     .meaning =
         "With `docker` the image; with `native` a root file system directory or OCI layout.",
     .risk = "The image's programs run in the cell: name it by digest."},
    {.path = "cell.hostname",
     .type = Type::kHostname,
     .standard = "cell",
     .meaning = "Host name inside."},
    {.path = "cell.user",
     .type = Type::kUser,
     .standard = "self",
     .meaning = "Who the command runs as: `self`, `UID[:GID]` or a user name of the image."},

    {.path = "filesystem",
     .shape = Shape::kSection,
     .meaning = "What of the host's files is there."},
    {.path = "filesystem.root",
     .type = Type::kRoot,
     .standard = "host",
     .meaning =
         "`host`: /usr, /bin, /sbin, /lib*, /etc and /opt of the host, read-only, without its "
         "secrets; `image`: that of `cell.image`; or a directory that holds a root file system.",
     .risk = "With `host` every world-readable file below these directories can be read.",
     .floor = kNo,
     .workspace = kNo},
    {.path = "filesystem.workspace",
     .type = Type::kChoice,
     .choices = "rw ro overlay snapshot",
     .standard = "rw",
     .meaning = "The workspace at its own path: writable, read-only, or with changes kept aside "
                "until they are applied.",
     .risk = "With `rw` the cell can change every file of the workspace that `protect` does not "
             "name, including what you run later outside.",
     .floor = kBounded,
     .workspace = kBounded},
    {.path = "filesystem.home",
     .type = Type::kPath,
     .meaning = "A host directory that is the home directory inside and is kept between runs. "
                "Without it the home is empty and private to the run.",
     .risk = "What one run leaves there, for example shell start-up files, acts on the next.",
     .floor = kNo,
     .workspace = kNo},
    {.path = "filesystem.read",
     .shape = Shape::kList,
     .type = Type::kPath,
     .meaning = "Further host paths, read-only.",
     .risk = "Credentials in them can be read by everything in the cell.",
     .floor = kNo,
     .workspace = kNo},
    {.path = "filesystem.write",
     .shape = Shape::kList,
     .type = Type::kPath,
     .meaning = "Further host paths, writable.",
     .risk = "Caches and configuration that programs outside use can be poisoned.",
     .floor = kNo,
     .workspace = kNo},
    {.path = "filesystem.hide",
     .shape = Shape::kList,
     .type = Type::kMaskedName,
     .meaning = "Absent or empty inside. Names without a leading / or ~ are below the workspace; a "
                "pattern needs `**`.",
     .risk = "A pattern with `**` walks the workspace at each start, and what appears later is not "
             "covered."},
    {.path = "filesystem.protect",
     .shape = Shape::kList,
     .type = Type::kMaskedName,
     .meaning =
         "Readable, not writable; a name that does not exist yet is moved aside when it appears.",
     .risk = "A pattern with `**` walks the workspace at each start, and what appears later is not "
             "covered."},
    {.path = "filesystem.noexec",
     .shape = Shape::kList,
     .type = Type::kPath,
     .meaning = "Nothing below these can be executed."},
    {.path = "filesystem.tmp",
     .type = Type::kSize,
     .standard = "2G",
     .meaning = "Size of the cell's own /tmp.",
     .risk = "It is memory of the host.",
     .min = 64 * kKilobyte,
     .max = kTerabyte,
     .floor = kBounded,
     .workspace = kBounded},

    {.path = "path",
     .shape = Shape::kList,
     .type = Type::kPath,
     .standard = "[/usr/local/bin, /usr/bin, /bin]",
     .meaning = "Directories in which bare command names of rules are looked up; also PATH inside.",
     .risk = "Never a directory that the cell can write: its files would be taken for the programs "
             "that rules name.",
     .not_empty = true,
     .floor = kNo,
     .workspace = kNo},
});

}  // namespace

std::span<const Key> CellKeys() {
  return kKeys;
}

}  // namespace cellrun::policy
