// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "launcher/client/error_form.h"
#include "launcher/history/history.h"
#include "lib/base/result.h"

namespace cellrun::history {

// Where answers come from: the broker, if one serves, else the broker's program reading the
// database
// (`cellrun-broker journal`), with the same targets and the same answers.
class Source {
 public:
  // `file`: a database that is read directly, whether or not a broker serves; "" for the journal.
  explicit Source(Places places, const std::string& file = "");

  // False: no broker serves, so nothing can be followed.
  [[nodiscard]] bool live() const { return live_; }
  // There is no journal yet.
  [[nodiscard]] bool empty() const { return empty_; }

  using Line = std::function<bool(std::string_view)>;
  // Hands over the answer's lines until `line` returns false. What the broker refuses, and whatever
  // else goes wrong, is an Outcome with an error.
  struct Outcome {
    int status = 200;
    std::optional<launcher::ErrorForm> error;
  };
  Outcome Lines(const std::string& target, const Line& line, bool follow = false) const;
  // An answer that is one object.
  Outcome Object(const std::string& target, nlohmann::json& object) const;

 private:
  Outcome FromBroker(const std::string& target, const Line& line, bool follow) const;
  Outcome FromFile(const std::string& target, const Line& line) const;

  Places places_;
  std::string database_;
  bool live_ = false;
  bool empty_ = false;
};

// The exit status for an outcome whose error was printed: 2 for a wrong value, else 1.
int PrintOutcome(const Source::Outcome& outcome);

}  // namespace cellrun::history
