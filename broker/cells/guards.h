// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/cells/inotify_hub.h"
#include "broker/cells/mask_watch.h"
#include "broker/cells/protection.h"
#include "broker/cells/quarantine.h"
#include "broker/cells/remount.h"
#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// Keeps hidden what a profile hides and protected what it protects while a cell runs: what was
// there by mounts, made again when the host takes one away; what was not there by setting it aside.
// Only on the loop's thread.
class Guards {
 public:
  static constexpr char kMaskedAgain[] = "masked again";  // Event::result
  // One thing that happened to a file; as in the journal.
  struct Event {
    std::string path, to;  // absolute
    const char* result = "";
    std::string reason;
    bool set_aside = false;  // for the report of the run
  };
  struct Callbacks {
    std::function<void(const Event&)> on_event;
    std::function<void(const std::string& why)> on_failure;  // the cell has to end
  };

  // Watches the masks of `plan`: before the launcher has it. `hub` and `loop` outlive this.
  static Result<std::unique_ptr<Guards>> Start(loop::Loop& loop, InotifyHub& hub,
                                               std::string workspace, const wire::CellPlan& plan,
                                               Callbacks callbacks);
  // And for what must not appear: before the command is ordered.
  Result<void> WatchForNew(SharedProtection protection);
  // The tree is built: what fell meanwhile is mounted now.
  void Enter(CellNamespaces namespaces);
  // Of a later cell with the same workspace: what hides and protects names there holds here too.
  void Share(const wire::CellPlan& other);
  // The cell is gone: looks at everything once more. The namespaces are the caller's to close.
  CellNamespaces Finish();

 private:
  Guards(loop::Loop& loop, InotifyHub& hub, std::string workspace, Callbacks callbacks);
  void OnQuarantine(const Quarantine::Event& event);
  void OnGone(const std::string& path);
  void MountAgain();
  void OnMounted(const std::vector<Remount>& remounts, int code);

  loop::Loop& loop_;
  InotifyHub& hub_;
  const std::string workspace_;
  const Callbacks callbacks_;
  MaskWatch masks_;
  std::unique_ptr<Quarantine> quarantine_;
  CellNamespaces namespaces_;
  std::vector<Remount> fallen_;  // to be mounted again, as soon as there is a tree and no job
  std::unique_ptr<RemountJob> job_;
  int remounts_ = 0;
};

}  // namespace cellrun::cells
