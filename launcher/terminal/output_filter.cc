// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/output_filter.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace cellrun::terminal {
namespace {

constexpr unsigned char kEscapeByte = 0x1b;
constexpr unsigned char kBell = 0x07;
constexpr unsigned char kCancelByte = 0x18;
constexpr unsigned char kSubstitute = 0x1a;
constexpr unsigned char kDelete = 0x7f;
constexpr unsigned char kFirstPrintable = 0x20;
constexpr unsigned char kStringTerminator = 0x9c;
constexpr std::size_t kMaxControlBytes = 256;
constexpr std::size_t kMaxOscBytes = 4096;

bool IsC1(unsigned char byte) {
  return byte >= 0x80 && byte <= 0x9f;
}
bool IsContinuation(unsigned char byte) {
  return byte >= 0x80 && byte <= 0xbf;
}

// Titles, palette and colours, prompt marks. Not: 3 (window properties), 7 (directory for new
// windows), 9 and 777 (notifications), 50 (fonts), 52 (clipboard), 1337 (files, clipboard), and
// what nobody knows.
constexpr std::array kOscAllowed = {0,   1,   2,   4,   5,   8,   10,  11,  12,  13,  14,
                                    15,  16,  17,  18,  19,  21,  22,  104, 105, 110, 111,
                                    112, 113, 114, 115, 116, 117, 118, 119, 133};
constexpr int kOscLink = 8;
constexpr std::array<std::string_view, 4> kLinkSchemes = {"http://", "https://",
                                                          "mailto:", "ftp://"};
// Of CSI … t: sizes are reported, the title stack is pushed and popped. Not: moving, resizing,
// raising, iconifying, reports of title and icon.
constexpr std::array<std::string_view, 6> kWindowAllowed = {"14", "16", "18", "19", "22", "23"};

// The leading decimal number; -1 if there is none.
int LeadingNumber(std::string_view text) {
  int number = -1;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || number < 0) return -1;
  return end == text.data() + text.size() || *end == ';' ? number : -1;
}

// A C1 control, as one byte or as a character: in some terminals it ends any string, and what
// follows is a sequence of its own. The continuation bytes of other characters are none.
bool HasC1(std::string_view text) {
  std::size_t left = 0;
  bool after_c2 = false;
  for (const char one : text) {
    const auto byte = static_cast<unsigned char>(one);
    if (IsC1(byte) && (after_c2 || left == 0)) return true;
    after_c2 = byte == 0xc2;
    if (left > 0 && IsContinuation(byte)) {
      --left;
    } else {
      left = byte >= 0xf8 ? 0 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0;
    }
  }
  return false;
}

}  // namespace

void OutputFilter::Process(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) Step(static_cast<unsigned char>(byte), out);
}

void OutputFilter::Step(unsigned char byte, std::string& out) {
  switch (state_) {
    case State::kUtf8:
      if (IsContinuation(byte)) {
        out.push_back(static_cast<char>(byte));
        if (--utf8_left_ == 0) state_ = State::kGround;
        return;
      }
      state_ = State::kGround;  // cut short: what follows is looked at afresh
      return Ground(byte, out);
    case State::kC2:
      state_ = State::kGround;
      if (IsC1(byte)) {
        const std::array<char, 2> raw = {'\xc2', static_cast<char>(byte)};
        return EightBit(byte, {raw.data(), raw.size()}, out);
      }
      out.push_back('\xc2');
      if (IsContinuation(byte)) return out.push_back(static_cast<char>(byte));
      return Ground(byte, out);
    case State::kGround:
      return Ground(byte, out);
    case State::kEscape:
    case State::kIntermediate:
      return Escape(byte, out);
    case State::kControl:
    case State::kControlIgnore:
      return Control(byte, out);
    case State::kOsc:
    case State::kDcsHeader:
    case State::kString:
    case State::kStringIgnore:
      return InString(byte, out);
  }
}

void OutputFilter::Ground(unsigned char byte, std::string& out) {
  if (byte == kEscapeByte) return Begin(State::kEscape, "\x1b");
  if (IsC1(byte)) {
    const char raw = static_cast<char>(byte);
    return EightBit(byte, {&raw, 1}, out);
  }
  if (byte == 0xc2) {
    state_ = State::kC2;
    return;
  }
  out.push_back(static_cast<char>(byte));
  if (byte >= 0xc3) {
    utf8_left_ = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    if (byte < 0xf8) state_ = State::kUtf8;
  }
}

