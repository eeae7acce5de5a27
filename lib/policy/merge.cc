// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/merge.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "lib/policy/narrow.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

constexpr std::uint64_t kGigabyte = 1ULL << 30;

template <typename T>
void Append(std::vector<T>* to, std::vector<T>* from) {
  to->insert(to->end(), std::make_move_iterator(from->begin()),
             std::make_move_iterator(from->end()));
}

// Texts that are there already stay where the nearest document wrote them.
void Unite(std::vector<Placed<std::string>>* to, const std::vector<Placed<std::string>>& from) {
  std::set<std::string> known;
  for (const Placed<std::string>& entry : *to) known.insert(entry.value);
  for (const Placed<std::string>& entry : from) {
    if (known.insert(entry.value).second) to->push_back(entry);
  }
}

template <typename T>
void UniteNamed(std::vector<T>* to, std::vector<T>* from) {
  std::set<std::string> known;
  for (const T& entry : *to) known.insert(entry.name);
  for (T& entry : *from) {
    if (known.insert(entry.name).second) to->push_back(std::move(entry));
  }
}

template <typename T>
void Inherit(Placed<T>* to, const Placed<T>& from) {
  if (to->at.line == 0) *to = from;
}
template <typename T>
void Inherit(std::optional<T>* to, const std::optional<T>& from) {
  if (!*to) *to = from;
}
// A list that counts as one value.
template <typename T>
void Inherit(std::vector<T>* to, Position* to_at, const std::vector<T>& from,
             const Position& from_at) {
  if (to_at->line != 0 || from_at.line == 0) return;
  *to = from;
  *to_at = from_at;
}

void InheritScalars(Profile* to, const Profile& from) {
  Inherit(&to->backend, from.backend);
  Inherit(&to->image, from.image);
  Inherit(&to->hostname, from.hostname);
  Inherit(&to->user, from.user);
  Inherit(&to->filesystem.root, from.filesystem.root);
  Inherit(&to->filesystem.workspace, from.filesystem.workspace);
  Inherit(&to->filesystem.home, from.filesystem.home);
  Inherit(&to->filesystem.tmp_bytes, from.filesystem.tmp_bytes);
  Inherit(&to->command_default, from.command_default);
  Inherit(&to->network_default, from.network_default);
  Inherit(&to->upstream_proxy, from.upstream_proxy);
  Inherit(&to->proxy_secret, from.proxy_secret);
  Inherit(&to->limits.memory_bytes, from.limits.memory_bytes);
  Inherit(&to->limits.processes, from.limits.processes);
  Inherit(&to->limits.files, from.limits.files);
  Inherit(&to->limits.output_bytes, from.limits.output_bytes);
  Inherit(&to->limits.cpus, from.limits.cpus);
  Inherit(&to->limits.time, from.limits.time);
  Inherit(&to->approval_timeout, from.approval_timeout);
  Inherit(&to->approval_on_timeout, from.approval_on_timeout);
  Inherit(&to->approvals_pending, from.approvals_pending);
  Inherit(&to->audit_commands, from.audit_commands);
  Inherit(&to->audit_network, from.audit_network);
  Inherit(&to->audit_redact, from.audit_redact);
}

void UniteLists(Profile* to, Profile* from) {
  Unite(&to->require, from->require);
  Unite(&to->filesystem.read, from->filesystem.read);
  Unite(&to->filesystem.write, from->filesystem.write);
  Unite(&to->filesystem.hide, from->filesystem.hide);
  Unite(&to->filesystem.protect, from->filesystem.protect);
  Unite(&to->environment_pass, from->environment_pass);
  UniteNamed(&to->tools, &from->tools);
  UniteNamed(&to->secrets, &from->secrets);
  to->network_groups.merge(from->network_groups);    // keeps those that are there
  to->dns_split.merge(from->dns_split);              // the nearest of each domain
  to->environment_set.merge(from->environment_set);  // one value a name: the nearest
}

// Rules in the order in which they are tried.
void AppendRules(Profile* to, Profile* from) {
  Append(&to->command_rules, &from->command_rules);
  Append(&to->network_rules, &from->network_rules);
  Append(&to->syscall_rules, &from->syscall_rules);
  Append(&to->tests, &from->tests);
  Append(&to->documents, &from->documents);
}

// Everything but rules; `to` is nearer.
void InheritValues(Document* to, Document* from) {
  InheritScalars(&to->values, from->values);
  UniteLists(&to->values, &from->values);
  Profile& profile = to->values;
  const Profile& inherited = from->values;
  if (profile.path.empty()) profile.path = inherited.path;
  Inherit(&profile.filesystem.noexec, &to->noexec, inherited.filesystem.noexec, from->noexec);
  Inherit(&profile.publish, &to->publish, inherited.publish, from->publish);
  Inherit(&profile.dns_upstream, &to->dns_upstream, inherited.dns_upstream, from->dns_upstream);
  Inherit(&profile.environment_drop, &to->environment_drop, inherited.environment_drop,
          from->environment_drop);
}

// What overlays and the floor may add wherever they stand.
void UniteRestrictions(Profile* to, const Profile& from) {
  Unite(&to->require, from.require);
  Unite(&to->filesystem.hide, from.filesystem.hide);
  Unite(&to->filesystem.protect, from.filesystem.protect);
  Unite(&to->filesystem.noexec, from.filesystem.noexec);
  Unite(&to->environment_drop, from.environment_drop);
}

template <typename T>
void Default(Placed<T>* value, T standard) {
  if (value->at.line == 0) value->value = std::move(standard);
}

