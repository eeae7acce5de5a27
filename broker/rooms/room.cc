// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/room.h"

#include <utility>

#include "broker/rooms/rooms.h"
#include "lib/base/log.h"

namespace cellrun::rooms {

Room::Room(Rooms& rooms, std::uint64_t number, exec::Waiter waiter, std::unique_ptr<Errand> errand)
    : rooms_(rooms),
      number_(number),
      waiter_(std::move(waiter)),
      errand_(std::move(errand)),
      watch_(rooms.services().loop.WatchReadable(waiter_.channel, [this] { OnReadable(); })) {}

void Room::Wait(const std::string& text, std::chrono::milliseconds left) {
  if (closed_) return;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
  // A message that is lost: the process is gone, which is learnt from the channel.
  (void)exec::SendWait(waiter_.channel, text, static_cast<std::int32_t>(seconds));
}

void Room::Execute(const exec::ShimCommand& command, std::shared_ptr<const exec::Sealed> sealed) {
  if (closed_) return;
  waiter_.desk->Grant(waiter_.pid, waiter_.ticket, std::move(sealed));
  const Result<void> sent = exec::SendCommand(waiter_.channel, command);
  const int failed = sent.ok() ? 0 : sent.error().code();
  if (failed == 0 || failed == EPIPE || failed == ECONNRESET) return;  // it has gone
  log::Warn("an approved command could not be handed over", {{"error", sent.error().ToString()}});
  Leave("cellrun: the approved command could not be handed over: " +
        ErrnoText(sent.error().code()) + "\n");
}

void Room::Leave(const std::string& text, int status) {
  if (closed_) return;
  waiter_.desk->Grant(waiter_.pid, waiter_.ticket, nullptr);
  (void)exec::SendExplanation(waiter_.channel, text, status);  // gone: it needs none
  Close();
}

void Room::HandOver(std::shared_ptr<exec::AskedExec> approved) {
  if (closed_) return;
  const exec::Admit& elsewhere = rooms_.services().elsewhere;
  if (elsewhere == nullptr) return Leave("cellrun: it cannot run elsewhere\n");
  waiter_.desk->Grant(waiter_.pid, waiter_.ticket, nullptr);
  watch_.reset();
  waiter_.asked = std::move(approved);
  elsewhere(std::move(waiter_));
  closed_ = true;
  rooms_.Remove(number_);
}

void Room::Become(std::unique_ptr<Errand> errand) {
  // The caller is one of the old errand's own methods.
  rooms_.services().loop.Post(
      [old = std::shared_ptr<Errand>(std::exchange(errand_, std::move(errand)))] {});
  errand_->Begin(*this);
}

void Room::OnReadable() {
  const Result<exec::ShimReport> report = exec::ReceiveReport(waiter_.channel);
  if (!report.ok() && report.error().code() == EAGAIN) return;
  if (report.ok() && !report->ended) return errand_->OnExecFailed(*this, report->failed);
  // What it says cannot be understood: not the shim any more, whatever it is.
  errand_->OnLeft(*this);
  Close();
}

void Room::Close() {
  if (closed_) return;
  closed_ = true;
  watch_.reset();
  waiter_.channel.Reset();
  rooms_.Remove(number_);
}

}  // namespace cellrun::rooms
