// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "launcher/watch/key.h"
#include "launcher/watch/model.h"
#include "launcher/watch/screen_text.h"

namespace cellrun::watch {

// The person's terminal in full-screen mode, by ncurses. One at a time. Given back as it was by the
// destructor, and by a handler when a fatal signal ends the process.
class CursesScreen {
 public:
  // Nothing: the terminal cannot do it; `problem` says why.
  static std::optional<CursesScreen> Open(Charset charset, bool color, std::string& problem);
  CursesScreen(CursesScreen&& other) noexcept
      : color_(other.color_), open_(std::exchange(other.open_, false)) {}
  CursesScreen& operator=(CursesScreen&&) = delete;
  CursesScreen(const CursesScreen&) = delete;
  CursesScreen& operator=(const CursesScreen&) = delete;
  ~CursesScreen();

  void Draw(const Screen& screen);
  void Repaint();                                // whatever is on the screen now
  std::optional<Key> Read();                     // never waits
  void ForgetTyped();                            // what was typed and not read yet
  std::pair<std::size_t, std::size_t> Resize();  // rows and columns as they are now
  void Suspend();                                // the shell's screen and modes
  void Resume();

 private:
  explicit CursesScreen(bool color) : color_(color) {}
  [[nodiscard]] unsigned long Attributes(Style style) const;
  bool color_;
  bool open_ = true;
  bool pasting_ = false;
};

// What the environment says of the locale: LC_ALL, LC_CTYPE, LANG. Sets the C library's, too.
Charset ChooseCharset();

}  // namespace cellrun::watch
