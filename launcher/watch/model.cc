// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/model.h"

#include <algorithm>

#include "launcher/watch/details.h"

namespace cellrun::watch {
namespace {

constexpr std::chrono::seconds kSecond{1};
constexpr std::size_t kSummaryBytes = 1024;
constexpr int kConflict = 409;
constexpr int kNotFound = 404;

std::string Summary(const Ask& ask, Charset charset) {
  std::string summary;
  std::size_t left = kSummaryBytes;
  for (const std::string& argument : ask.argv) {
    if (!summary.empty()) summary += ' ';
    if (argument.size() > left) {
      const std::string mark = charset == Charset::kUtf8 ? "…" : "...";
      return summary + DisplaySafe(std::string_view(argument).substr(0, left), charset) + mark +
             " (" + std::to_string(ask.argv_bytes) + " bytes)";
    }
    summary += DisplayQuoted(argument, charset);
    left -= argument.size();
  }
  return summary;
}

std::string Fate(const Ask& ask, Charset charset) {
  std::string fate = DisplaySafe(ask.state, charset);
  if (!ask.answered_by.empty()) fate += " by " + DisplaySafe(ask.answered_by, charset);
  return fate;
}

}  // namespace

Model::Model(Charset charset, std::size_t rows, std::size_t columns, Moment now)
    : charset_(charset), rows_(rows), columns_(columns) {
  Guard(now);
  Layout();
}

// ---- what is heard of the broker

void Model::Connected(Moment now) {
  connected_ = true;
  listed_from_ = now + kFirstList;
  trouble_.clear();
  Say("");
  Guard(now);
}

void Model::Disconnected(const std::string& why, Moment next_try, Moment now) {
  const bool was_connected = std::exchange(connected_, false);
  trouble_ = DisplaySafe(why, charset_);
  next_try_ = next_try;
  under_way_.clear();
  orders_.clear();
  if (!was_connected && entries_.empty()) return;
  entries_.clear();
  news_.clear();
  read_.clear();
  selected_ = 0;
  next_move_ = now;
  mode_ = Mode::kList;
  ShowSelected(false);
  Guard(now);
}

void Model::Heard(Ask ask, Moment now) {
  if (Entry* entry = Find(ask.id)) {
    Update(*entry, std::move(ask), now);
    return;
  }
  const auto unlisted = std::find_if(news_.begin(), news_.end(),
                                     [&](const Entry& entry) { return entry.ask.id == ask.id; });
  if (unlisted != news_.end() && !ask.pending()) {
    news_.erase(unlisted);
  } else if (unlisted != news_.end()) {
    *unlisted = NewEntry(std::move(ask), now);
  } else if (ask.pending()) {
    news_.push_back(NewEntry(std::move(ask), now));
  }
}

void Model::Update(Entry& entry, Ask ask, Moment now) {
  const bool shown = &entry == Selected();
  entry.answering = false;
  if (!ask.pending()) {
    entry.fate = Fate(ask, charset_);
    entry.ask.state = ask.state;
    if (shown && mode_ != Mode::kList) Say("this ask is over: " + entry.fate, Style::kWarning);
    return;
  }
  if (entry.loaded && ask.digest == entry.ask.digest) {
    // The whole form stays; what may change under the same digest is taken over.
    entry.ask.waiting = ask.waiting;
    entry.ask.approved_by = ask.approved_by;
    entry.ask.state = ask.state;
    entry.expires = now + ask.left;
  } else {
    entry = NewEntry(std::move(ask), now);
    if (shown) Guard(now);
  }
  entry.fate.clear();
  if (shown) ShowSelected(true);
}

void Model::Loaded(std::uint64_t number, Ask ask, Moment now) {
  const std::optional<Order> order = Finish(number);
  Entry* entry = order ? Find(order->answer.id) : nullptr;
  if (entry == nullptr || ask.id != order->answer.id) return;
  const bool changed = ask.digest != entry->ask.digest;
  const bool shown = entry == Selected();
  if (!ask.pending()) {
    entry->fate = Fate(ask, charset_);
    return;
  }
  const bool answering = entry->answering;
  *entry = NewEntry(std::move(ask), now);
  entry->loaded = true;
  entry->answering = answering;
  if (!shown) return;
  if (changed) Guard(now);
  ShowSelected(!changed);
}

void Model::Previewed(std::uint64_t number, Preview preview, Moment now) {
  const std::optional<Order> order = Finish(number);
  if (!order || number != preview_number_ || mode_ != Mode::kConfirm) return;
  preview_ = std::move(preview);
  confirm_.Show(ConfirmLines());
  Guard(now);
}

void Model::Answered(std::uint64_t number, Moment now) {
  const std::optional<Order> order = Finish(number);
  if (!order) return;
  const Answer& answer = order->answer;
  std::string said = answer.approve ? "approved" : "denied";
  if (answer.argv) said += " as edited";
  if (answer.scope != "once") said += " and remembered (" + answer.scope + ")";
  Say(DisplaySafe(answer.id, charset_) + ": " + said, Style::kGood);
  // What has become of the ask, and whether it goes on for another process or approver, is said by
  // the stream.
  Tick(now);
}

void Model::Failed(std::uint64_t number, int status, const std::string& why, Moment now) {
  const std::optional<Order> order = Finish(number);
  if (!order) return;
  const std::string reason = DisplaySafe(why, charset_);
  Entry* entry = Find(order->answer.id);
  if (order->kind == Order::Kind::kLoad) {
    if (entry != nullptr) entry->loading = false;
    if (entry != nullptr && status == kNotFound) entry->fate = "gone";
    if (entry == Selected()) Say("cannot show it whole: " + reason, Style::kBad);
    return;
  }
  if (order->kind == Order::Kind::kPreview && number != preview_number_) return;
  if (entry != nullptr) entry->answering = false;
  BackToList(now);
  Say((status == kConflict ? "NOT ANSWERED: " : "failed: ") + reason, Style::kBad);
  if (status != kConflict || entry == nullptr) return;
  // What was on the screen is not what is asked any more: shown anew, and to be read anew.
  read_.erase(ReadKey(entry->ask));
  entry->loaded = false;
  entry->loading = true;
  Give(Order::Kind::kLoad, Answer{.id = entry->ask.id});
  if (entry == Selected()) ShowSelected(false);
  Guard(now);
}

// ---- the list

Model::Entry Model::NewEntry(Ask ask, Moment now) const {
  Entry entry;
  entry.expires = now + ask.left;
  entry.summary = Summary(ask, charset_);
  entry.ask = std::move(ask);
  return entry;
}

Model::Entry* Model::Selected() {
  return selected_ < entries_.size() ? &entries_[selected_] : nullptr;
}
const Model::Entry* Model::Selected() const {
  return selected_ < entries_.size() ? &entries_[selected_] : nullptr;
}

Model::Entry* Model::Find(const std::string& id) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&id](const Entry& entry) { return entry.ask.id == id; });
  return found == entries_.end() ? nullptr : &*found;
}

