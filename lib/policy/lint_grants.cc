// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/lint_checks.h"
#include "lib/policy/network_target.h"

namespace cellrun::policy {
namespace {

std::string Expand(const std::string& path, const Places& places) {
  const bool home = path == "~" || path.starts_with("~/");
  return NormalizePath(home ? places.home + path.substr(1) : path);
}

// What gives away credentials when it can be read.
constexpr auto kSecrets = std::to_array<const char*>({
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/ssh",
    "~/.ssh",
    "~/.aws",
    "~/.azure",
    "~/.config/gcloud",
    "~/.config/gh",
    "~/.gnupg",
    "~/.docker",
    "~/.kube",
    "~/.netrc",
    "~/.npmrc",
    "~/.pypirc",
    "~/.vault-token",
    "~/.git-credentials",
    "~/.config/git/credentials",
    "~/.cargo/credentials.toml",
    "~/.local/share/keyrings",
    "~/.password-store",
    "~/.mozilla",
    "~/.config/google-chrome",
});

// What gives away the machine when it can be connected to.
constexpr auto kSockets = std::to_array<std::string_view>({
    "docker.sock",
    "podman.sock",
    "containerd.sock",
    "crio.sock",
    "lxd/unix.socket",
    "libvirt-sock",
    "system_bus_socket",
    "/bus",
    "S.gpg-agent",
    "ssh-agent",
    "agent.sock",
    "/.X11-unix",
    "wayland-0",
});

// Directories so wide that secrets and sockets are inside.
bool IsWholeTree(const std::string& path, const Places& places) {
  return path == "/" || path == "/home" || path == "/root" || path == "/run" || path == "/var" ||
         path == "/var/run" || path == places.home || IsWithin(places.home, path);
}

void LintPath(const LintContext& context, const char* key, const Placed<std::string>& path) {
  const Places& places = context.facts.places;
  const std::string absolute = Expand(path.value, places);
  const std::string what = std::string("`") + key + ": " + ListOf({path.value}) + "` ";
  for (const char* secret : kSecrets) {
    if (!IsWithin(absolute, Expand(secret, places))) continue;
    context.Add("CR-L009", Severity::kWarning, path.at, what + "gives the cell credentials",
                "name the one file that is needed, or leave it to commands that run outside");
    return;
  }
  if (std::any_of(kSockets.begin(), kSockets.end(), [&](std::string_view socket) {
        return absolute.ends_with(socket) ||
               absolute.find(std::string(socket) + ".") != std::string::npos;
      })) {
    context.Add("CR-L010", Severity::kError, path.at,
                what + "is a socket through which the cell can act outside", "remove it");
  } else if (IsWholeTree(absolute, places)) {
    context.Add("CR-L009", Severity::kWarning, path.at,
                what + "is wide enough to contain credentials and sockets", "name what is needed");
  }
}

constexpr auto kSecretVariables = std::to_array<std::string_view>({
    "GITHUB_TOKEN",
    "NPM_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "DATABASE_PASSWORD",
    "API_KEY",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
});
constexpr auto kSocketVariables = std::to_array<std::string_view>({
    "SSH_AUTH_SOCK",
    "GPG_AGENT_INFO",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "DISPLAY",
    "WAYLAND_DISPLAY",
});

void LintVariable(const LintContext& context, const Placed<std::string>& name) {
  const auto pattern = Pattern::Compile(name.value, GlobKind::kArgument);
  if (!pattern.ok()) return;
  const auto matches = [&](std::string_view variable) { return pattern->Matches(variable); };
  const std::string what = "`pass: " + ListOf({name.value}) + "` ";
  const bool secret = std::any_of(kSecretVariables.begin(), kSecretVariables.end(), matches);
  if (secret) {
    context.Add("CR-L012", Severity::kWarning, name.at,
                what + "brings credentials such as tokens into the cell",
                "name each variable that is needed");
  } else if (std::any_of(kSocketVariables.begin(), kSocketVariables.end(), matches)) {
    context.Add("CR-L010", Severity::kWarning, name.at,
                what + "points programs at a socket outside the cell", "remove it");
  }
}

// A request for a file that the cell has written at `path`.
ExecRequest WrittenProgram(const std::string& path, const Places& places) {
  ExecRequest request;
  request.raw_path = path;
  request.argv = {path};
  request.cwd = places.workspace;
  request.images.resize(1);
  request.images[0].path = path;
  request.images[0].writable = true;
  return request;
}

// Whether the rule says `writable: true`: then its author has thought of it.
bool NamesWritable(const Profile& profile, const RuleReference& reference) {
  return std::any_of(
      profile.command_rules.begin(), profile.command_rules.end(), [&](const CommandRule& rule) {
        return rule.at == reference.at && rule.name == reference.name && rule.when.writable == true;
      });
}

bool IsWideDomain(const std::string& text) {
  const auto target = ParseTarget(text);
  if (!target.ok()) return false;
  using Kind = NetworkTarget::Kind;
  if (target->kind == Kind::kEverything) return true;
  if (target->kind == Kind::kBlock) return target->prefix < (target->ipv6 ? 16 : 8);
  const bool below = target->kind == Kind::kBelow || target->kind == Kind::kWithBelow;
  return below && target->name.find('.') == std::string::npos;
}

}  // namespace

void LintGrants(const LintContext& context) {
  const Filesystem& files = context.profile.filesystem;
  for (const auto& path : files.read) LintPath(context, "read", path);
  for (const auto& path : files.write) LintPath(context, "write", path);
  if (!files.home.value.empty()) LintPath(context, "home", files.home);
  for (const auto& name : context.profile.environment_pass) LintVariable(context, name);
}

void LintWritable(const LintContext& context) {
  const Places& places = context.facts.places;
  for (const auto& directory : context.profile.path) {
    if (!context.tree.Contains(Expand(directory.value, places))) continue;
    context.Add("CR-L013", Severity::kError, directory.at,
                "`path: " + ListOf({directory.value}) +
                    "` can be written by the cell: its files would be taken for the programs that "
                    "rules name",
                "remove it from `path`");
  }
  std::vector<std::string> open;
  bool meant = true;
  for (const auto& [directory, writable] : context.tree.parts()) {
    const std::string probe = directory + "/cellrun-lint-probe";
    if (!writable || !context.tree.CanWriteAndRun(probe)) continue;
    const Verdict verdict = context.policy.Decide(WrittenProgram(probe, places));
    if (verdict.action != Action::kAllow) continue;
    open.push_back(directory);
    meant =
        meant && (directory == places.workspace || NamesWritable(context.profile, verdict.rule));
  }
  if (open.empty()) return;
  context.Add("CR-L004", meant ? Severity::kNote : Severity::kWarning,
              context.profile.command_default.at,
              "the cell can write programs and run them in " + ListOf(open),
              "`noexec` for them, or a rule `{when: {writable: true}, then: ask}`");
}

void LintMasks(const LintContext& context) {
  const Filesystem& files = context.profile.filesystem;
  const auto check = [&](const char* key, const Placed<std::string>& name) {
    if (name.value.find("**") == std::string::npos) return;
    context.Add("CR-L006", Severity::kWarning, name.at,
                std::string("`") + key + ": " + ListOf({name.value}) +
                    "` costs a walk of the workspace at each start, and what appears later is not "
                    "covered",
                "name the paths");
  };
  for (const auto& name : files.hide) check("hide", name);
  for (const auto& name : files.protect) check("protect", name);
}

void LintDestinations(const LintContext& context) {
  for (const NetworkRule& rule : context.profile.network_rules) {
    if (rule.then == Action::kDeny) continue;
    std::vector<std::string> wide;
    std::copy_if(rule.to.begin(), rule.to.end(), std::back_inserter(wide), IsWideDomain);
    if (wide.empty()) continue;
    context.Add("CR-L007", Severity::kWarning, rule.at,
                "anybody can have a host in " + ListOf(wide) + ": what the cell reads can leave it",
                "name the domains");
  }
  if (context.profile.network_default.value == Action::kAllow) {
    context.Add("CR-L007", Severity::kWarning, context.profile.network_default.at,
                "`network.default: allow`: what the cell reads can leave it", "`ask` or `deny`");
  }
}

}  // namespace cellrun::policy
