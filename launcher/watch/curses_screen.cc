// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/curses_screen.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string_view>

#include "launcher/watch/terminal_entry.h"
#include "lib/base/text.h"

// After everything else: it defines macros of common names.
#define NCURSES_NOMACROS 1
#include <ncurses.h>
#include <term.h>
#undef lines
#undef columns

namespace cellrun::watch {
namespace {

constexpr std::array kFatalSignals = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
constexpr int kEscapeDelayMs = 25;
constexpr int kPasteBegins = 0x2000, kPasteEnds = 0x2001;
constexpr short kGoodPair = 1, kWarningPair = 2, kBadPair = 3;
// Bracketed paste: terminals that do not know it pass over it.
constexpr std::string_view kMarkPastes = "\033[?2004h", kLeavePastes = "\033[?2004l";

// What a signal handler can reach.
std::atomic<bool> must_restore{false};
termios settings_before;
std::array<char, 128> leave_text;
std::size_t leave_size = 0;

void Put(std::string_view bytes) {
  (void)!write(STDOUT_FILENO, bytes.data(), bytes.size());
}

void RestoreAndDie(int number) {
  if (must_restore.load()) {
    (void)!write(STDOUT_FILENO, leave_text.data(), leave_size);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &settings_before);
  }
  // SA_RESETHAND: the default action follows.
  (void)raise(number);
}

void CatchFatalSignals() {
  struct sigaction action {};
  action.sa_handler = RestoreAndDie;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : kFatalSignals) (void)sigaction(number, &action, nullptr);
}

// A capability without its padding ("$<5>").
std::string Capability(const char* name) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr,cppcoreguidelines-pro-type-cstyle-cast): tigetstr's
  const char* value = tigetstr(const_cast<char*>(name));
  if (value == nullptr || reinterpret_cast<std::intptr_t>(value) == -1) return "";
  std::string text = value;
  for (std::size_t at = text.find("$<"); at != std::string::npos; at = text.find("$<", at)) {
    text.erase(at, text.find('>', at) - at + 1);
  }
  return text;
}

void PrepareLeaving() {
  std::string text(kLeavePastes);
  for (const char* name : {"sgr0", "cnorm", "rmcup"}) text += Capability(name);
  leave_size = std::min(text.size(), leave_text.size());
  std::copy_n(text.begin(), leave_size, leave_text.begin());
}

void UseEntry(const TerminalEntry& entry) {
  (void)setenv("TERM", entry.name, 1);
  (void)setenv("TERMINFO", entry.description, 1);
}

bool KnowsTerminal(std::string& problem) {
  const char* name = getenv("TERM");
  const std::string terminal = name == nullptr ? "" : name;
  if (terminal.empty() || terminal == "dumb") {
    problem = "the terminal cannot place its cursor (TERM=" + terminal + ")";
    return false;
  }
  // What the person's own database says goes first, the machine's last.
  int found = 0;
  const bool own_database = getenv("TERMINFO") != nullptr || getenv("TERMINFO_DIRS") != nullptr;
  const auto entry = BuiltInTerminal(terminal);
  if (!own_database && entry && terminal == entry->name) UseEntry(*entry);
  if (setupterm(nullptr, STDOUT_FILENO, &found) != OK) {
    if (entry) UseEntry(*entry);
    if (!entry || setupterm(nullptr, STDOUT_FILENO, &found) != OK) {
      problem = "this machine has no description of the terminal '" + text::Escape(terminal) + "'";
      return false;
    }
  }
  if (!Capability("cup").empty() && !Capability("clear").empty()) return true;
  problem = "the terminal '" + text::Escape(terminal) + "' cannot place its cursor";
  return false;
}

bool IsUtf8Locale() {
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view name = value;
    return name.find("UTF-8") != std::string_view::npos ||
           name.find("utf8") != std::string_view::npos ||
           name.find("utf-8") != std::string_view::npos;
  }
  return false;
}

Key FromCode(int code) {
  using Kind = Key::Kind;
  switch (code) {
    case KEY_UP:
      return {Kind::kUp};
    case KEY_DOWN:
      return {Kind::kDown};
    case KEY_LEFT:
      return {Kind::kLeft};
    case KEY_RIGHT:
      return {Kind::kRight};
    case KEY_PPAGE:
      return {Kind::kPageUp};
    case KEY_NPAGE:
      return {Kind::kPageDown};
    case KEY_HOME:
      return {Kind::kHome};
    case KEY_END:
      return {Kind::kEnd};
    case KEY_ENTER:
      return {Kind::kEnter};
    case KEY_BACKSPACE:
      return {Kind::kBackspace};
    case KEY_DC:
      return {Kind::kDelete};
    default:
      return {Kind::kOther};
  }
}

Key FromCharacter(wint_t c) {
  using Kind = Key::Kind;
  constexpr wint_t kEscape = 27, kDelete = 127, kControlH = 8, kControlL = 12, kControlU = 21,
                   kLatinEnd = 0xa0;
  if (c == '\r' || c == '\n') return {Kind::kEnter};
  if (c == kEscape) return {Kind::kEscape};
  if (c == kDelete || c == kControlH) return {Kind::kBackspace};
  if (c == kControlL) return {Kind::kRedraw};
  if (c == kControlU) return {Kind::kClear};
  if (c < 0x20 || (c > kDelete && c < kLatinEnd)) return {Kind::kOther};
  return {Kind::kCharacter, static_cast<char32_t>(c)};
}