// The `standard` column of the key table; a test compares them.
void FillDefaults(Profile* profile) {
  Default(&profile->backend, std::string("native"));
  Default(&profile->hostname, std::string("cell"));
  Default(&profile->user, std::string("self"));
  Default(&profile->filesystem.root, std::string("host"));
  Default(&profile->filesystem.workspace, WorkspaceMode::kReadWrite);
  Default(&profile->filesystem.tmp_bytes, 2 * kGigabyte);
  Default(&profile->command_default, Action::kAsk);
  Default(&profile->network_default, Action::kDeny);
  Default(&profile->approval_timeout, std::chrono::milliseconds(100'000));
  Default(&profile->approval_on_timeout, Action::kDeny);
  Default(&profile->approvals_pending, std::uint64_t{64});
  Default(&profile->audit_commands, AuditLevel::kAll);
  Default(&profile->audit_network, AuditLevel::kAll);
  Default(&profile->audit_redact, true);
  if (!profile->path.empty()) return;
  for (const char* directory : {"/usr/local/bin", "/usr/bin", "/bin"}) {
    profile->path.push_back({directory, {}, Layer::kProfile});
  }
}

void CheckReferences(const std::vector<Document>& documents, const Profile& profile,
                     std::vector<Problem>* problems) {
  std::set<std::string> secrets;
  for (const Secret& secret : profile.secrets) secrets.insert(secret.name);
  const Placed<std::string>& proxy = profile.proxy_secret;
  if (!proxy.value.empty() && !secrets.contains(proxy.value)) {
    problems->push_back({proxy.at, "unknown secret '" + proxy.value + "'",
                         "a name of the profile's `secrets`", ""});
  }
  for (const Document& document : documents) {
    for (const Reference& group : document.groups) {
      if (IsBuiltInGroup(group.name) || profile.network_groups.contains(group.name)) continue;
      problems->push_back({group.at, "unknown group '@" + group.name + "'",
                           "a name of network.groups, or @apt, @npm, @pip, @cargo, @go", ""});
    }
    for (const Reference& secret : document.secrets) {
      if (secrets.contains(secret.name)) continue;
      problems->push_back({secret.at, "unknown secret '" + secret.name + "'",
                           "a name of the profile's `secrets`", ""});
    }
  }
}

class Merger {
 public:
  explicit Merger(std::vector<Document> documents) : documents_(std::move(documents)) {
    // The caller gives them in this order already; a wrong order must not loosen the floor.
    std::stable_sort(documents_.begin(), documents_.end(),
                     [](const Document& a, const Document& b) { return a.layer < b.layer; });
  }

  Checked<Profile> Run() {
    Name();
    for (Document& document : documents_) AppendRules(&rules_, &document.values);
    for (Document& document : documents_) {
      if (document.layer >= Layer::kProfile) InheritValues(&result_, &document);
    }
    FillDefaults(&result_.values);
    Overlay();
    Override();
    Floor();
    Restrict();
    AppendRules(&result_.values, &rules_);
    BoundTheirGhosts();
    std::vector<Problem> problems = std::move(problems_);
    CheckReferences(documents_, result_.values, &problems);
    if (!problems.empty()) return problems;
    return std::move(result_.values);
  }

 private:
  // The profile's own name, not that of an overlay or of what it extends.
  void Name() {
    for (const Layer layer : {Layer::kProfile, Layer::kInherited}) {
      for (const Document& document : documents_) {
        if (document.layer != layer) continue;
        Profile& values = result_.values;
        if (values.name.empty()) values.name = document.values.name;
        if (values.description.empty()) values.description = document.values.description;
      }
    }
  }

  void Overlay() {
    for (const Document& document : documents_) {
      if (document.layer != Layer::kWorkspace) continue;
      ApplyOverlay(document.values, &result_.values, &problems_);
    }
  }

  void Override() {
    Document stronger;
    for (Document& document : documents_) {
      const bool overrides =
          document.layer == Layer::kRemembered || document.layer == Layer::kCommandLine;
      if (overrides) InheritValues(&stronger, &document);
    }
    InheritValues(&stronger, &result_);
    stronger.values.name = std::move(result_.values.name);
    stronger.values.description = std::move(result_.values.description);
    result_ = std::move(stronger);
  }

  // Last, so that no list that counts as one value takes the place of what they add.
  void Restrict() {
    for (const Document& document : documents_) {
      const bool restricts = document.layer == Layer::kFloor || document.layer == Layer::kWorkspace;
      if (restricts) UniteRestrictions(&result_.values, document.values);
    }
  }

  void Floor() {
    for (const Document& document : documents_) {
      if (document.layer == Layer::kFloor) ApplyFloor(document.values, &result_.values);
    }
    // The floor's rules refer to its own groups, whatever others call by the same names.
    std::map<std::string, std::vector<std::string>> groups;
    for (Document& document : documents_) {
      if (document.layer == Layer::kFloor) groups.merge(document.values.network_groups);
    }
    groups.merge(result_.values.network_groups);
    result_.values.network_groups = std::move(groups);
  }

  void BoundTheirGhosts() {
    for (const Document& document : documents_) {
      const bool bounds = document.layer == Layer::kFloor || document.layer == Layer::kWorkspace;
      if (bounds) BoundGhosts(document.values.limits, &result_.values);
    }
  }

  std::vector<Document> documents_;
  Document result_;
  Profile rules_;
  std::vector<Problem> problems_;
};

}  // namespace

Checked<Profile> MergeDocuments(std::vector<Document> documents) {
  return Merger(std::move(documents)).Run();
}

}  // namespace cellrun::policy
