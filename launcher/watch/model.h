// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "launcher/watch/ask.h"
#include "launcher/watch/key.h"
#include "launcher/watch/line_editor.h"
#include "launcher/watch/pager.h"
#include "launcher/watch/screen_text.h"

namespace cellrun::watch {

using Moment = std::chrono::steady_clock::time_point;

// What the person decided, as POST /v1/approvals/ID takes it.
struct Answer {
  std::string id = {}, digest = {};  // of what was on the screen
  bool approve = false;
  std::string scope = "once";
  std::chrono::milliseconds lasts{0};  // 0: what the broker takes by itself
  std::string reason = {};
  std::optional<std::vector<std::string>> argv = {};  // edited
  bool widen = false;
};

struct Preview {
  std::string rule, file = {}, expires = {};
  std::vector<std::vector<std::string>> matches = {};
  std::uint64_t matches_total = 0;
};

// What the model wants done outside of it.
struct Order {
  enum class Kind : std::uint8_t { kLoad, kPreview, kAnswer, kQuit };
  Kind kind = Kind::kQuit;
  std::uint64_t number = 0;  // comes back with the result
  Answer answer;             // kLoad: only its id
};

struct Screen {
  std::vector<Line> lines;
  std::optional<std::pair<std::size_t, std::size_t>> cursor;  // row, column
};

// The full-screen view without its screen: takes events and the time, gives rows of text and
// orders. Nothing in here waits, draws or talks to anybody.
//
// A key may decide only what has been on the screen long enough: for kGuard after the list moved,
// keys are dropped. So that a cell that asks without end cannot keep the keys away, the list moves
// at most once every kMoveInterval.
class Model {
 public:
  static constexpr std::chrono::milliseconds kGuard{500};
  static constexpr std::chrono::milliseconds kMoveInterval{2000};
  // What waits already when the broker is met is listed at once and not bit by bit.
  static constexpr std::chrono::milliseconds kFirstList{100};
  static constexpr std::size_t kLeastRows = 14, kLeastColumns = 50;

  Model(Charset charset, std::size_t rows, std::size_t columns, Moment now);

  // Of the stream of asks, in whatever state they are.
  void Heard(Ask ask, Moment now);
  void Connected(Moment now);
  // Everything that was listed is gone with the broker.
  void Disconnected(const std::string& why, Moment next_try, Moment now);
  // Results of orders.
  void Loaded(std::uint64_t number, Ask ask, Moment now);
  void Previewed(std::uint64_t number, Preview preview, Moment now);
  void Answered(std::uint64_t number, Moment now);
  void Failed(std::uint64_t number, int status, const std::string& why, Moment now);

  void Press(const Key& key, Moment now);
  void Resize(std::size_t rows, std::size_t columns, Moment now);
  // After the process was stopped: nothing on the screen was seen meanwhile.
  void Resumed(Moment now) { Guard(now); }
  // Lets the list move, and timers run out. Call it whenever NextTick has come.
  void Tick(Moment now);
  [[nodiscard]] Moment NextTick(Moment now) const;

  [[nodiscard]] Screen Draw(Moment now) const;
  std::vector<Order> TakeOrders() { return std::exchange(orders_, {}); }

 private:
  enum class Mode : std::uint8_t { kList, kDetails, kConfirm, kReason, kEdit };
  enum class Wanted : std::uint8_t { kOnce, kCell, kProject, kDenyAlways, kEdited };
  struct Entry {
    Ask ask;
    Moment expires;
    std::string summary;     // safe: what the list shows of the command
    bool loaded = false;     // whole, not the list's short form
    bool loading = false;    // asked for
    bool answering = false;  // an answer is on its way
    std::string fate;        // why it leaves when the list next moves; "": it stays
  };

  // model.cc
  [[nodiscard]] Entry* Selected();
  [[nodiscard]] const Entry* Selected() const;
  [[nodiscard]] Entry* Find(const std::string& id);
  [[nodiscard]] Entry NewEntry(Ask ask, Moment now) const;
  void Update(Entry& entry, Ask ask, Moment now);
  void Guard(Moment now) { guard_until_ = now + kGuard; }
  void Say(std::string text, Style style = Style::kPlain);
  void Layout();
  void ShowSelected(bool keep_place);
  [[nodiscard]] bool WantsToMove() const;
  [[nodiscard]] Moment NextMove() const;
  void MoveList(Moment now);
  std::uint64_t Give(Order::Kind kind, Answer answer);
  [[nodiscard]] std::optional<Order> Finish(std::uint64_t number);
  [[nodiscard]] static std::string ReadKey(const Ask& ask) { return ask.id + " " + ask.digest; }

  // model_keys.cc
  void PressInList(const Key& key, Moment now);
  void PressInDetails(const Key& key, Moment now);
  void PressInConfirm(const Key& key, Moment now);
  void PressInText(const Key& key, Moment now);
  void Select(std::size_t index, Moment now);
  static void Scroll(Pager& pager, const Key& key);
  void NoteReading();
  void PressToDecide(char32_t key, Moment now);
  bool MayAnswer(Moment now);
  void Approve(Wanted wanted, Moment now);
  void StartEditing(Moment now);
  void TakeText(Moment now);
  void AskForPreview(Moment now);
  void OpenConfirmation(std::vector<Line> lines, Moment now);
  void Confirm(Moment now);
  void Send(Answer answer);
  void BackToList(Moment now);

  // model_draw.cc
  [[nodiscard]] bool TooSmall() const { return rows_ < kLeastRows || columns_ < kLeastColumns; }
  [[nodiscard]] std::size_t ListRows() const;
  [[nodiscard]] std::vector<Line> ConfirmLines() const;
  [[nodiscard]] Line TitleLine(Moment now) const;
  [[nodiscard]] Line EntryLine(const Entry& entry, bool selected, Moment now) const;
  [[nodiscard]] Line RulerLine(Moment now) const;
  [[nodiscard]] Line KeysLine() const;
  [[nodiscard]] static std::string LeftText(const Entry& entry, Moment now);
  void DrawPager(const Pager& pager, std::vector<Line>& lines) const;

  const Charset charset_;
  std::size_t rows_, columns_;
  bool connected_ = false;
  std::string trouble_ = "connecting";  // why it is not connected
  Moment next_try_{};

  std::vector<Entry> entries_;  // as listed
  std::vector<Entry> news_;     // heard, not listed yet
  std::size_t selected_ = 0, first_shown_ = 0;
  Moment guard_until_{};         // no key counts before
  Moment answer_guard_until_{};  // no answer counts before: the person moved the selection
  Moment next_move_{}, listed_from_{};

  Mode mode_ = Mode::kList;
  Pager pager_;                 // pane or details of the selected ask
  std::string shown_;           // what its lines are of
  std::set<std::string> read_;  // ReadKey of what was read to its end
  std::string message_;
  Style message_style_ = Style::kPlain;

  // What is being confirmed or typed.
  Wanted wanted_ = Wanted::kOnce;
  bool unread_ = false;  // asking only whether what was skipped may stay unread
  Answer draft_;
  std::vector<std::string> before_edit_;
  std::optional<Preview> preview_;
  std::uint64_t preview_number_ = 0;
  std::size_t duration_ = 0;
  Pager confirm_;
  LineEditor editor_;

  std::vector<Order> orders_;
  std::map<std::uint64_t, Order> under_way_;
  std::uint64_t last_number_ = 0;
};

}  // namespace cellrun::watch