void DefinePasteKeys() {
  // They are no capabilities of terminfo.
  std::string begins = "\033[200~";
  std::string ends = "\033[201~";
  (void)define_key(begins.data(), kPasteBegins);
  (void)define_key(ends.data(), kPasteEnds);
}

}  // namespace

Charset ChooseCharset() {
  const bool utf8 = IsUtf8Locale();
  // Not the person's own locale: a static C library must not read what another one wrote.
  if (utf8 && setlocale(LC_CTYPE, "C.UTF-8") != nullptr) return Charset::kUtf8;
  (void)setlocale(LC_CTYPE, "C");
  return Charset::kAscii;
}

std::optional<CursesScreen> CursesScreen::Open(Charset /*charset*/, bool color,
                                               std::string& problem) {
  if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0) {
    problem = "standard input and output are not a terminal";
    return std::nullopt;
  }
  if (tcgetattr(STDIN_FILENO, &settings_before) != 0 || !KnowsTerminal(problem)) {
    if (problem.empty()) problem = "the terminal does not answer";
    return std::nullopt;
  }
  (void)del_curterm(cur_term);  // newterm makes its own
  if (newterm(nullptr, stdout, stdin) == nullptr) {
    problem = "the terminal cannot be used";
    return std::nullopt;
  }
  PrepareLeaving();
  must_restore = true;
  CatchFatalSignals();
  (void)cbreak();
  (void)noecho();
  (void)nonl();
  (void)keypad(stdscr, TRUE);
  (void)nodelay(stdscr, TRUE);
  (void)set_escdelay(kEscapeDelayMs);
  DefinePasteKeys();
  CursesScreen screen(color && has_colors());
  if (screen.color_) {
    (void)start_color();
    (void)use_default_colors();
    (void)init_pair(kGoodPair, COLOR_GREEN, -1);
    (void)init_pair(kWarningPair, COLOR_YELLOW, -1);
    (void)init_pair(kBadPair, COLOR_RED, -1);
  }
  Put(kMarkPastes);
  screen.ForgetTyped();
  return screen;
}

CursesScreen::~CursesScreen() {
  if (open_) Suspend();
}

void CursesScreen::Suspend() {
  Put(kLeavePastes);
  (void)curs_set(1);
  (void)endwin();
  must_restore = false;
}

void CursesScreen::Resume() {
  must_restore = true;
  // The second screen first: what is set of the cursor before it belongs to the shell's.
  (void)clearok(stdscr, TRUE);
  (void)refresh();
  Put(kMarkPastes);
  ForgetTyped();
}

unsigned long CursesScreen::Attributes(Style style) const {
  const auto pair = [this](short number) {
    return color_ ? static_cast<unsigned long>(COLOR_PAIR(number)) : 0UL;
  };
  switch (style) {
    case Style::kPlain:
      return A_NORMAL;
    case Style::kStrong:
      return A_BOLD;
    case Style::kFaint:
      return A_DIM;
    case Style::kSelected:
      return A_REVERSE;
    case Style::kGood:
      return A_BOLD | pair(kGoodPair);
    case Style::kWarning:
      return A_BOLD | pair(kWarningPair);
    case Style::kBad:
      return A_BOLD | pair(kBadPair);
  }
  return A_NORMAL;
}

void CursesScreen::Draw(const Screen& screen) {
  (void)erase();
  const int rows = getmaxy(stdscr);
  for (int row = 0; row < rows && row < static_cast<int>(screen.lines.size()); ++row) {
    (void)move(row, 0);
    for (const Span& span : screen.lines[static_cast<std::size_t>(row)]) {
      (void)attrset(static_cast<int>(Attributes(span.style)));
      (void)addnstr(span.text.data(), static_cast<int>(span.text.size()));
    }
  }
  (void)attrset(A_NORMAL);
  (void)curs_set(screen.cursor ? 1 : 0);
  if (screen.cursor) {
    (void)move(static_cast<int>(screen.cursor->first), static_cast<int>(screen.cursor->second));
  }
  (void)refresh();
}

void CursesScreen::Repaint() {
  (void)clearok(stdscr, TRUE);
}

std::optional<Key> CursesScreen::Read() {
  for (;;) {
    wint_t c = 0;
    const int kind = get_wch(&c);
    if (kind == ERR) return std::nullopt;
    const int code = static_cast<int>(c);
    if (kind == KEY_CODE_YES && (code == kPasteBegins || code == kPasteEnds)) {
      pasting_ = code == kPasteBegins;
      continue;
    }
    if (kind == KEY_CODE_YES && code == KEY_RESIZE) continue;  // SIGWINCH says so too
    Key key = kind == KEY_CODE_YES ? FromCode(code) : FromCharacter(c);
    key.pasted = pasting_;
    return key;
  }
}

void CursesScreen::ForgetTyped() {
  (void)tcflush(STDIN_FILENO, TCIFLUSH);
  (void)flushinp();
  pasting_ = false;
}

std::pair<std::size_t, std::size_t> CursesScreen::Resize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
    (void)resizeterm(size.ws_row, size.ws_col);
  }
  return {static_cast<std::size_t>(getmaxy(stdscr)), static_cast<std::size_t>(getmaxx(stdscr))};
}

}  // namespace cellrun::watch
