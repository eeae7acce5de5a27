// SPDX-License-Identifier: Apache-2.0
// N: secrets of the operator.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/escape/escape.h"
#include "tests/support/remains.h"

namespace cellrun::test {
namespace {

namespace fs = std::filesystem;
constexpr char kCanary[] = "CANARY-d41d8cd98f";

Words Program_(const Words& attack) {
  Words argv = {Escape::Program("escape_files")};
  argv.insert(argv.end(), attack.begin(), attack.end());
  return argv;
}

// In a cell, where there are more places to look into than one would read through on a host.
void ExpectNowhere(Escape& escape, const Words& directories, const Options& options) {
  Options with = escape.Using("");
  with.environment = options.environment;
  Words argv = Program_({"search", kCanary});
  argv.insert(argv.end(), directories.begin(), directories.end());
  const Outcome outcome = escape.Run(argv, with);
  EXPECT_EQ(outcome.status, 11) << outcome;
  escape.MustHold(outcome.status == 10, outcome.out);
}

constexpr const char* kVariables[] = {"AWS_ACCESS_KEY_ID",
                                      "AWS_SECRET_ACCESS_KEY",
                                      "AWS_SESSION_TOKEN",
                                      "GITHUB_TOKEN",
                                      "GH_TOKEN",
                                      "GITLAB_TOKEN",
                                      "NPM_TOKEN",
                                      "NODE_AUTH_TOKEN",
                                      "CARGO_REGISTRY_TOKEN",
                                      "PYPI_TOKEN",
                                      "TWINE_PASSWORD",
                                      "OPENAI_API_KEY",
                                      "ANTHROPIC_API_KEY",
                                      "DATABASE_URL",
                                      "PGPASSWORD",
                                      "MYSQL_PWD",
                                      "DOCKER_AUTH_CONFIG",
                                      "VAULT_TOKEN",
                                      "CI_JOB_TOKEN",
                                      "SSH_AUTH_SOCK",
                                      "GPG_AGENT_INFO",
                                      "KUBECONFIG",
                                      "GOOGLE_APPLICATION_CREDENTIALS",
                                      "AZURE_CLIENT_SECRET",
                                      "SLACK_TOKEN",
                                      "STRIPE_KEY",
                                      "BASH_FUNC_x%%",
                                      "LC_SECRETx",
                                      "http_proxy",
                                      "SUDO_ASKPASS"};
void Environment_(Escape& escape) {
  Attack attack{.argv = Program_({"search", kCanary, "/proc/self/."})};
  for (const std::string name : kVariables) {
    if (name.starts_with("LC_")) continue;  // LC_* crosses by the profile's own word
    attack.options.environment[name] = kCanary;
  }
  escape.Try(attack);
  ExpectNowhere(escape, {"/proc"}, attack.options);
}

constexpr const char* kFiles[] = {".ssh/id_ed25519",
                                  ".ssh/config",
                                  ".aws/credentials",
                                  ".config/gh/hosts.yml",
                                  ".docker/config.json",
                                  ".npmrc",
                                  ".netrc",
                                  ".kube/config",
                                  ".local/share/keyrings/login.keyring",
                                  ".gnupg/secring.gpg",
                                  ".git-credentials",
                                  ".config/git/credentials",
                                  ".pypirc",
                                  ".cargo/credentials.toml",
                                  ".azure/token",
                                  ".config/gcloud/credentials.db",
                                  ".vault-token",
                                  ".terraform.d/credentials",
                                  ".m2/settings.xml",
                                  ".gradle/gradle.properties",
                                  ".pgpass",
                                  ".my.cnf",
                                  ".bash_history",
                                  ".zsh_history",
                                  ".python_history",
                                  ".mozilla/firefox/key4.db",
                                  ".config/google-chrome/Default/Cookies",
                                  ".config/chromium/Default/Cookies",
                                  ".thunderbird/x",
                                  ".password-store/x.gpg",
                                  ".yarnrc.yml",
                                  ".gem/credentials",
                                  ".config/containers/auth.json",
                                  ".config/glab-cli/config.yml",
                                  ".config/pip/pip.conf",
                                  ".config/doctl/config.yaml"};
void Files(Escape& escape) {
  Words by_alias = Program_({"search-by-aliases", kCanary});
  for (const char* name : kFiles) {
    escape.Write(escape.Home(name), std::string(kCanary) + "\n", 0600);
    by_alias.push_back(escape.Home(name));
  }
  escape.Try({.argv = Program_({"search", kCanary, escape.Home()})});
  escape.Try({.argv = by_alias});
  // And where the profile opens the whole home: what base hides stays hidden.
  Attack wide{.argv = by_alias};
  wide.options.flags = {"--read", escape.Home()};
  escape.Try(wide);
}
void Everywhere(Escape& escape) {
  // A word that is in a file beside, in the runtime and state directories, in the terminal's
  // environment.
  escape.Write(escape.Path("beside"), kCanary);
  escape.Write(escape.Path("state/note"), kCanary);
  escape.Write(escape.RuntimeDirectory() + "/note", kCanary);
  escape.Write(escape.Path("config/note"), kCanary);
  escape.Try({.argv = Program_({"search", kCanary, escape.Path("")})});
  ExpectNowhere(escape, {"/tmp", "/run", "/var", "/proc", "/dev", "/etc", "/home", "/root", "/srv"},
                {});
}

// A broker that crashes leaves no image of its memory; a program of the same user does.
void Dumps(Escape& escape) {
  const auto dumped = [](pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) && WCOREDUMP(status);
  };
  const auto crash = [&](const Words& argv, const std::string& ready) {
    Options options;
    options.directory = escape.Work();
    options.in_child = [] {
      const rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
      (void)setrlimit(RLIMIT_CORE, &none);
    };
    Command command = escape.CellrunCommand(argv, options);
    if (ready == "up") command.argv = {"bash", "-c", "echo up; exec sleep 100"};
    return command;
  };
  Process plain(crash({}, "up"));
  ASSERT_TRUE(plain.WaitForOutput("up"));
  kill(plain.pid(), SIGSEGV);
  escape.MustWin(dumped(plain.pid()), "a plain process leaves no image either");
  escape.MayLeaveSockets();
  const Outcome started = RunCommand(crash({"broker", "start"}, ""));
  ASSERT_EQ(started.status, 0) << started;
  const pid_t broker = escape.BrokerPid();
  const std::string base = "/proc/" + std::to_string(broker);
  if (!Escape::IsRootLane()) {
    for (const char* name : {"/mem", "/environ", "/maps", "/fd/0"}) {
      const int fd = open((base + name).c_str(), O_RDONLY | O_CLOEXEC);
      escape.MustHold(fd >= 0, std::string("another process of the user opens ") + name);
      if (fd >= 0) close(fd);
    }
  }
  kill(broker, SIGSEGV);
  escape.MustHold(dumped(broker), "the broker leaves an image of its memory");
}

void Arguments(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  const Options options = escape.Using("");
  const std::string script =
      "true --password " + std::string(kCanary) + "; true --password=" + kCanary +
      "; true --token " + kCanary + "; true https://user:" + kCanary +
      "@host/x; true --api-key=" + kCanary + "; true -H 'Authorization: Bearer " + kCanary +
      "'; GITHUB_TOKEN=" + kCanary + " true";
  // `true` is a builtin of the shell: the program is meant.
  std::string programs = script;
  for (auto at = programs.find("true "); at != std::string::npos;
       at = programs.find("true ", at + 14)) {
    programs.replace(at, 5, "/usr/bin/true ");
  }
  escape.Write(escape.Work("script"), programs);
  EXPECT_EQ(escape.Run({"bash", "script"}, options).status, 0);
  const Outcome history = escape.Cellrun({"history", "-o", "jsonl"});
  const auto found = history.out.find(kCanary);
  const bool told = found != std::string::npos;
  escape.MustHold(told,
                  told ? history.out.substr(found - std::min<std::size_t>(found, 300), 600) : "");
}

// What cellrun keeps is for its owner only.
void Modes(Escape& escape) {
  EXPECT_EQ(escape.Run({"true"}, escape.Using("")).status, 0);
  escape.ShownBare(Shown::kAimsAtCell);
  std::string open;
  for (const std::string& directory : {escape.Path("state"), escape.RuntimeDirectory()}) {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      struct stat status {};
      if (lstat(entry.path().c_str(), &status) == 0 && (status.st_mode & 077) != 0 &&
          !S_ISLNK(status.st_mode))
        open += entry.path().string() + " ";
    }
  }
  escape.MustHold(!open.empty(), open);
}

constexpr Case kCases[] = {
    {"N1", "environment", "find 29 secrets of the environment", Environment_},
    {"N2", "files", "find 36 secrets of the home, by name and by alias", Files},
    {"N2", "everywhere", "find a word of the operator's files anywhere", Everywhere},
    {"N4", "dumps", "read the broker's memory after a crash", Dumps},
    {"N7", "arguments", "find secrets of arguments in the journal", Arguments},
    {"N9", "modes", "read what cellrun keeps, as another user", Modes},
};
ESCAPE_SUITE(SecretTest, kCases);

}  // namespace
}  // namespace cellrun::test
