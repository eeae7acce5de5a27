// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/preview.h"

#include <fcntl.h>

#include <utility>

#include "broker/exec/chain.h"
#include "broker/exec/resolve.h"
#include "broker/exec/task.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxEnvironmentBytes = std::size_t{2} << 20;

Result<void> StillThere(const PreviewOrder& order) {
  const Result<std::uint64_t> start = StartTime(order.pid);
  if (!start.ok() || *start != order.start_time) return Error(ESRCH, "", "it has gone");
  return {};
}

Result<std::vector<std::string>> EnvironmentOf(pid_t pid) {
  const std::string block =
      TRY(sys::ReadWholeFileAt(AT_FDCWD, ProcPath(pid, "environ").c_str(), kMaxEnvironmentBytes));
  std::vector<std::string> environment;
  for (std::size_t at = 0; at < block.size();) {
    const std::size_t end = std::min(block.find('\0', at), block.size());
    environment.push_back(block.substr(at, end - at));
    at = end + 1;
  }
  return environment;
}

Result<void> FillImages(const Resolver& resolver, const PreviewOrder& order,
                        policy::ExecRequest& request) {
  const Lookup lookup{.tid = order.pid, .path = order.path};
  File named = TRY(resolver.Resolve(lookup));
  if (const int refused = CannotExecute(named)) return Error(refused, "execve");
  ImageInspector inspector(order.host_uid, order.host_gid);
  Chain chain =
      TRY(Unwrap(resolver, inspector, {.lookup = lookup, .name = order.path, .argv = order.argv},
                 std::move(named)));
  if (!chain.refused.empty()) return Error(EACCES, "", chain.refused);
  for (std::size_t i = 0; i < chain.images.size(); ++i) {
    if (order.policy->NeedsHash(chain.images[i]))
      chain.images[i].hash = TRY(inspector.Hash(chain.files[i], nullptr));
  }
  request.images = std::move(chain.images);
  request.argv = std::move(chain.judged_argv);
  return {};
}

}  // namespace

Result<Preview> PreviewExec(PreviewOrder order) {
  TRY(StillThere(order));
  const Resolver resolver = TRY(Resolver::ForCell(order.init_pid));
  const Resolver own = TRY(resolver.ViewOf(order.pid));
  Preview preview;
  policy::ExecRequest& request = preview.request;
  request.raw_path = order.path;
  TRY(FillImages(own, order, request));
  request.env = TRY(EnvironmentOf(order.pid));
  request.cwd = TRY(ReadWorkingDirectory(order.pid));
  const std::vector<std::string> parents = ReadParents(order.pid, order.init_pid, 1);
  if (!parents.empty()) request.parent = parents[0];
  request.uid = order.inside_uid;
  request.user = order.user;
  request.tty = HasTerminal(order.pid);
  // What was read was read of this process.
  TRY(StillThere(order));
  preview.verdict = order.policy->Decide(request);
  preview.policy = std::move(order.policy);
  return preview;
}

}  // namespace cellrun::exec
