// SPDX-License-Identifier: Apache-2.0
#include "launcher/history/source.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "launcher/client/http.h"
#include "launcher/client/http_response.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"

namespace cellrun::history {
namespace {

using launcher::ErrorForm;
using nlohmann::json;
using Outcome = Source::Outcome;

constexpr std::size_t kMaxLineBytes = 16 << 20;
constexpr std::size_t kReadBytes = std::size_t{64} * 1024;
constexpr int kWrongValue = 400;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// What an answer of the API says went wrong.
ErrorForm ErrorOf(std::string_view body) {
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("error") || !parsed["error"].is_object()) {
    return {"the broker's answer makes no sense", "", "cellrun broker logs"};
  }
  const json& error = parsed["error"];
  return {Text(error, "what"), Text(error, "cause"), Text(error, "try")};
}

Outcome Failed(const Error& error, const std::string& what) {
  return {.status = 500, .error = ErrorForm{what, error.ToString(), "cellrun broker logs"}};
}

// A stream that fails after it began says so in its last line.
struct Reader {
  const Source::Line& line;
  std::optional<ErrorForm> error;
  bool operator()(std::string_view text) {
    if (text.starts_with("{\"error\":")) {
      error = ErrorOf(text);
      return false;
    }
    return line(text);
  }
};

struct Child {
  sys::ChildProcess process;
  UniqueFd output;
};

Result<Child> StartReader(const std::string& program, const std::string& database,
                          const std::string& target) {
  sys::Pipe pipe = TRY(sys::Pipe2(O_CLOEXEC));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe.write.get(), STDOUT_FILENO);
  std::array<std::string, 4> words = {program, "journal", database, target};
  std::array<char*, 5> argv = {words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                               nullptr};
  pid_t pid = -1;
  const int code = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return Error(code, "posix_spawn", program);
  Child child;
  UniqueFd pidfd = TRY(sys::PidfdOpen(pid));
  child.process = sys::ChildProcess(pid, std::move(pidfd));
  child.output = std::move(pipe.read);
  return child;
}

// The status line, then the body's lines.
class ChildAnswer {
 public:
  explicit ChildAnswer(const Source::Line& line) : reader_{line, {}} {}
  bool operator()(std::string_view line) {
    if (status_ == 0) {
      (void)std::from_chars(line.data(), line.data() + line.size(), status_);
      return status_ != 0;  // not a status: nothing after it counts either
    }
    if (status_ == 200) return reader_(line);
    body_ += line;
    return true;
  }
  [[nodiscard]] Outcome outcome() const {
    if (status_ == 0) {
      return {500, ErrorForm{"the journal could not be read", "its reader said nothing", ""}};
    }
    if (status_ != 200) return {status_, ErrorOf(body_)};
    return {200, reader_.error};
  }

 private:
  Reader reader_;
  int status_ = 0;
  std::string body_;
};

bool Serves(const std::string& socket_path) {
  const Result<UniqueFd> socket = sys::UnixSocket(SOCK_STREAM);
  return socket.ok() && sys::ConnectUnix(*socket, socket_path).ok();
}

}  // namespace

Source::Source(Places places, const std::string& file)
    : places_(std::move(places)), database_(file.empty() ? places_.database : file) {
  live_ = file.empty() && Serves(places_.api_socket);
  const auto found = sys::FstatAt(AT_FDCWD, database_.c_str(), 0);
  empty_ = !live_ && file.empty() && !found.ok() && found.error().code() == ENOENT;
}

Outcome Source::Lines(const std::string& target, const Line& line, bool follow) const {
  if (empty_) return {};
  return live_ ? FromBroker(target, line, follow) : FromFile(target, line);
}

Outcome Source::Object(const std::string& target, json& object) const {
  std::string body;
  Outcome outcome = Lines(target, [&](std::string_view line) {
    body += line;
    return true;
  });
  if (outcome.error) return outcome;
  object = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    outcome = {500, ErrorForm{"the broker's answer makes no sense", "", "cellrun broker logs"}};
  }
  return outcome;
}

Outcome Source::FromBroker(const std::string& target, const Line& line, bool follow) const {
  client::HttpRequest request;
  request.target = target;
  // A check of a large journal takes its time; only a broker that is stuck takes longer.
  request.timeout = std::chrono::milliseconds(follow ? 0 : 600'000);
  Reader reader{line, {}};
  const auto response = client::CallForLines(places_.api_socket, request,
                                             [&](std::string_view text) { return reader(text); });
  if (!response.ok()) return Failed(response.error(), "the broker did not answer");
  if (response->status != 200) return {response->status, ErrorOf(response->body)};
  return {200, reader.error};
}

Outcome Source::FromFile(const std::string& target, const Line& line) const {
  Result<Child> child = StartReader(places_.broker_program, database_, target);
  if (!child.ok()) return Failed(child.error(), "the journal could not be read");
  ChildAnswer answer(line);
  client::LineSplitter lines(kMaxLineBytes);
  const auto take = [&](std::string_view text) { return answer(text); };
  std::string buffer(kReadBytes, '\0');
  for (;;) {
    const Result<std::size_t> got = sys::Read(child->output, buffer);
    if (!got.ok()) return Failed(got.error(), "the journal could not be read");
    if (*got == 0) break;
    if (!lines.Put(std::string_view(buffer).substr(0, *got), take)) return answer.outcome();
  }
  lines.End(take);
  (void)child->process.Wait();  // what it had to say, it said
  return answer.outcome();
}

int PrintOutcome(const Source::Outcome& outcome) {
  if (outcome.error) launcher::PrintError(*outcome.error);
  return outcome.status == kWrongValue ? 2 : 1;
}

}  // namespace cellrun::history
