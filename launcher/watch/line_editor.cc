// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/line_editor.h"

#include <algorithm>
#include <cstdint>

#include "lib/base/text.h"

namespace cellrun::watch {
namespace {

constexpr std::size_t kMaxCharacters = 16384;
constexpr char32_t kLargest = 0x10ffff;

std::u32string Decode(std::string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t bytes = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    auto c = static_cast<char32_t>(bytes == 1 ? lead : lead & (0xff >> (bytes + 1)));
    for (std::size_t k = 1; k < bytes && i + k < text.size(); ++k) {
      c = (c << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    }
    out.push_back(c);
    i += bytes;
  }
  return out;
}

// Reads words off a line.
class WordReader {
 public:
  explicit WordReader(std::string_view line) : rest_(line) {}
  std::optional<std::vector<std::string>> Read() {
    std::vector<std::string> words;
    for (SkipBlanks(); !rest_.empty(); SkipBlanks()) {
      std::string word;
      if (!ReadWord(word)) return std::nullopt;
      words.push_back(std::move(word));
    }
    return words;
  }

 private:
  void SkipBlanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size())); }
  bool ReadWord(std::string& word) {
    bool quoted = false;
    for (; !rest_.empty();) {
      const char c = rest_[0];
      if (c == ' ' && !quoted) return true;
      rest_.remove_prefix(1);
      if (c == '"') {
        quoted = !quoted;
      } else if (c == '\\') {
        if (!ReadEscape(word)) return false;
      } else {
        word.push_back(c);
      }
    }
    return !quoted;
  }
  bool ReadEscape(std::string& word) {
    if (rest_.empty()) return false;
    const char c = rest_[0];
    rest_.remove_prefix(1);
    if (c == 'u' || c == 'x') return ReadNumber(word, c == 'x');
    if (c == 'n' || c == 't') {
      word.push_back(c == 'n' ? '\n' : '\t');
      return true;
    }
    word.push_back(c);
    return c == '\\' || c == '"' || c == ' ' || c == '\'';
  }
  bool ReadNumber(std::string& word, bool is_byte) {
    const std::size_t end = rest_.find('}');
    if (rest_.empty() || rest_[0] != '{' || end == std::string_view::npos || end < 2 || end > 7) {
      return false;
    }
    char32_t value = 0;
    for (const char c : rest_.substr(1, end - 1)) {
      const bool digit = c >= '0' && c <= '9';
      const bool letter = c >= 'a' && c <= 'f';
      if (!digit && !letter) return false;
      value = value * 16 + static_cast<char32_t>(digit ? c - '0' : c - 'a' + 10);
    }
    rest_.remove_prefix(end + 1);
    if (value == 0 || value > (is_byte ? 0xff : kLargest)) return false;
    if (is_byte) {
      word.push_back(static_cast<char>(value));
    } else {
      text::AppendUtf8(word, value);
    }
    return true;
  }

  std::string_view rest_;
};

}  // namespace

LineEditor::LineEditor(std::string_view text) : text_(Decode(text)), cursor_(text_.size()) {}

void LineEditor::Press(const Key& key) {
  switch (key.kind) {
    case Key::Kind::kCharacter:
      if (key.character < 0x20 || text_.size() >= kMaxCharacters) return;
      text_.insert(cursor_, 1, key.character);
      ++cursor_;
      return;
    case Key::Kind::kBackspace:
      if (cursor_ > 0) text_.erase(--cursor_, 1);
      return;
    case Key::Kind::kDelete:
      if (cursor_ < text_.size()) text_.erase(cursor_, 1);
      return;
    case Key::Kind::kClear:
      text_.erase(0, cursor_);
      cursor_ = 0;
      return;
    case Key::Kind::kLeft:
      if (cursor_ > 0) --cursor_;
      return;
    case Key::Kind::kRight:
      if (cursor_ < text_.size()) ++cursor_;
      return;
    case Key::Kind::kHome:
      cursor_ = 0;
      return;
    case Key::Kind::kEnd:
      cursor_ = text_.size();
      return;
    default:
      return;
  }
}

std::string LineEditor::text() const {
  std::string out;
  for (const char32_t c : text_) text::AppendUtf8(out, c);
  return out;
}

LineEditor::Window LineEditor::Draw(std::size_t columns, Charset charset) const {
  // A typed backslash is one column here: it is the person's, who types escapes with it.
  const auto shown = [charset](char32_t c) {
    std::string one;
    text::AppendUtf8(one, c);
    return c == '\\' ? one : DisplaySafe(one, charset);
  };
  Window window;
  std::size_t start = cursor_;
  std::size_t room = columns > 1 ? columns - 1 : 0;
  while (start > 0) {
    const std::size_t width = Columns(shown(text_[start - 1]));
    if (width > room) break;
    room -= width;
    --start;
  }
  for (std::size_t i = start; i < cursor_; ++i) window.safe += shown(text_[i]);
  window.cursor = Columns(window.safe);
  for (std::size_t i = cursor_; i < text_.size(); ++i) {
    const std::string next = shown(text_[i]);
    if (Columns(window.safe) + Columns(next) > columns) break;
    window.safe += next;
  }
  return window;
}

std::optional<std::vector<std::string>> ParseArguments(std::string_view line) {
  return WordReader(line).Read();
}

}  // namespace cellrun::watch
