// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_policy.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>
#include <utility>

#include "lib/policy/expiry.h"
#include "lib/policy/network_match.h"
#include "lib/policy/network_walk.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kMaxProblems = 20;

std::vector<NetworkTarget> Single(NetworkTarget target) {
  std::vector<NetworkTarget> list;
  list.push_back(std::move(target));
  return list;
}

// What `to: TEXT` stands for; groups are opened, one level deep.
Result<std::vector<NetworkTarget>> Open(const Profile& profile, const GroupMembers& built_in,
                                        const std::string& text) {
  NetworkTarget target = TRY(ParseTarget(text));
  if (target.kind != NetworkTarget::Kind::kGroup) return Single(std::move(target));
  std::vector<NetworkTarget> members;
  const bool is_built_in = IsBuiltInGroup(target.name);
  const GroupMembers& groups = is_built_in ? built_in : profile.network_groups;
  const auto group = groups.find(target.name);
  if (group == groups.end()) {
    if (is_built_in) return members;  // the host is not configured for it
    return Error(EINVAL, "no group of that name");
  }
  for (const std::string& text_of_member : group->second) {
    NetworkTarget member = TRY(ParseEndpoint(text_of_member));
    if (member.kind == NetworkTarget::Kind::kGroup) return Error(EINVAL, "a group in a group");
    members.push_back(std::move(member));
  }
  return members;
}

// Whether `*` stands for it: the host's own loopback and other cells are opened by name only.
bool IsNamedOnly(const NetworkTarget& wanted) {
  return wanted.kind == NetworkTarget::Kind::kHost || wanted.kind == NetworkTarget::Kind::kCell;
}

void Raise(Verdict* verdict, Verdict other) {
  if (other.action > verdict->action) *verdict = std::move(other);
}

template <typename Rule>
Verdict VerdictOf(const Rule& rule) {
  Verdict verdict;
  verdict.action = rule.then;
  verdict.rule = rule.reference;
  verdict.reason = rule.reason;
  return verdict;
}

}  // namespace

std::optional<Destination> ParseDestination(std::string_view text) {
  Destination destination;
  constexpr std::string_view kUdp = "/udp", kTcp = "/tcp";
  if (text.ends_with(kUdp)) {
    destination.protocol = Protocol::kUdp;
    text.remove_suffix(kUdp.size());
  } else if (text.ends_with(kTcp)) {
    text.remove_suffix(kTcp.size());
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<PortRange> ports = ParsePorts(text.substr(colon + 1));
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!ports || ports->first != ports->second || host.empty()) return std::nullopt;
  destination.host = host;
  destination.port = ports->first;
  return destination;
}

// One host with port and protocol, and how rules match it.
struct NetworkPolicy::Wanted {
  NetworkTarget target;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;

  [[nodiscard]] bool Fits(const Rule& rule) const {
    return rule.protocol == protocol && PortFits(rule.ports, port);
  }
  [[nodiscard]] bool Meets(const NetworkTarget& candidate) const {
    return Reaches(candidate, target) && (!candidate.ports || Contains(*candidate.ports, port));
  }
  [[nodiscard]] bool IsTooWide(const NetworkTarget& candidate, const Rule& rule) const {
    return candidate.kind == NetworkTarget::Kind::kEverything && rule.then != Action::kDeny &&
           IsNamedOnly(target);
  }
  [[nodiscard]] bool Matches(const Rule& rule) const {
    return Fits(rule) &&
           std::any_of(rule.targets.begin(), rule.targets.end(),
                       [&](const NetworkTarget& t) { return !IsTooWide(t, rule) && Meets(t); });
  }
  // On whichever port.
  [[nodiscard]] bool IsNamedBy(const Rule& rule) const {
    return std::any_of(rule.targets.begin(), rule.targets.end(), [&](const NetworkTarget& t) {
      return !IsTooWide(t, rule) && Reaches(t, target);
    });
  }
  // By an address or a block: any that refuses, and within `range` any.
  [[nodiscard]] bool MatchesBlock(const Rule& rule, const AddressBlock* range) const {
    return Fits(rule) &&
           std::any_of(rule.targets.begin(), rule.targets.end(), [&](const NetworkTarget& t) {
             const bool is_block = t.kind == NetworkTarget::Kind::kBlock;
             const bool counts =
                 range == nullptr || rule.then == Action::kDeny || LiesWithin(t, *range);
             return is_block && counts && Meets(t);
           });
  }
  [[nodiscard]] Wanted At(const Address& address) const {
    return {.target = TargetOf(address), .port = port, .protocol = protocol};
  }
};

