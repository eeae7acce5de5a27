// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace cellrun::policy {

// Who may say what, strongest first (docs: "Who may say what").
enum class Layer : std::uint8_t {
  kFloor,        // /etc/cellrun/floor.d: tried first, cannot be loosened
  kRemembered,   // rules from answered approvals
  kCommandLine,  // ad-hoc grants of one run
  kWorkspace,    // .cellrun.yaml: narrows only, until trusted
  kProfile,      // the profile that was named
  kInherited,    // what it extends
};

// "floor", "remembered", "command line", "workspace", "profile", "inherited".
const char* LayerName(Layer layer);

// One document as it was found, before it is parsed.
struct Source {
  std::string name;    // what `extends` calls it; "" for a file given by path
  std::string origin;  // the path shown in messages
  std::string text;
  Layer layer = Layer::kProfile;

  bool operator==(const Source&) const = default;
};

// Where a value or rule stands. Lines and columns count from 1; 0: not from a file.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;

  // "strict.yaml:23:5"; without the parts that are 0.
  [[nodiscard]] std::string ToString() const;
  bool operator==(const Position&) const = default;
};

}  // namespace cellrun::policy
