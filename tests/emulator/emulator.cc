// SPDX-License-Identifier: Apache-2.0
#include "tests/emulator/emulator.h"

#include <vterm.h>

#include "lib/base/text.h"

namespace cellrun::test {
struct EmulatorCallbacks {
  static int SetProperty(VTermProp property, VTermValue* value, void* user) {
    auto* emulator = static_cast<Emulator*>(user);
    switch (property) {
      case VTERM_PROP_ALTSCREEN:
        emulator->second_screen_ = value->boolean != 0;
        break;
      case VTERM_PROP_CURSORVISIBLE:
        emulator->cursor_visible_ = value->boolean != 0;
        break;
      case VTERM_PROP_TITLE:
        emulator->title_ = "changed";
        break;
      default:
        break;
    }
    return 1;
  }
};

namespace {
const VTermScreenCallbacks kCallbacks = {.damage = nullptr,
                                         .moverect = nullptr,
                                         .movecursor = nullptr,
                                         .settermprop = &EmulatorCallbacks::SetProperty,
                                         .bell = nullptr,
                                         .resize = nullptr,
                                         .sb_pushline = nullptr,
                                         .sb_popline = nullptr};
}  // namespace

Emulator::Emulator(int rows, int columns)
    : terminal_(vterm_new(rows, columns)),
      screen_(vterm_obtain_screen(terminal_)),
      rows_(rows),
      columns_(columns) {
  vterm_set_utf8(terminal_, 1);
  vterm_screen_enable_altscreen(screen_, 1);
  vterm_screen_set_callbacks(screen_, &kCallbacks, this);
  vterm_screen_reset(screen_, 1);
  title_.clear();
}

Emulator::~Emulator() {
  vterm_free(terminal_);
}

void Emulator::Follow(const std::string& written) {
  vterm_input_write(terminal_, written.data() + fed_, written.size() - fed_);
  fed_ = written.size();
}

std::string Emulator::Answers() {
  std::string answers(vterm_output_get_buffer_current(terminal_), '\0');
  answers.resize(vterm_output_read(terminal_, answers.data(), answers.size()));
  return answers;
}

void Emulator::Resize(int rows, int columns) {
  rows_ = rows;
  columns_ = columns;
  vterm_set_size(terminal_, rows, columns);
}

std::vector<std::string> Emulator::Rows() const {
  std::vector<std::string> rows;
  for (int row = 0; row < rows_; ++row) {
    std::string text;
    for (int column = 0; column < columns_; ++column) {
      VTermScreenCell cell{};
      vterm_screen_get_cell(screen_, {.row = row, .col = column}, &cell);
      if (cell.chars[0] == 0) text += ' ';
      for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell.chars[i] != 0; ++i) {
        text::AppendUtf8(text, cell.chars[i]);
      }
      if (cell.width > 1) column += cell.width - 1;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    rows.push_back(std::move(text));
  }
  return rows;
}

std::string Emulator::Text() const {
  std::string text;
  for (const std::string& row : Rows()) text += row + "\n";
  return text;
}

bool Emulator::Shows(std::string_view text) const {
  return Text().find(text) != std::string::npos;
}

}  // namespace cellrun::test