void NetworkPolicy::Add(const NetworkRule& source, const Profile& profile,
                        const GroupMembers& built_in, std::vector<Problem>* problems) {
  Rule rule{.targets = {},
            .ports = source.ports,
            .protocol = source.udp ? Protocol::kUdp : Protocol::kTcp,
            .then = source.then,
            .reason = source.reason,
            .reference = {source.name, source.layer, source.at}};
  for (const std::string& text : source.to) {
    Result<std::vector<NetworkTarget>> opened = Open(profile, built_in, text);
    if (!opened.ok()) {
      problems->push_back({source.at, "'" + text + "': " + opened.error().operation(), "", ""});
      continue;
    }
    rule.targets.insert(rule.targets.end(), opened->begin(), opened->end());
  }
  rules_.push_back(std::move(rule));
}

Checked<NetworkPolicy> NetworkPolicy::Compile(const Profile& profile,
                                              std::chrono::system_clock::time_point now,
                                              const GroupMembers& built_in) {
  NetworkPolicy policy;
  std::vector<Problem> problems;
  for (const NetworkRule& source : profile.network_rules) {
    const std::optional<Time> expires = ParseExpiry(source.expires);
    if (!source.expires.empty() && !expires) {
      problems.push_back({source.at, "'expires: " + source.expires + "' is no date",
                          "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ", ""});
    }
    if (expires && *expires <= now) continue;
    if (expires) policy.next_expiry_ = std::min(*expires, policy.next_expiry_.value_or(*expires));
    policy.Add(source, profile, built_in, &problems);
    if (problems.size() >= kMaxProblems) break;
  }
  if (!problems.empty()) {
    problems.resize(std::min(problems.size(), kMaxProblems));
    return problems;
  }
  policy.default_ = profile.network_default.value;
  policy.default_rule_ = {"default", profile.network_default.layer, profile.network_default.at};
  policy.audit_ = profile.audit_network.value;
  return policy;
}

Verdict NetworkPolicy::DefaultFor(const Wanted& wanted) const {
  Verdict verdict;
  verdict.action = default_;
  verdict.rule = default_rule_;
  if (default_ == Action::kDeny) return verdict;
  if (wanted.protocol == Protocol::kUdp) {
    verdict.action = Action::kDeny;
    verdict.message = "UDP leaves a cell only where a rule says `proto: udp`";
  } else if (IsNamedOnly(wanted.target)) {
    verdict.action = Action::kDeny;
    verdict.message = "the host itself is reached only where a rule names it";
  }
  return verdict;
}

Verdict NetworkPolicy::Judge(const Wanted& wanted) const {
  const Decision<Rule> decision =
      Walk(rules_, [&](const Rule& rule) { return wanted.Matches(rule); });
  Verdict verdict = decision.rule ? VerdictOf(*decision.rule) : DefaultFor(wanted);
  if (decision.minimum && decision.minimum->then >= verdict.action) {
    verdict = VerdictOf(*decision.minimum);
  }
  return verdict;
}

