// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "launcher/client/error_form.h"

namespace cellrun::approvals {

// What the broker answered: an object, or an error for the person.
struct Reply {
  int status = 0;  // 0: no broker runs, or it could not be asked
  std::optional<launcher::ErrorForm> error;
  [[nodiscard]] bool ok() const { return !error; }
  [[nodiscard]] bool no_broker() const { return no_broker_; }
  bool no_broker_ = false;
};

// One request whose answer is one object; `body` may be null.
Reply Call(const std::string& method, const std::string& target, const nlohmann::json& body,
           nlohmann::json& object);
// One whose answer is an object a line; `line` returns false to stop.
Reply CallForLines(const std::string& target, bool follow,
                   const std::function<bool(std::string_view)>& line);

// Prints the error; the exit status that goes with it: 2 for a wrong value, else 1.
int Fail(const Reply& reply);

}  // namespace cellrun::approvals