// A C1 control as one byte or as the character of that number; the same as ESC and the byte less
// 0x40.
void OutputFilter::EightBit(unsigned char control, std::string_view raw, std::string& out) {
  const auto seven_bit = static_cast<unsigned char>(control - 0x40);
  constexpr std::string_view kIntroducers = "[]P^_XZ";
  if (kIntroducers.find(static_cast<char>(seven_bit)) == std::string_view::npos) {
    out.append(raw);
    return;
  }
  Begin(State::kEscape, "\x1b");
  Escape(seven_bit, out);
}

void OutputFilter::Begin(State state, std::string_view introducer) {
  state_ = state;
  held_ = introducer;
  body_.clear();
  string_escape_ = false;
  string_c2_ = false;
  utf8_left_ = 0;
}
void OutputFilter::Cancel() {
  state_ = State::kGround;
  held_.clear();
  body_.clear();
}

void OutputFilter::Escape(unsigned char byte, std::string& out) {
  if (byte == kEscapeByte) return Begin(State::kEscape, "\x1b");
  if (byte == kCancelByte || byte == kSubstitute) return Cancel();
  if (byte < kFirstPrintable)
    return out.push_back(static_cast<char>(byte));  // executed at once, the sequence goes on
  if (byte >= kDelete) {
    Cancel();
    if (byte != kDelete) Ground(byte, out);
    return;
  }
  held_.push_back(static_cast<char>(byte));
  if (state_ == State::kEscape) {
    bell_ends_ = byte == ']';
    switch (byte) {
      case '[':
        return Begin(State::kControl, "\x1b[");
      case ']':
        return Begin(State::kOsc, "\x1b]");
      case 'P':
        return Begin(State::kDcsHeader, "\x1bP");
      case 'X':
      case '^':
      case '_':
      case 'k':  // the window's name, in some multiplexers
        return Begin(State::kStringIgnore, "");
      default:
        break;
    }
  }
  if (byte < '0') {  // 0x20 to 0x2f: intermediate
    state_ = State::kIntermediate;
    if (held_.size() > kMaxControlBytes) Cancel();
    return;
  }
  // ESC % @ would leave UTF-8: bytes inside characters then become controls.
  const bool leaves_utf8 = held_.starts_with("\x1b%") && held_ != "\x1b%G" && held_ != "\x1b%8";
  if (held_ == "\x1bZ") saw_query_ = true;
  // The end of a string that was dropped, or of none.
  const bool ends_nothing = held_ == "\x1b\\";
  if (!leaves_utf8 && !ends_nothing) out.append(held_);
  Cancel();
}

void OutputFilter::Control(unsigned char byte, std::string& out) {
  if (byte == kEscapeByte) return Begin(State::kEscape, "\x1b");
  if (byte == kCancelByte || byte == kSubstitute) return Cancel();
  if (byte < kFirstPrintable) return out.push_back(static_cast<char>(byte));
  if (byte == kDelete) return;
  if (byte > kDelete) {
    Cancel();
    return Ground(byte, out);
  }
  if (state_ == State::kControl) {
    held_.push_back(static_cast<char>(byte));
    body_.push_back(static_cast<char>(byte));
    if (held_.size() > kMaxControlBytes) state_ = State::kControlIgnore;
  }
  if (byte < '@') return;  // a parameter or an intermediate
  if (state_ == State::kControl && ControlMayPass()) out.append(held_);
  Cancel();
}

bool OutputFilter::ControlMayPass() {
  const char final = body_.back();
  const std::string_view parameters = std::string_view(body_).substr(0, body_.size() - 1);
  // Queries: device attributes, status and position, modes, the keyboard protocol.
  saw_query_ |= final == 'c' || final == 'n' || (final == 'p' && parameters.ends_with('$')) ||
                (final == 'u' && parameters.starts_with('?')) ||
                (final == 'q' && parameters.starts_with('>'));
  if (final == 'i') return false;                               // printing
  if (final == 'y' && parameters.ends_with('*')) return false;  // checksum of what is on the screen
  if (final != 't') return true;
  if (parameters.ends_with(' ') || parameters.ends_with('$') || parameters.starts_with('>'))
    return true;
  std::string_view first = parameters.substr(0, parameters.find_first_of(";:"));
  while (first.size() > 1 && first.starts_with('0')) first.remove_prefix(1);
  saw_query_ |= first.starts_with('1');
  return std::find(kWindowAllowed.begin(), kWindowAllowed.end(), first) != kWindowAllowed.end();
}