// What the rules for addresses say; nothing: they are silent, which refuses what leads inwards.
std::optional<Verdict> NetworkPolicy::JudgeAddress(const Wanted& wanted, bool own) const {
  const Address address = AddressOf(wanted.target);
  const bool is_public = ReachOf(address) == Reach::kPublic;
  AddressBlock block = BlockOfReach(address);
  // A block as large as the world does not name this machine.
  if (is_public) block.prefix = block.first.ipv6 ? 16 : 8;
  const AddressBlock* range = is_public && !own ? nullptr : &block;
  const Wanted judged = wanted.At(Ipv4Inside(address).value_or(address));
  const Decision<Rule> decision =
      Walk(rules_, [&](const Rule& rule) { return judged.MatchesBlock(rule, range); });
  const Rule* rule = decision.Stricter();
  // Rules of the floor and the workspace open nothing.
  const bool opens = decision.rule != nullptr || range == nullptr;
  if (rule == nullptr || (!opens && rule->then != Action::kDeny)) return std::nullopt;
  return VerdictOf(*rule);
}

Verdict NetworkPolicy::RefuseReach(const Address& address) const {
  Verdict verdict;
  verdict.rule = default_rule_;
  const Reach reach = ReachOf(address);
  verdict.message = FormatAddress(address) + " is " +
                    (reach == Reach::kPublic ? "of this machine" : ReachName(reach)) +
                    ": such addresses are refused unless a rule names them";
  return verdict;
}

// A rule against the form that carries an IPv4 address, such as 2002::/16, holds as well.
void NetworkPolicy::RaiseByOuterForm(const Wanted& wanted, Verdict* verdict) const {
  const Address address = AddressOf(wanted.target);
  if (!address.ipv6 || !Ipv4Inside(address)) return;
  const Decision<Rule> decision =
      Walk(rules_, [&](const Rule& rule) { return wanted.MatchesBlock(rule, nullptr); });
  if (const Rule* rule = decision.Stricter()) Raise(verdict, VerdictOf(*rule));
}

Verdict NetworkPolicy::Finish(Verdict verdict) const {
  verdict.audit = audit_ == AuditLevel::kAll ||
                  (audit_ == AuditLevel::kDenied && verdict.action != Action::kAllow);
  return verdict;
}

Verdict NetworkPolicy::Decide(const Destination& destination) const {
  try {
    Result<NetworkTarget> target = ReadHost(destination.host);
    if (!target.ok()) {
      Verdict verdict;
      verdict.message = "neither a host name nor an address";
      return Finish(std::move(verdict));
    }
    const Wanted wanted{
        .target = std::move(*target), .port = destination.port, .protocol = destination.protocol};
    if (wanted.target.kind != NetworkTarget::Kind::kBlock) return Finish(Judge(wanted));
    const Address address = AddressOf(wanted.target);
    Verdict verdict = Judge(wanted.At(Ipv4Inside(address).value_or(address)));
    if (ReachOf(address) != Reach::kPublic) {
      Raise(&verdict, JudgeAddress(wanted, false).value_or(RefuseReach(address)));
    }
    RaiseByOuterForm(wanted, &verdict);
    return Finish(std::move(verdict));
  } catch (...) {
    Verdict verdict;
    verdict.message = "the destination could not be judged";
    return verdict;
  }
}

Verdict NetworkPolicy::DecideResolved(const Destination& named, const Address& address,
                                      bool own) const {
  try {
    const Reach reach = ReachOf(address);
    const Wanted wanted{
        .target = TargetOf(Canonical(address)), .port = named.port, .protocol = named.protocol};
    std::optional<Verdict> said = JudgeAddress(wanted, own);
    if (!said && reach == Reach::kLoopback) {
      // `host` stands for this machine's loopback.
      Wanted host = wanted;
      host.target = {.kind = NetworkTarget::Kind::kHost};
      said = Judge(host);
      if (said->action == Action::kDeny) said.reset();
    }
    Verdict verdict;
    verdict.action = Action::kAllow;
    if (said || own || reach != Reach::kPublic) verdict = said.value_or(RefuseReach(address));
    RaiseByOuterForm(wanted, &verdict);
    return Finish(std::move(verdict));
  } catch (...) {
    Verdict verdict;
    verdict.message = "the address could not be judged";
    return verdict;
  }
}

