// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/request.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "launcher/client/profile_lookup.h"
#include "launcher/run/workspace.h"
#include "lib/policy/load.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

constexpr char kDefaultProfile[] = "strict";

std::string Variable(const char* name) {
  const char* value =
      getenv(name);  // NOLINT(concurrency-mt-unsafe): single-threaded until the cell runs
  return value != nullptr ? value : "";
}

// `document` and what it seems to extend, nearest first, each once.
void AddWithBases(policy::Source document, std::vector<policy::Source>& documents) {
  const std::vector<std::string> wanted = GuessExtends(document.text);
  const std::string origin = document.origin;
  documents.push_back(std::move(document));
  for (const std::string& name : wanted) {
    const bool known =
        std::any_of(documents.begin(), documents.end(),
                    [&](const policy::Source& source) { return source.name == name; });
    if (known || documents.size() > policy::kMaxExtends) continue;
    for (policy::Source& base : FindExtended({name}, origin))
      AddWithBases(std::move(base), documents);
  }
}

std::optional<ErrorForm> AddDocuments(const RunOptions& options, wire::RunRequest& request) {
  request.profile = options.profile.empty() ? &kDefaultProfile[0] : options.profile;
  std::variant<policy::Source, ErrorForm> profile =
      FindProfile(request.profile, policy::Layer::kProfile);
  if (ErrorForm* failed = std::get_if<ErrorForm>(&profile)) return std::move(*failed);
  std::variant<std::vector<policy::Source>, ErrorForm> overlay =
      FindWorkspaceOverlay(request.workspace);
  if (ErrorForm* failed = std::get_if<ErrorForm>(&overlay)) return std::move(*failed);
  request.documents = std::move(std::get<0>(overlay));
  AddWithBases(std::move(std::get<policy::Source>(profile)), request.documents);
  return std::nullopt;
}

std::optional<ErrorForm> AddGrants(const char* option, const std::vector<std::string>& paths,
                                   std::vector<std::string>& grants) {
  for (const std::string& path : paths) {
    std::variant<std::string, ErrorForm> resolved = ResolveGrant(option, path);
    if (ErrorForm* failed = std::get_if<ErrorForm>(&resolved)) return std::move(*failed);
    grants.push_back(std::move(std::get<std::string>(resolved)));
  }
  return std::nullopt;
}

void AddEnvironment(const RunOptions& options, wire::RunRequest& request) {
  for (char** entry = environ; *entry != nullptr; ++entry) request.environment.emplace_back(*entry);
  for (const auto& [name, value] : options.env) {
    // `--env NAME` passes what the caller has; a variable that is not there stays away.
    const char* own = getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): see above
    if (value) {
      request.set_environment.emplace_back(name, *value);
    } else if (own != nullptr) {
      request.set_environment.emplace_back(name, own);
    }
  }
}

}  // namespace

Outcome<wire::RunRequest> MakeRequest(const RunOptions& options) {
  const Result<std::string> home = wire::HomeDirectory();
  if (!home.ok() || *home == "/") {
    return ErrorForm{"there is no home directory",
                     home.ok() ? "HOME is /" : home.error().ToString(), "set HOME"};
  }
  std::variant<Workspace, ErrorForm> workspace = ChooseWorkspace(options.workspace, HereAndNow());
  if (ErrorForm* failed = std::get_if<ErrorForm>(&workspace)) return std::move(*failed);
  const Workspace& chosen = std::get<Workspace>(workspace);

  wire::RunRequest request;
  request.name = options.name;
  request.workspace = chosen.path;
  request.workspace_read_only = chosen.read_only;
  request.working_directory = chosen.working_directory;
  request.home = *home;
  request.user = Variable("USER");
  request.term = Variable("TERM");
  request.argv = options.argv;
  request.observe = options.observe;
  request.report = !options.report.empty();
  request.time_limit = options.time_limit;
  request.publish = options.publish;
  request.network = options.network;
  if (std::optional<ErrorForm> failed = AddDocuments(options, request)) return *std::move(failed);
  if (std::optional<ErrorForm> failed = AddGrants("--read", options.read, request.read))
    return *std::move(failed);
  if (std::optional<ErrorForm> failed = AddGrants("--write", options.write, request.write))
    return *std::move(failed);
  AddEnvironment(options, request);
  return request;
}

}  // namespace cellrun::launcher
