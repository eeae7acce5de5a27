// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/handover.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lib/wire/launch.h"

namespace cellrun::cells {
namespace {

constexpr char kListenerName[] = "seccompFd";

Error Wrong(const std::string& what) {
  return Error(EINVAL, "", "containerProcessState: " + what);
}

}  // namespace

std::string EncodeHandover(const std::string& token) {
  const nlohmann::json state = {
      {"ociVersion", "1.0.2"},
      {"fds", nlohmann::json::array({&kListenerName[0]})},
      {"pid", 1},
      {"metadata", token},
      {"state", {{"ociVersion", "1.0.2"}, {"id", "native"}, {"status", "creating"}}}};
  return state.dump();
}

Result<Handover> DecodeHandover(std::string_view text, std::vector<UniqueFd> fds) {
  if (text.size() > kMaxHandoverBytes) return Wrong("too long");
  const nlohmann::json state = TRY(wire::ParseStrictJson(text));
  if (!state.is_object()) return Wrong("must be an object");
  for (const char* name : {"ociVersion", "fds", "pid", "metadata"}) {
    if (!state.contains(name)) return Wrong(std::string(name) + " is missing");
  }
  if (!state["ociVersion"].is_string()) return Wrong("ociVersion must be a string");
  if (!state["pid"].is_number_integer() || state["pid"] < 0) return Wrong("pid must be a number");
  if (!state["metadata"].is_string()) return Wrong("metadata must be a string");
  const nlohmann::json& names = state["fds"];
  if (!names.is_array() || names.size() != fds.size())
    return Wrong("fds must name each descriptor that came");
  if (std::count(names.begin(), names.end(), nlohmann::json(&kListenerName[0])) != 1) {
    return Wrong("fds must name one seccompFd");
  }
  const auto at =
      std::find(names.begin(), names.end(), nlohmann::json(&kListenerName[0])) - names.begin();
  return Handover{.token = state["metadata"].get<std::string>(),
                  .listener = std::move(fds[static_cast<std::size_t>(at)])};
}

}  // namespace cellrun::cells