// The verdict on a name changes only at the ends of port ranges.
Opening NetworkPolicy::OpeningOf(const NetworkTarget& target, Protocol protocol) const {
  std::set<std::uint16_t> ports{1};
  const auto note = [&](const PortRange& range) {
    ports.insert(range.first);
    if (range.second < std::numeric_limits<std::uint16_t>::max()) {
      ports.insert(static_cast<std::uint16_t>(range.second + 1));
    }
  };
  for (const Rule& rule : rules_) {
    if (rule.protocol != protocol) continue;
    for (const NetworkTarget& candidate : rule.targets) {
      if (!Reaches(candidate, target)) continue;
      if (candidate.ports) note(*candidate.ports);
      std::for_each(rule.ports.begin(), rule.ports.end(), note);
    }
  }
  Opening opening = Opening::kClosed;
  for (const std::uint16_t port : ports) {
    const Wanted wanted{.target = target, .port = port, .protocol = protocol};
    if (Judge(wanted).action == Action::kDeny) continue;
    const Decision<Rule> decision =
        Walk(rules_, [&](const Rule& rule) { return wanted.Matches(rule); });
    const bool exact = decision.rule != nullptr &&
                       std::any_of(decision.rule->targets.begin(), decision.rule->targets.end(),
                                   [&](const NetworkTarget& t) {
                                     return t.kind == target.kind && wanted.Meets(t);
                                   });
    if (exact) return Opening::kByName;
    opening = Opening::kByPattern;
  }
  return opening;
}

Opening NetworkPolicy::MightAllow(std::string_view name) const {
  try {
    const Result<NetworkTarget> target = ReadHost(name);
    if (!target.ok() || target->kind == NetworkTarget::Kind::kBlock) return Opening::kClosed;
    return std::max(OpeningOf(*target, Protocol::kTcp), OpeningOf(*target, Protocol::kUdp));
  } catch (...) {
    return Opening::kClosed;
  }
}

std::vector<Policy::Trial> NetworkPolicy::Explain(const Destination& destination) const {
  std::vector<Policy::Trial> trials;
  const Result<NetworkTarget> target = ReadHost(destination.host);
  if (!target.ok()) return trials;
  const Wanted wanted{
      .target = *target, .port = destination.port, .protocol = destination.protocol};
  const RuleReference decided = Decide(destination).rule;
  for (const Rule& rule : rules_) {
    Policy::Trial trial{.rule = rule.reference, .then = rule.then, .failed = ""};
    if (rule.protocol != wanted.protocol) {
      trial.failed =
          rule.protocol == Protocol::kUdp ? "proto: it is for udp" : "proto: it is for tcp";
    } else if (!wanted.IsNamedBy(rule)) {
      trial.failed = "to: it does not include " + destination.host;
    } else if (!wanted.Matches(rule)) {
      trial.failed = "ports: " + std::to_string(wanted.port) + " is not among them";
    }
    trial.matched = trial.failed.empty();
    trial.decided = trial.matched && rule.reference.name == decided.name &&
                    rule.reference.at == decided.at && rule.reference.layer == decided.layer;
    trials.push_back(std::move(trial));
  }
  return trials;
}

std::optional<std::vector<NetworkTarget>> NetworkPolicy::OpenBlocks() const {
  if (default_ != Action::kDeny) return std::nullopt;
  std::vector<NetworkTarget> blocks;
  for (const Rule& rule : rules_) {
    if (rule.then == Action::kDeny) continue;
    for (const NetworkTarget& target : rule.targets) {
      if (target.kind == NetworkTarget::Kind::kEverything) return std::nullopt;
      if (target.kind == NetworkTarget::Kind::kBlock) blocks.push_back(target);
    }
  }
  return blocks;
}

bool NetworkPolicy::LetsAnythingOut() const {
  return default_ != Action::kDeny ||
         std::any_of(rules_.begin(), rules_.end(), [](const Rule& rule) {
           return rule.then != Action::kDeny && !rule.targets.empty();
         });
}

}  // namespace cellrun::policy
