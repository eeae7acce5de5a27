// SPDX-License-Identifier: Apache-2.0
#include "launcher/approvals/editor.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lib/sys/file.h"
#include "lib/sys/random.h"
#include "lib/wire/runtime_directory.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace cellrun::approvals {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = 16 << 20;

std::string EditorCommand() {
  for (const char* name : {"VISUAL", "EDITOR"}) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "vi";
}

// As other programs do: the value is a command line for the shell, the file its last argument.
Result<void> RunEditor(const std::string& path) {
  const std::string script = EditorCommand() + " \"$1\"";
  const char* argv[] = {"sh", "-c", script.c_str(), "sh", path.c_str(), nullptr};
  pid_t pid = 0;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): posix_spawn does not write to it
  const int error =
      posix_spawn(&pid, "/bin/sh", nullptr, nullptr, const_cast<char**>(argv), environ);
  if (error != 0) return Error(error, "posix_spawn", "/bin/sh");
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoError("waitpid");
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return Error(ECANCELED, "", "the editor failed");
  return {};
}

std::string Written(const std::vector<std::string>& argv) {
  std::string text = "[\n";
  for (std::size_t i = 0; i < argv.size(); ++i) {
    text += "  " + json(argv[i]).dump(-1, ' ', true) + (i + 1 < argv.size() ? ",\n" : "\n");
  }
  return text + "]\n";
}

}  // namespace

Result<std::vector<std::string>> ParseArguments(const std::string& text) {
  const json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_array() || parsed.empty()) {
    return Error(EINVAL, "", "a JSON array of texts is expected: [\"git\", \"push\"]");
  }
  std::vector<std::string> argv;
  for (const json& argument : parsed) {
    if (!argument.is_string() || argument.get<std::string>().find('\0') != std::string::npos) {
      return Error(EINVAL, "", "every argument must be a text: [\"git\", \"push\"]");
    }
    argv.push_back(argument.get<std::string>());
  }
  return argv;
}

Result<std::vector<std::string>> EditArguments(const std::vector<std::string>& argv) {
  // Nobody else can look into the directory.
  const std::string path = TRY(wire::RuntimeDirectory()) + "/edit-" + sys::RandomHex(8) + ".json";
  const auto edit = [&]() -> Result<std::string> {
    {
      const UniqueFd file =
          TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)
                  .With(path));
      TRY(sys::WriteAll(file, Written(argv)).With(path));
    }
    TRY(RunEditor(path));
    return sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), kMaxBytes).With(path);
  };
  const Result<std::string> text = edit();
  (void)sys::UnlinkAt(AT_FDCWD, path.c_str(), 0);  // it may not have been made
  if (!text.ok()) return text.error();
  return ParseArguments(*text);
}

}  // namespace cellrun::approvals
