// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/policy/profile.h"
#include "lib/policy/source.h"

namespace cellrun::policy {

// What is wrong with a profile, for a person: where, what was found, what was expected, the nearest
// known key.
struct Problem {
  Position at;
  std::string what;      // "unknown key 'exce'"
  std::string expected;  // "one of: exe, hash, …"; may be empty
  std::string suggest;   // "exe"; may be empty

  // "strict.yaml:23:5: unknown key 'exce'; expected one of …; did you mean 'exe'?" All text from
  // the file is escaped.
  [[nodiscard]] std::string ToString() const;
};

// A value, or the problems that kept it from being made (at least one; at most 20, in document
// order).
template <typename T>
class [[nodiscard]] Checked {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): reads best at a return
  Checked(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Checked(std::vector<Problem> problems) : state_(std::in_place_index<1>, std::move(problems)) {}
  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  [[nodiscard]] T& value() { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const { return std::get<0>(state_); }
  [[nodiscard]] const std::vector<Problem>& problems() const { return std::get<1>(state_); }

 private:
  std::variant<T, std::vector<Problem>> state_;
};

// Limits on input that is not trusted: a larger, deeper or non-UTF-8 document is a Problem, never a
// crash or a stall.
inline constexpr std::size_t kMaxProfileBytes = 1 << 20;
inline constexpr int kMaxProfileDepth = 32;
inline constexpr int kMaxExtends = 16;  // documents in one chain

// What a document says it extends, after it was parsed and fully checked by itself.
Checked<std::vector<std::string>> ReadExtends(const Source& source);

// Where the paths of a profile lead on this machine. All absolute and without a trailing slash.
struct Places {
  std::string home;       // what "~" means
  std::string workspace;  // what relative names of hide, protect and "./" globs are below
};

// Parses, checks and merges. `sources` is in order of strength: floor documents, command line,
// workspace overlay, the profile, then everything it extends, nearest first (left to right, depth
// first, each once). Merging, narrowing and the floor's rules: lib/policy/merge.h and
// cellrun-profile(5).
// Pure: reads nothing.
Checked<Profile> LoadProfile(const std::vector<Source>& sources, const Places& places);

// What the profile asks for that this release cannot enforce yet; each Problem says "not supported
// yet". A cell with any of these does not start.
std::vector<Problem> UnsupportedFeatures(const Profile& profile);

}  // namespace cellrun::policy
