// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "launcher/watch/details.h"
#include "launcher/watch/model.h"
#include "lib/base/text.h"

namespace cellrun::watch {
namespace {

constexpr std::size_t kMaxEditedBytes = 4096;
// How long a remembered rule lasts, for `t` to go through; 0: what the broker takes by itself.
constexpr std::array kDurations = {std::chrono::milliseconds(0),
                                   std::chrono::milliseconds(std::chrono::minutes(10)),
                                   std::chrono::milliseconds(std::chrono::hours(1)),
                                   std::chrono::milliseconds(std::chrono::hours(24))};

// Letters that do what a key without a letter does.
Key::Kind Meaning(const Key& key) {
  if (key.kind != Key::Kind::kCharacter) return key.kind;
  switch (key.character) {
    case 'k':
      return Key::Kind::kUp;
    case 'j':
      return Key::Kind::kDown;
    case 'g':
      return Key::Kind::kHome;
    case 'G':
      return Key::Kind::kEnd;
    case ' ':
      return Key::Kind::kPageDown;
    case 'b':
      return Key::Kind::kPageUp;
    default:
      return Key::Kind::kCharacter;
  }
}

char32_t Letter(const Key& key) {
  return key.kind == Key::Kind::kCharacter ? key.character : 0;
}

}  // namespace

void Model::Press(const Key& key, Moment now) {
  if (TooSmall()) {  // nothing to answer is on the screen
    if (Letter(key) == 'q' && !key.pasted) Give(Order::Kind::kQuit, {});
    return;
  }
  if (mode_ == Mode::kReason || mode_ == Mode::kEdit) return PressInText(key, now);
  if (key.pasted) return;  // what was pasted was not meant as an answer
  if (now < guard_until_) {
    Say("key ignored: the screen had just changed", Style::kWarning);
    return;
  }
  switch (mode_) {
    case Mode::kList:
      return PressInList(key, now);
    case Mode::kDetails:
      return PressInDetails(key, now);
    default:
      return PressInConfirm(key, now);
  }
}

void Model::PressInList(const Key& key, Moment now) {
  const std::size_t last = entries_.empty() ? 0 : entries_.size() - 1;
  switch (Meaning(key)) {
    case Key::Kind::kUp:
      return Select(selected_ > 0 ? selected_ - 1 : 0, now);
    case Key::Kind::kDown:
      return Select(std::min(selected_ + 1, last), now);
    case Key::Kind::kHome:
      return Select(0, now);
    case Key::Kind::kEnd:
      return Select(last, now);
    case Key::Kind::kPageUp:
    case Key::Kind::kPageDown:
      Scroll(pager_, key);
      return NoteReading();
    default:
      break;
  }
  if (Letter(key) == 'q') {
    Give(Order::Kind::kQuit, {});
  } else if (Letter(key) == 'v' && Selected() != nullptr) {
    mode_ = Mode::kDetails;
    Say("");
    ShowSelected(false);
  } else {
    PressToDecide(Letter(key), now);
  }
}

void Model::PressInDetails(const Key& key, Moment now) {
  if (Letter(key) == 'q') {
    Give(Order::Kind::kQuit, {});
  } else if (Letter(key) == 'v' || key.kind == Key::Kind::kEscape) {
    BackToList(now);
    Say("");
  } else if (Meaning(key) != Key::Kind::kCharacter) {
    Scroll(pager_, key);
    NoteReading();
  } else {
    PressToDecide(Letter(key), now);
  }
}

void Model::Select(std::size_t index, Moment now) {
  if (index == selected_ || index >= entries_.size()) return;
  selected_ = index;
  // The person's own move: further moves count, an answer only after a look.
  answer_guard_until_ = now + kGuard;
  Say("");
  ShowSelected(false);
}

void Model::Scroll(Pager& pager, const Key& key) {
  // One row stays, to read on from.
  const long page = pager.height() > 1 ? static_cast<long>(pager.height()) - 1 : 1;
  switch (Meaning(key)) {
    case Key::Kind::kUp:
      return pager.Move(-1);
    case Key::Kind::kDown:
      return pager.Move(1);
    case Key::Kind::kPageUp:
      return pager.Move(-page);
    case Key::Kind::kPageDown:
      return pager.Move(page);
    case Key::Kind::kHome:
      return pager.ToStart();
    case Key::Kind::kEnd:
      return pager.ToEnd();
    default:
      return;
  }
}

void Model::NoteReading() {
  const Entry* entry = Selected();
  if (entry != nullptr && entry->loaded && pager_.AllRead()) read_.insert(ReadKey(entry->ask));
}

void Model::BackToList(Moment now) {
  mode_ = Mode::kList;
  preview_.reset();
  unread_ = false;
  ShowSelected(false);
  Tick(now);
}

// ---- answers

void Model::PressToDecide(char32_t key, Moment now) {
  constexpr std::u32string_view kKeys = U"yspnNre";
  if (key == 0 || kKeys.find(key) == std::u32string_view::npos || !MayAnswer(now)) return;
  const Ask& ask = Selected()->ask;
  switch (key) {
    case 'y':
      return Approve(Wanted::kOnce, now);
    case 's':
      return Approve(Wanted::kCell, now);
    case 'p':
      return Approve(Wanted::kProject, now);
    case 'e':
      return Approve(Wanted::kEdited, now);
    case 'n':
      return Send(Answer{.id = ask.id, .digest = ask.digest});
    case 'r':
      mode_ = Mode::kReason;
      editor_ = LineEditor();
      return Layout();
    default:
      wanted_ = Wanted::kDenyAlways;
      draft_ = Answer{.id = ask.id, .digest = ask.digest, .scope = "project"};
      return AskForPreview(now);
  }
}

bool Model::MayAnswer(Moment now) {
  const Entry* entry = Selected();
  if (entry == nullptr) return false;
  if (now < answer_guard_until_) {
    Say("key ignored: the selection had just moved", Style::kWarning);
  } else if (!entry->fate.empty()) {
    Say("this ask is over: " + entry->fate, Style::kWarning);
  } else if (entry->answering) {
    Say("the answer is on its way", Style::kWarning);
  } else if (!connected_) {
    Say("no broker to tell it", Style::kWarning);
  } else {
    Say("");
    return true;
  }
  return false;
}

void Model::Approve(Wanted wanted, Moment now) {
  const Entry& entry = *Selected();
  const Ask& ask = entry.ask;
  wanted_ = wanted;
  if (!entry.loaded) return Say("not all of it is here yet", Style::kWarning);
  if (!read_.contains(ReadKey(ask)) && !pager_.EndSeen()) {
    return Say("it does not fit: Space pages on (v: whole screen); approve it at its end",
               Style::kWarning);
  }
  if (!read_.contains(ReadKey(ask))) {
    unread_ = true;
    Sheet sheet(columns_, charset_);
    sheet.Add("! unread",
              std::to_string(pager_.Unread()) + " of " + std::to_string(pager_.size()) +
                  " rows were not on the screen.",
              Style::kBad);
    sheet.Add("", "y goes on without them, any other key goes back.");
    return OpenConfirmation(sheet.Take(), now);
  }
  if (wanted == Wanted::kOnce) {
    return Send(Answer{.id = ask.id, .digest = ask.digest, .approve = true});
  }
  if (wanted == Wanted::kEdited) return StartEditing(now);
  if (!ask.rememberable) {
    BackToList(now);
    return Say("this rule asks each time: only y and n", Style::kWarning);
  }
  draft_ = Answer{.id = ask.id,
                  .digest = ask.digest,
                  .approve = true,
                  .scope = wanted == Wanted::kCell ? "cell" : "project"};
  AskForPreview(now);
}

void Model::StartEditing(Moment now) {
  const Ask& ask = Selected()->ask;
  const std::string line = DisplayArguments(ask.argv, charset_);
  if (line.size() > kMaxEditedBytes) {
    BackToList(now);
    return Say("too long to edit here: cellrun approve --edit " + DisplaySafe(ask.id, charset_),
               Style::kWarning);
  }
  before_edit_ = ask.argv;
  draft_ = Answer{.id = ask.id, .digest = ask.digest, .approve = true};
  editor_ = LineEditor(line);
  mode_ = Mode::kEdit;
  Layout();
}

void Model::PressInText(const Key& key, Moment now) {
  if (key.kind == Key::Kind::kEscape) {
    BackToList(now);
    Say("nothing was answered");
  } else if (key.kind == Key::Kind::kEnter) {
    if (!key.pasted) TakeText(now);
  } else {
    editor_.Press(key);
  }
}

void Model::TakeText(Moment now) {
  const Entry* entry = Selected();
  if (mode_ == Mode::kReason) {
    mode_ = Mode::kList;
    if (entry == nullptr || !MayAnswer(now)) return BackToList(now);
    Send(Answer{.id = entry->ask.id, .digest = entry->ask.digest, .reason = editor_.text()});
    return BackToList(now);
  }
  auto words = ParseArguments(editor_.text());
  if (!words || words->empty()) {
    return Say(words ? "there is nothing to run" : "a quote or an escape is not closed",
               Style::kWarning);
  }
  const bool is_text = std::all_of(words->begin(), words->end(),
                                   [](const std::string& word) { return text::IsUtf8(word); });
  if (*words == before_edit_) {
    draft_.argv.reset();
  } else if (is_text) {
    draft_.argv = std::move(*words);
  } else {
    return Say("bytes that are not UTF-8 cannot be answered with", Style::kWarning);
  }
  wanted_ = Wanted::kEdited;
  OpenConfirmation(ConfirmLines(), now);
}

// ---- confirmations

void Model::OpenConfirmation(std::vector<Line> lines, Moment now) {
  mode_ = Mode::kConfirm;
  Layout();
  confirm_.Show(std::move(lines));
  Guard(now);
}

void Model::AskForPreview(Moment now) {
  draft_.lasts = kDurations[duration_];
  preview_.reset();
  preview_number_ = Give(Order::Kind::kPreview, draft_);
  unread_ = false;
  OpenConfirmation(ConfirmLines(), now);
}

void Model::PressInConfirm(const Key& key, Moment now) {
  const char32_t letter = Letter(key);
  if (unread_) {
    const Wanted wanted = wanted_;
    const Entry* entry = Selected();
    const bool go_on = letter == 'y' && entry != nullptr;
    if (go_on) read_.insert(ReadKey(entry->ask));
    BackToList(now);
    if (go_on && MayAnswer(now)) Approve(wanted, now);
    return;
  }
  const bool saves = wanted_ != Wanted::kEdited;
  if (letter == 'y') {
    Confirm(now);
  } else if (letter == 'n' || letter == 'q' || key.kind == Key::Kind::kEscape) {
    BackToList(now);
    Say("nothing was answered");
  } else if (letter == 'w' && saves && draft_.approve) {
    draft_.widen = !draft_.widen;
    AskForPreview(now);
  } else if (letter == 't' && saves) {
    duration_ = (duration_ + 1) % kDurations.size();
    AskForPreview(now);
  } else {
    Scroll(confirm_, key);
  }
}

void Model::Confirm(Moment now) {
  if (wanted_ != Wanted::kEdited && !preview_) {
    return Say("the rule is not here yet", Style::kWarning);
  }
  if (!confirm_.AllRead()) return Say("Space pages on; confirm it at its end", Style::kWarning);
  const Entry* entry = Selected();
  if (entry == nullptr || entry->ask.id != draft_.id) return BackToList(now);
  Answer answer = draft_;
  const bool may = MayAnswer(now);
  if (may) Send(std::move(answer));
  const std::string said = message_;
  const Style style = message_style_;
  BackToList(now);
  Say(said, style);
}

void Model::Send(Answer answer) {
  Selected()->answering = true;
  Say("answering " + DisplaySafe(answer.id, charset_));
  Give(Order::Kind::kAnswer, std::move(answer));
}

}  // namespace cellrun::watch