// Finds the end of a string; the rest is StringByte's.
void OutputFilter::InString(unsigned char byte, std::string& out) {
  if (string_escape_) {
    string_escape_ = false;
    if (byte == '\\') return EndString("\x1b\\", out);
    // Any other sequence ends the string, unfinished.
    if (state_ == State::kString) out.append("\x1b\\");
    Begin(State::kEscape, "\x1b");
    return Escape(byte, out);
  }
  if (string_c2_) {
    string_c2_ = false;
    if (byte == kStringTerminator) return EndString("\x1b\\", out);
    StringByte(0xc2, out);
    if (IsContinuation(byte)) return StringByte(byte, out);
  } else if (utf8_left_ > 0) {
    if (IsContinuation(byte)) {
      --utf8_left_;
      return StringByte(byte, out);
    }
    utf8_left_ = 0;
  }
  if (byte == kEscapeByte) {
    string_escape_ = true;
    return;
  }
  if (byte == kStringTerminator) return EndString("\x1b\\", out);
  if (byte == kBell && bell_ends_) return EndString("\x07", out);
  if (byte == kCancelByte || byte == kSubstitute) {
    if (state_ == State::kString) out.append("\x1b\\");
    return Cancel();
  }
  if (byte == 0xc2) {
    string_c2_ = true;
    return;
  }
  if (byte >= 0xc3 && byte < 0xf8) utf8_left_ = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
  StringByte(byte, out);
}

void OutputFilter::StringByte(unsigned char byte, std::string& out) {
  switch (state_) {
    case State::kOsc:
      body_.push_back(static_cast<char>(byte));
      if (body_.size() > kMaxOscBytes) {
        body_.clear();
        state_ = State::kStringIgnore;
      }
      return;
    case State::kDcsHeader:
      if (byte < kFirstPrintable || byte >= kDelete || body_.size() > kMaxControlBytes) {
        state_ = State::kStringIgnore;
        return;
      }
      body_.push_back(static_cast<char>(byte));
      if (byte < '@') return;
      // Sixel graphics draw; settings' reports, terminfo queries, user-defined keys, passed-through
      // sequences do not.
      if (byte == 'q' && body_.find_first_not_of("0123456789;q") == std::string::npos) {
        out.append(held_).append(body_);
        state_ = State::kString;
      } else {
        state_ = State::kStringIgnore;
      }
      return;
    case State::kString:
      if (byte >= kFirstPrintable && byte < kDelete) out.push_back(static_cast<char>(byte));
      return;
    default:
      return;  // dropped
  }
}

void OutputFilter::EndString(std::string_view terminator, std::string& out) {
  if (state_ == State::kString) out.append(terminator);
  if (state_ == State::kOsc && OscMayPass()) out.append(held_).append(body_).append(terminator);
  utf8_left_ = 0;
  Cancel();
}

bool OutputFilter::OscMayPass() {
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) < kFirstPrintable || c == '\x7f';
  };
  if (std::any_of(body_.begin(), body_.end(), is_control) || HasC1(body_)) return false;
  const int number = LeadingNumber(body_);
  if (std::find(kOscAllowed.begin(), kOscAllowed.end(), number) == kOscAllowed.end()) return false;
  if (number == kOscLink) {
    // 8;PARAMETERS;URI, the URI empty at the end of a link. A link to a local file or a private
    // scheme starts programs.
    const std::size_t second = body_.find(';', body_.find(';') + 1);
    if (second == std::string::npos) return false;
    const std::string_view uri = std::string_view(body_).substr(second + 1);
    return uri.empty() ||
           std::any_of(kLinkSchemes.begin(), kLinkSchemes.end(),
                       [&](std::string_view scheme) { return uri.starts_with(scheme); });
  }
  saw_query_ |= body_.ends_with('?') || body_.find(";?;") != std::string::npos;
  return true;
}

}  // namespace cellrun::terminal
