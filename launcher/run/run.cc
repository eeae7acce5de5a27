// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/run.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <variant>

#include "launcher/cell/cell.h"
#include "launcher/client/error_form.h"
#include "launcher/client/launch_connection.h"
#include "launcher/run/negotiation.h"
#include "launcher/run/report.h"
#include "launcher/run/request.h"
#include "launcher/run/session.h"
#include "launcher/run/workspace.h"
#include "launcher/terminal/streams.h"
#include "lib/sys/file.h"
#include "lib/wire/launch.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

constexpr int kOutputEnded = 123;
constexpr int kTimedOut = 124;
constexpr int kCellrunFailed = 125;
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kSignalled = 128;

int Fail(const ErrorForm& error) {
  PrintError(error);
  return kCellrunFailed;
}

int CommandStatus(const wire::ExitReport& exit, const RunOptions& options,
                  const wire::CellPlan& plan) {
  if (exit.timed_out) {
    PrintError(
        {"the time limit was reached",
         std::to_string(std::chrono::duration_cast<std::chrono::seconds>(plan.time_limit).count()) +
             " s",
         "--time"});
    return kTimedOut;
  }
  if (exit.output_ended) {
    PrintError({"the output limit was reached",
                std::to_string(plan.output_bytes) + " bytes were printed, and there was more",
                "limits.output of the profile"});
    return kOutputEnded;
  }
  if (exit.memory_kills > 0) {
    PrintNote("memory ran out: the kernel ended " + std::to_string(exit.memory_kills) +
              (exit.memory_kills == 1 ? " process" : " processes") +
              " of the cell (limits.memory of the profile)");
  }
  if (!exit.lost.empty()) return Fail({"the cell ended before the command did", exit.lost, ""});
  if (exit.exec_error != 0) {
    PrintError({"cannot execute " + options.argv[0], ErrnoText(exit.exec_error), ""});
    return exit.exec_error == ENOENT ? kNotFound : kNotExecutable;
  }
  return WIFSIGNALED(exit.wait_status) ? kSignalled + WTERMSIG(exit.wait_status)
                                       : WEXITSTATUS(exit.wait_status);
}

// Where a layer is missing that the profile requires, the child gives up and the broker ends the
// cell, in any order; the broker knows which line requires it.
ErrorForm BrokersReason(const LaunchConnection& connection, ErrorForm otherwise) {
  constexpr std::chrono::milliseconds kAnswer{2000};
  const Result<sys::Message> message = connection.ReceiveWithin(kAnswer);
  if (!message.ok()) return otherwise;
  const Result<nlohmann::json> json = wire::ParseStrictJson(message->bytes);
  if (!json.ok()) return otherwise;
  const Result<wire::ExitReport> exit = wire::DecodeExitReport(*json);
  if (exit.ok() && !exit->lost.empty()) return {"the cell cannot start", exit->lost, ""};
  const Result<wire::Refusal> refusal = wire::DecodeRefusal(*json);
  if (refusal.ok()) return {refusal->what, refusal->cause, refusal->suggest};
  return otherwise;
}

// From the plan to the end of the command. The exit status of this process.
int RunPlanned(const RunOptions& options, Planned planned, std::optional<RunReport> report) {
  for (const std::string& warning : planned.plan.warnings) PrintNote(warning);
  StartedCell& cell = planned.cell;
  // No command is judged before the broker has read this message.
  const HeldSignals signals;
  const int pidfd = cell.init.pidfd().get();
  const wire::Started message{.pid = cell.init.pid(), .lost_layers = FindLostLayers(planned.plan)};
  const Result<void> told = planned.connection.Send(wire::Encode(message), std::span(&pidfd, 1));
  planned.control.Reset();
  // EPIPE: the cell may already be over, and how it ended lies in our end of the connection.
  if (!told.ok() && told.error().code() != EPIPE)
    return Fail({"the broker is gone", told.error().ToString(), "run the command again"});
  const Outcome<std::vector<std::string>> finished =
      FinishCell(planned.plan, cell, [&] { signals.Await(cell.report); });
  if (const ErrorForm* failed = std::get_if<ErrorForm>(&finished))
    return Fail(message.lost_layers.empty() ? *failed : BrokersReason(planned.connection, *failed));
  for (const std::string& note : std::get<0>(finished)) PrintNote(note);

  const bool filter_output = options.tty != TtyMode::kRaw;
  SessionResult session = RunSession(planned.connection, cell, std::move(planned.streams), signals,
                                     filter_output, planned.plan.output_bytes);
  // The command may have ended before what it had printed was read.
  if (session.report) session.report->output_ended |= session.output_ended;
  int status = kCellrunFailed;
  if (session.ended_by_signal != 0) {
    status = kSignalled + session.ended_by_signal;
  } else if (session.report) {
    status = CommandStatus(*session.report, options, planned.plan);
  } else {
    PrintError({"the cell was stopped", session.lost, "cellrun broker logs"});
  }
  if (report && session.report) {
    const Result<void> written = report->Write(planned.plan, *session.report, status);
    if (!written.ok())
      PrintError({"cannot write the report " + options.report, written.error().ToString(), ""});
  }
  return status;
}

}  // namespace

int Run(const RunOptions& options) {
  const Result<std::array<bool, 3>> were_closed = terminal::FillStandardStreams();
  if (!were_closed.ok())
    return Fail({"the standard streams cannot be used", were_closed.error().ToString(), ""});
  for (const ErrorForm& obstacle : FindObstacles()) return Fail(obstacle);

  Outcome<wire::RunRequest> made = MakeRequest(options);
  if (const ErrorForm* failed = std::get_if<ErrorForm>(&made)) return Fail(*failed);
  wire::RunRequest& request = std::get<wire::RunRequest>(made);

  const terminal::PtyChoice choice = options.tty == TtyMode::kNo     ? terminal::PtyChoice::kNo
                                     : options.tty == TtyMode::kAuto ? terminal::PtyChoice::kAuto
                                                                     : terminal::PtyChoice::kYes;
  Result<terminal::Streams> streams = terminal::ConnectStreams(choice, *were_closed);
  if (!streams.ok())
    return Fail({"cannot connect the command's streams", streams.error().ToString(), ""});

  std::optional<RunReport> report;
  if (!options.report.empty()) {
    std::variant<RunReport, ErrorForm> opened = RunReport::Open(options.report, request.workspace);
    if (const ErrorForm* failed = std::get_if<ErrorForm>(&opened)) return Fail(*failed);
    report = std::move(std::get<RunReport>(opened));
  }

  Outcome<Planned> planned = Negotiate(std::move(request), std::move(streams).value());
  if (const ErrorForm* failed = std::get_if<ErrorForm>(&planned)) return Fail(*failed);
  return RunPlanned(options, std::move(std::get<Planned>(planned)), std::move(report));
}

}  // namespace cellrun::launcher
