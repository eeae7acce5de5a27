// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/base/result.h"

// Where this user's sockets, journal and configuration lie (docs: directories). All paths are
// absolute and without a trailing slash.
namespace cellrun::wire {

// $CELLRUN_RUNTIME_DIR, else (root) /run/cellrun, else $XDG_RUNTIME_DIR/cellrun, else
// /run/user/UID/cellrun where that parent is ours and 0700, else /tmp/cellrun-UID. Made when it is
// missing; verified on every call: a directory and not a link, owned by the effective user, mode
// 0700, below a parent that nobody else can rename it in (ours or root's; writable by others only
// if sticky). An existing one that fails is an error (EPERM) that says what is wrong with it, never
// a reason to use another one.
Result<std::string> RuntimeDirectory();

// $CELLRUN_STATE_DIR, else (root) /var/lib/cellrun, else $XDG_STATE_HOME/cellrun, else
// ~/.local/state/cellrun. Made 0700 when it is missing; must be ours and not writable by others.
Result<std::string> StateDirectory();

// $CELLRUN_CONFIG_DIR, else $XDG_CONFIG_HOME/cellrun, else ~/.config/cellrun. Not made, may be
// missing. ENOENT when there is no home either.
Result<std::string> ConfigDirectory();

// $HOME if it is absolute, else the home of the effective user in /etc/passwd, else ENOENT. Reads
// the file itself: no name service modules, the launcher is static.
Result<std::string> HomeDirectory();

// What RuntimeDirectory does with one candidate; `path` is absolute.
Result<void> MakePrivateDirectory(const std::string& path);

// The directory that holds this program (from /proc/self/exe), and below it the installed layout:
// LibexecPath("cellrun-broker") is BIN/../libexec/cellrun/cellrun-broker for a program in BIN or in
// libexec/cellrun itself; no environment variable can redirect it.
Result<std::string> LibexecPath(const std::string& program);
Result<std::string> LauncherPath();
// BIN/../share/cellrun/profiles.
Result<std::string> InstalledProfiles();

}  // namespace cellrun::wire
