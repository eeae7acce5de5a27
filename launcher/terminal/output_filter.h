// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cellrun::terminal {

// What a cell writes, made safe for the operator's terminal. Drawing passes byte by byte; what acts
// beyond it is dropped: clipboard and other private OSC strings, reports of title, icon and screen
// contents, printing, moving and resizing the window, unknown DCS, APC, PM and SOS strings, and
// leaving UTF-8 (in which the 8-bit controls hide). The 8-bit forms of controls count as their ESC
// forms, alone or as UTF-8 (C2 9B). Input may be cut anywhere: a sequence is held back until it is
// known.
class OutputFilter {
 public:
  // Appends what may be shown now.
  void Process(std::string_view bytes, std::string& out);
  // Something was let through that a terminal answers.
  [[nodiscard]] bool saw_query() const { return saw_query_; }

 private:
  enum class State : std::uint8_t {
    kGround,
    kUtf8,          // inside a character; `utf8_left_` bytes to come
    kC2,            // after C2, which may begin an 8-bit control
    kEscape,        // after ESC
    kIntermediate,  // ESC and intermediate bytes
    kControl,       // CSI parameters
    kControlIgnore,
    kOsc,
    kDcsHeader,
    kString,        // DCS contents that pass
    kStringIgnore,  // contents of a dropped string
  };

  void Step(unsigned char byte, std::string& out);
  void Ground(unsigned char byte, std::string& out);
  void EightBit(unsigned char control, std::string_view raw, std::string& out);
  void Escape(unsigned char byte, std::string& out);
  void Control(unsigned char byte, std::string& out);
  void InString(unsigned char byte, std::string& out);
  void StringByte(unsigned char byte, std::string& out);
  void EndString(std::string_view terminator, std::string& out);
  void Begin(State state, std::string_view introducer);
  void Cancel();
  [[nodiscard]] bool ControlMayPass();
  [[nodiscard]] bool OscMayPass();

  State state_ = State::kGround;
  unsigned utf8_left_ = 0;
  bool string_escape_ = false;  // the last byte of a string was ESC
  bool string_c2_ = false;      // … was C2
  bool bell_ends_ = false;
  bool saw_query_ = false;
  std::string held_;  // of the sequence so far, introducer included
  std::string body_;  // of it, without the introducer and without C0 controls
};

}  // namespace cellrun::terminal
