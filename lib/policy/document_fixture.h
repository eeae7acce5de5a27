// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "lib/policy/load.h"

// Documents for tests: written as text, loaded for one home and workspace.
namespace cellrun::policy::fixture {

inline const Places kPlaces{"/home/ann", "/home/ann/project"};

inline Source Doc(std::string text, Layer layer = Layer::kProfile, std::string name = "") {
  std::string origin = (name.empty() ? std::string("p") : name) + ".yaml";
  return {std::move(name), std::move(origin), std::move(text), layer};
}

// The same with the required first line.
inline Source Body(const std::string& text, Layer layer = Layer::kProfile, std::string name = "") {
  return Doc("cellrun: 1\n" + text, layer, std::move(name));
}

// Problems, one a line; "" if there are none.
inline std::string ProblemsOf(const std::vector<Source>& sources) {
  const Checked<Profile> loaded = LoadProfile(sources, kPlaces);
  std::string text;
  if (loaded.ok()) return text;
  for (const Problem& problem : loaded.problems()) text += problem.ToString() + "\n";
  return text;
}
inline std::string ProblemsOf(const std::string& body) {
  return ProblemsOf(std::vector<Source>{Body(body)});
}

inline Profile Load(const std::vector<Source>& sources) {
  Checked<Profile> loaded = LoadProfile(sources, kPlaces);
  if (loaded.ok()) return std::move(loaded.value());
  ADD_FAILURE() << ProblemsOf(sources);
  return {};
}
inline Profile Load(const std::string& body) {
  return Load(std::vector<Source>{Body(body)});
}

inline std::vector<std::string> Values(const std::vector<Placed<std::string>>& placed) {
  std::vector<std::string> values;
  for (const Placed<std::string>& entry : placed) values.push_back(entry.value);
  return values;
}

}  // namespace cellrun::policy::fixture