bool Model::WantsToMove() const {
  return !news_.empty() || std::any_of(entries_.begin(), entries_.end(),
                                       [](const Entry& entry) { return !entry.fate.empty(); });
}

Moment Model::NextMove() const {
  return entries_.empty() ? listed_from_ : std::max(next_move_, listed_from_);
}

void Model::MoveList(Moment now) {
  // The ask that was selected, or the next one that stays.
  std::string selected;
  for (std::size_t i = selected_; i < entries_.size() && selected.empty(); ++i) {
    if (entries_[i].fate.empty()) selected = entries_[i].ask.id;
  }
  const bool stays = Selected() != nullptr && Selected()->fate.empty();
  std::erase_if(entries_, [](const Entry& entry) { return !entry.fate.empty(); });
  std::move(news_.begin(), news_.end(), std::back_inserter(entries_));
  news_.clear();
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&selected](const Entry& entry) {
    return entry.ask.id == selected;
  });
  if (at != entries_.end()) {
    selected_ = static_cast<std::size_t>(at - entries_.begin());
  } else {
    selected_ = entries_.empty() ? 0 : std::min(selected_, entries_.size() - 1);
  }
  next_move_ = now + kMoveInterval;
  ShowSelected(stays);
  Guard(now);
}

void Model::Tick(Moment now) {
  for (Entry& entry : entries_) {
    if (entry.fate.empty() && entry.expires <= now) entry.fate = "out of time";
  }
  std::erase_if(news_, [now](const Entry& entry) { return entry.expires <= now; });
  if (mode_ != Mode::kList || !WantsToMove()) return;
  if (now >= NextMove()) MoveList(now);
}

