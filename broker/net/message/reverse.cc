// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "broker/net/message/message.h"

namespace cellrun::net {
namespace {

constexpr std::string_view kIpv4 = ".in-addr.arpa";
constexpr std::string_view kIpv6 = ".ip6.arpa";
constexpr std::size_t kNibbles = 32;

// The labels, last one first.
std::vector<std::string_view> LabelsBackwards(std::string_view name) {
  std::vector<std::string_view> labels;
  while (true) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) break;
    labels.push_back(name.substr(dot + 1));
    name = name.substr(0, dot);
  }
  labels.push_back(name);
  return labels;
}

std::optional<Address> ReverseIpv4(const std::vector<std::string_view>& labels) {
  if (labels.size() != 4) return std::nullopt;
  std::string text;
  for (const std::string_view label : labels) {
    if (!text.empty()) text += '.';
    text += label;
  }
  return ParseAddress(text);
}

std::optional<Address> ReverseIpv6(const std::vector<std::string_view>& labels) {
  if (labels.size() != kNibbles) return std::nullopt;
  std::string text;
  for (const std::string_view label : labels) {
    if (label.size() != 1) return std::nullopt;
    text += label;
    if (text.size() % 5 == 4) text += ':';
  }
  text.pop_back();
  return ParseAddress(text);
}

}  // namespace

std::optional<Address> ReverseAddress(std::string_view name) {
  if (name.ends_with(kIpv4)) {
    return ReverseIpv4(LabelsBackwards(name.substr(0, name.size() - kIpv4.size())));
  }
  if (name.ends_with(kIpv6)) {
    return ReverseIpv6(LabelsBackwards(name.substr(0, name.size() - kIpv6.size())));
  }
  return std::nullopt;
}

}  // namespace cellrun::net
