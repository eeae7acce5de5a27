// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "launcher/watch/details.h"
#include "launcher/watch/model.h"

namespace cellrun::watch {
namespace {

constexpr std::size_t kCellColumns = 12, kRuleColumns = 16, kTimerColumns = 6;

std::string Clock(std::chrono::milliseconds left) {
  const auto seconds = std::max<std::int64_t>(0, (left.count() + 999) / 1000);
  const auto two = [](std::int64_t number) {
    return (number < 10 ? "0" : "") + std::to_string(number);
  };
  if (seconds >= 3600) {
    return std::to_string(seconds / 3600) + "h" + two(seconds / 60 % 60);
  }
  return std::to_string(seconds / 60) + ":" + two(seconds % 60);
}

std::string AtZero(const Ask& ask) {
  if (ask.on_timeout == "allow") return "then ALLOWED";
  return "then denied";
}

std::string Duration(std::chrono::milliseconds time) {
  const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(time).count();
  if (minutes == 0) return "as long as is usual";
  if (minutes >= 24 * 60) return std::to_string(minutes / (24 * 60)) + " d";
  return minutes >= 60 ? std::to_string(minutes / 60) + " h" : std::to_string(minutes) + " min";
}

}  // namespace

std::size_t Model::ListRows() const {
  const std::size_t most = std::clamp<std::size_t>(rows_ / 4, 3, 12);
  return std::clamp<std::size_t>(entries_.size(), 1, most);
}

std::string Model::LeftText(const Entry& entry, Moment now) {
  if (!entry.fate.empty()) return "over";
  if (entry.answering) return "sent";
  return Clock(std::chrono::duration_cast<std::chrono::milliseconds>(entry.expires - now));
}

Line Model::TitleLine(Moment now) const {
  std::string text = "cellrun approvals: ";
  if (!connected_) {
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(next_try_ - now);
    return {Span{text, Style::kStrong},
            Span{"NO BROKER (" + trouble_ + "), trying again in " + Clock(wait), Style::kBad}};
  }
  const auto listed = std::count_if(entries_.begin(), entries_.end(),
                                    [](const Entry& entry) { return entry.fate.empty(); });
  const std::size_t waiting = static_cast<std::size_t>(listed) + news_.size();
  text += waiting == 0 ? "nothing waits" : std::to_string(waiting) + " waiting";
  if (!news_.empty()) text += " (" + std::to_string(news_.size()) + " not listed yet)";
  return {Span{text, Style::kStrong}};
}

Line Model::EntryLine(const Entry& entry, bool selected, Moment now) const {
  const Style style = selected ? Style::kSelected : Style::kPlain;
  std::string text = selected ? "> " : "  ";
  text += Fit(LeftText(entry, now), kTimerColumns, charset_) + " ";
  text += Fit(DisplaySafe(entry.ask.cell, charset_), kCellColumns, charset_) + " ";
  text += Fit(RuleText(entry.ask, charset_), kRuleColumns, charset_) + " ";
  const std::size_t used = 2 + kTimerColumns + 1 + kCellColumns + 1 + kRuleColumns + 1;
  const std::size_t room = columns_ > used ? columns_ - used : 1;
  text += Fit(entry.summary, room, charset_);
  return {Span{std::move(text), style}};
}

Line Model::RulerLine(Moment now) const {
  const char* dash = charset_ == Charset::kUtf8 ? "─" : "-";
  std::string text = std::string(dash) + dash + " ";
  const Entry* entry = Selected();
  if (mode_ == Mode::kConfirm) text += "confirm ";
  if (entry != nullptr) {
    text += DisplaySafe(entry->ask.id, charset_) + ": ";
    text += entry->fate.empty() ? LeftText(*entry, now) + " left, " + AtZero(entry->ask)
                                : "over, " + entry->fate;
    text += " ";
  }
  const Pager& pager = mode_ == Mode::kConfirm ? confirm_ : pager_;
  if (pager.size() > pager.height()) {
    text += std::string(dash) + " rows " + std::to_string(pager.top() + 1) + "-" +
            std::to_string(pager.bottom()) + " of " + std::to_string(pager.size()) + " ";
  }
  text = CutMiddle(text, columns_, charset_);
  for (std::size_t at = Columns(text); at < columns_; ++at) text += dash;
  return {Span{std::move(text), Style::kFaint}};
}

Line Model::KeysLine() const {
  std::string keys;
  if (mode_ == Mode::kReason || mode_ == Mode::kEdit) {
    keys = mode_ == Mode::kReason ? "Enter: deny with this reason" : "Enter: look at it again";
    keys += "  Esc: back";
  } else if (mode_ == Mode::kConfirm) {
    keys = "y: yes  n: back";
    if (!unread_ && wanted_ != Wanted::kEdited) {
      keys += draft_.approve ? "  w: pin/any image  t: how long" : "  t: how long";
    }
  } else if (columns_ >= 78) {
    keys = "y once s cell p project n deny N remember r reason e edit ";
    keys += mode_ == Mode::kDetails ? "v list q leave" : "v view q leave";
  } else {
    keys = "y s p approve  n N r deny  e edit  v view  q leave";
  }
  return {Span{CutMiddle(keys, columns_, charset_), Style::kFaint}};
}

std::vector<Line> Model::ConfirmLines() const {
  Sheet sheet(columns_, charset_);
  if (wanted_ == Wanted::kEdited) {
    const std::vector<std::string>& after = draft_.argv ? *draft_.argv : before_edit_;
    sheet.Add("asked for", DisplayArguments(before_edit_, charset_));
    sheet.Add("would run", DisplayArguments(after, charset_), Style::kStrong);
    for (std::size_t i = 0; i < after.size(); ++i) {
      sheet.Add("  [" + std::to_string(i) + "]", DisplayQuoted(after[i], charset_));
    }
    if (!draft_.argv) sheet.Add("", "nothing was changed");
    sheet.Add("", "y approves it once as it stands here.");
    return sheet.Take();
  }
  sheet.Add("saves", std::string(draft_.approve ? "ALLOW" : "DENY") + ", for this " + draft_.scope,
            Style::kStrong);
  sheet.Add("image", draft_.widen ? "! whatever image the rule's program has" : "only this hash",
            draft_.widen ? Style::kWarning : Style::kPlain);
  sheet.Add("lasts", Duration(draft_.lasts));
  if (!preview_) {
    sheet.Add("rule", "asking the broker for it");
    return sheet.Take();
  }
  sheet.Add("expires",
            preview_->expires.empty() ? "! NEVER" : DisplaySafe(preview_->expires, charset_),
            preview_->expires.empty() ? Style::kWarning : Style::kPlain);
  if (!preview_->file.empty()) sheet.AddRaw("file", preview_->file);
  sheet.AddText("rule", preview_->rule);
  sheet.Add("matches",
            preview_->matches_total == 0
                ? "nothing else that the journal has"
                : "also " + std::to_string(preview_->matches_total) + " commands of the journal:",
            preview_->matches_total == 0 ? Style::kPlain : Style::kWarning);
  for (const auto& argv : preview_->matches) {
    sheet.Add("", CutMiddle(DisplayArguments(argv, charset_), 2 * sheet.room(), charset_));
  }
  if (preview_->matches.size() < preview_->matches_total) {
    sheet.Add(
        "", "and " + std::to_string(preview_->matches_total - preview_->matches.size()) + " more");
  }
  return sheet.Take();
}

void Model::DrawPager(const Pager& pager, std::vector<Line>& lines) const {
  const std::size_t end = lines.size() + pager.height();
  for (std::size_t row = pager.top(); row < pager.bottom(); ++row) lines.push_back(pager.at(row));
  if (pager.bottom() < pager.size() && !lines.empty()) {
    const std::size_t more = pager.size() - pager.bottom() + 1;
    lines.back() = {Span{"  " + std::to_string(more) + " more rows: Space", Style::kWarning}};
  }
  lines.resize(end);
}

Screen Model::Draw(Moment now) const {
  Screen screen;
  if (TooSmall()) {
    const std::string text = "too small: " + std::to_string(columns_) + "x" +
                             std::to_string(rows_) + ", needs " + std::to_string(kLeastColumns) +
                             "x" + std::to_string(kLeastRows);
    screen.lines.push_back({Span{CutMiddle(text, columns_, charset_), Style::kWarning}});
    screen.lines.resize(std::max<std::size_t>(rows_, 1));
    return screen;
  }
  screen.lines.push_back(TitleLine(now));
  const bool text_mode = mode_ == Mode::kReason || mode_ == Mode::kEdit;
  if (mode_ == Mode::kList || text_mode) {
    const std::size_t listed = ListRows();
    for (std::size_t row = 0; row < listed; ++row) {
      const std::size_t index = first_shown_ + row;
      if (index < entries_.size()) {
        screen.lines.push_back(EntryLine(entries_[index], index == selected_, now));
      } else {
        screen.lines.emplace_back();
      }
    }
  }
  screen.lines.push_back(RulerLine(now));
  DrawPager(mode_ == Mode::kConfirm ? confirm_ : pager_, screen.lines);
  if (text_mode) {
    const std::string prompt = mode_ == Mode::kReason ? "reason: " : "run: ";
    const auto window = editor_.Draw(columns_ - prompt.size() - 1, charset_);
    screen.cursor = {screen.lines.size(), prompt.size() + window.cursor};
    screen.lines.push_back({Span{prompt, Style::kStrong}, Span{window.safe}});
  } else {
    screen.lines.push_back({Span{CutMiddle(message_, columns_, charset_), message_style_}});
  }
  screen.lines.push_back(KeysLine());
  return screen;
}

}  // namespace cellrun::watch