Moment Model::NextTick(Moment now) const {
  Moment next = now + std::chrono::hours(1);
  if (!entries_.empty() || !connected_) next = now + kSecond;
  if (mode_ == Mode::kList && WantsToMove()) next = std::min(next, std::max(now, NextMove()));
  if (guard_until_ > now) next = std::min(next, guard_until_);
  return next;
}

// ---- what is on the screen

void Model::Say(std::string text, Style style) {
  message_ = std::move(text);
  message_style_ = style;
}

void Model::Resize(std::size_t rows, std::size_t columns, Moment now) {
  rows_ = rows;
  columns_ = columns;
  Guard(now);
  ShowSelected(false);
  if (mode_ == Mode::kConfirm) confirm_.Show(ConfirmLines());
}

// Heights follow from the window and the mode.
void Model::Layout() {
  constexpr std::size_t kFrame = 4;  // title, ruler, message, keys
  const std::size_t room = rows_ > kFrame + 1 ? rows_ - kFrame : 1;
  const bool with_list = mode_ == Mode::kList || mode_ == Mode::kReason || mode_ == Mode::kEdit;
  const std::size_t listed = with_list ? ListRows() : 0;
  pager_.SetHeight(room > listed ? room - listed : 1);
  confirm_.SetHeight(room);
  first_shown_ = std::min(first_shown_, selected_);
  if (listed > 0 && selected_ >= first_shown_ + listed) first_shown_ = selected_ + 1 - listed;
  if (entries_.size() <= listed) first_shown_ = 0;
}

void Model::ShowSelected(bool keep_place) {
  Entry* entry = Selected();
  Layout();
  if (entry == nullptr) {
    pager_.Show({});
    shown_.clear();
    return;
  }
  // Megabytes are wrapped once.
  const Ask& ask = entry->ask;
  std::string shown = ReadKey(ask) + " " + std::to_string(columns_) + " " +
                      std::to_string(ask.waiting) + " " + std::to_string(ask.approved_by.size()) +
                      (entry->loaded ? " whole" : " short");
  if (shown == shown_) {
    if (!keep_place) pager_.ToStart();
  } else if (keep_place) {
    pager_.Replace(DetailLines(ask, columns_, charset_));
  } else {
    pager_.Show(DetailLines(ask, columns_, charset_));
  }
  shown_ = std::move(shown);
  if (!entry->loaded && !entry->loading && entry->fate.empty()) {
    entry->loading = true;
    Give(Order::Kind::kLoad, Answer{.id = entry->ask.id});
  }
  NoteReading();
}

std::uint64_t Model::Give(Order::Kind kind, Answer answer) {
  Order order{.kind = kind, .number = ++last_number_, .answer = std::move(answer)};
  if (kind != Order::Kind::kQuit) under_way_[order.number] = order;
  orders_.push_back(std::move(order));
  return last_number_;
}

std::optional<Order> Model::Finish(std::uint64_t number) {
  const auto found = under_way_.find(number);
  if (found == under_way_.end()) return std::nullopt;
  Order order = std::move(found->second);
  under_way_.erase(found);
  return order;
}

}  // namespace cellrun::watch
