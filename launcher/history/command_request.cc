// SPDX-License-Identifier: Apache-2.0
#include "launcher/history/command_request.h"

#include <unistd.h>

#include <optional>

#include "launcher/profile/documents.h"
#include "lib/policy/profile_test.h"
#include "lib/policy/writable_tree.h"

namespace cellrun::history {
namespace {

constexpr std::size_t kMaxInterpreters = 5;  // as the kernel's

struct Found {
  std::string path;
  policy::ProgramFacts facts;
};

std::optional<Found> LookUp(const std::string& path) {
  auto facts = profile::LookUpProgram(path);
  if (!facts) return std::nullopt;
  return Found{path, std::move(*facts)};
}

std::optional<Found> FindProgram(const std::string& word, const policy::Profile& profile,
                                 const std::string& directory) {
  if (word.starts_with('/')) return LookUp(word);
  if (word.find('/') != std::string::npos) return LookUp(directory + "/" + word);
  for (const policy::Placed<std::string>& place : profile.path) {
    if (auto found = LookUp(place.value + "/" + word)) return found;
  }
  return std::nullopt;
}

policy::ExecImage ImageOf(const Found& found, const policy::WritableTree& writable) {
  const bool script = policy::ReadInterpreter(found.facts.head).has_value();
  return {.path = found.facts.file.canonical,
          .id = found.facts.file.id,
          .kind = script ? policy::ExecImage::Kind::kScript : policy::ExecImage::Kind::kBinary,
          .writable = writable.Contains(found.facts.file.canonical),
          .hash = {}};
}

std::string LoginName() {
  const char* const name = getenv("USER");  // NOLINT(concurrency-mt-unsafe): single-threaded
  return name == nullptr ? "" : name;
}

}  // namespace

CommandRequest MakeRequest(const std::vector<std::string>& command, const policy::Profile& profile,
                           const policy::Places& places, const std::string& directory) {
  const policy::WritableTree writable(profile, places);
  CommandRequest made;
  policy::ExecRequest& request = made.request;
  request.raw_path = command[0];
  request.argv = command;
  request.cwd = directory;
  request.uid = geteuid();
  request.user = LoginName();
  request.tty = isatty(STDIN_FILENO) == 1;
  for (char** entry = environ; *entry != nullptr; ++entry) request.env.emplace_back(*entry);
  std::optional<Found> program = FindProgram(command[0], profile, directory);
  made.found = program.has_value();
  if (!program) {
    const std::string name = command[0].substr(command[0].rfind('/') + 1);  // npos + 1 is 0
    request.images.push_back({.path = "/usr/bin/" + name, .id = {}, .hash = {}});
  }
  std::vector<std::string> argv = command;
  while (program && request.images.size() <= kMaxInterpreters) {
    request.images.push_back(ImageOf(*program, writable));
    if (request.images.size() > 1) request.images.back().argv = argv;
    const auto interpreter = policy::ReadInterpreter(program->facts.head);
    if (!interpreter) break;
    argv = policy::InterpreterArgv(program->facts.head, program->path, argv);
    program = LookUp(interpreter->starts_with('/') ? *interpreter : directory + "/" + *interpreter);
  }
  return made;
}

}  // namespace cellrun::history
