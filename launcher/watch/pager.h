// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "launcher/watch/screen_text.h"

namespace cellrun::watch {

// Lines in a window, and how far they have been read: what was on the screen without a gap.
class Pager {
 public:
  void Show(std::vector<Line> lines) {
    lines_ = std::move(lines);
    top_ = read_ = furthest_ = 0;
    Look();
  }
  // The same text with something in it that moves on by itself.
  void Replace(std::vector<Line> lines) {
    const std::size_t top = top_;
    Show(std::move(lines));
    Move(static_cast<long>(top));
  }
  void SetHeight(std::size_t height) {
    height_ = height;
    top_ = std::min(top_, LastTop());
    Look();
  }
  void Move(long rows) {
    const long wanted = static_cast<long>(top_) + rows;
    top_ = wanted < 0 ? 0 : std::min(static_cast<std::size_t>(wanted), LastTop());
    Look();
  }
  void ToStart() { Move(-static_cast<long>(lines_.size())); }
  void ToEnd() { Move(static_cast<long>(lines_.size())); }
  [[nodiscard]] bool AllRead() const { return read_ == lines_.size(); }
  [[nodiscard]] bool EndSeen() const { return furthest_ == lines_.size(); }
  [[nodiscard]] std::size_t Unread() const { return lines_.size() - read_; }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }
  [[nodiscard]] std::size_t top() const { return top_; }
  [[nodiscard]] std::size_t bottom() const { return std::min(top_ + height_, lines_.size()); }
  [[nodiscard]] std::size_t height() const { return height_; }
  [[nodiscard]] const Line& at(std::size_t row) const { return lines_[row]; }

 private:
  [[nodiscard]] std::size_t LastTop() const {
    return lines_.size() > height_ ? lines_.size() - height_ : 0;
  }
  void Look() {
    // The last row of a window that has more below says so instead of itself.
    const std::size_t seen = bottom() == lines_.size() ? bottom() : std::max(top_, bottom() - 1);
    if (top_ <= read_) read_ = std::max(read_, seen);
    furthest_ = std::max(furthest_, bottom());
  }

  std::vector<Line> lines_;
  std::size_t top_ = 0, height_ = 1, read_ = 0, furthest_ = 0;
};

}  // namespace cellrun::watch
