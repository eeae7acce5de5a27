// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/documents.h"

#include <nlohmann/json.hpp>

#include "lib/base/text.h"

namespace cellrun::journal {
namespace {

// JSON holds UTF-8 only; places that are not are shown escaped, as in records.
std::string Shown(const std::string& text) {
  return text::IsUtf8(text) ? text : text::Escape(text);
}

}  // namespace

Result<nlohmann::json> KeepDocuments(Journal& journal, const std::vector<policy::Source>& sources,
                                     const policy::Places& places) {
  nlohmann::json list = nlohmann::json::array();
  for (const policy::Source& source : sources) {
    list.push_back({{"digest", TRY(journal.KeepDocument(source))},
                    {"name", Shown(source.name)},
                    {"origin", Shown(source.origin)},
                    {"layer", policy::LayerName(source.layer)}});
  }
  return nlohmann::json{{"sources", std::move(list)},
                        {"home", Shown(places.home)},
                        {"workspace", Shown(places.workspace)}};
}

}  // namespace cellrun::journal
