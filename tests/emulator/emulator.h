// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct VTerm;
struct VTermScreen;

namespace cellrun::test {

// What a person sees: a terminal emulator (libvterm) that is fed what a program wrote.
class Emulator {
 public:
  Emulator(int rows, int columns);
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;
  ~Emulator();

  // Takes what is new of everything that was ever written.
  void Follow(const std::string& written);
  // What a terminal says to what it was asked (where the cursor is, what it is) since the last
  // call.
  std::string Answers();
  void Resize(int rows, int columns);
  // Rows without the blanks at their ends.
  [[nodiscard]] std::vector<std::string> Rows() const;
  [[nodiscard]] std::string Text() const;  // the rows, each with a line end
  [[nodiscard]] bool Shows(std::string_view text) const;
  [[nodiscard]] bool on_second_screen() const { return second_screen_; }
  [[nodiscard]] bool cursor_visible() const { return cursor_visible_; }
  [[nodiscard]] const std::string& title() const { return title_; }

 private:
  friend struct EmulatorCallbacks;
  VTerm* terminal_;
  VTermScreen* screen_;
  int rows_, columns_;
  std::size_t fed_ = 0;
  bool second_screen_ = false, cursor_visible_ = true;
  std::string title_;
};

}  // namespace cellrun::test
