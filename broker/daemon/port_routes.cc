// SPDX-License-Identifier: Apache-2.0
#include "broker/daemon/port_routes.h"

#include <nlohmann/json.hpp>

#include "lib/base/text.h"

namespace cellrun::daemon {

using http::Request;
using http::Response;
using nlohmann::json;

json PortsOf(const cells::Cell& cell) {
  json ports = json::array();
  for (const net::PortMapping& mapping : cell.ports()) {
    ports.push_back({{"inner", mapping.inner},
                     {"address", net::FormatAddress(mapping.outer.address)},
                     {"port", mapping.outer.port},
                     {"proto", "tcp"}});
  }
  return ports;
}

void RegisterPortRoutes(http::Router& router, const cells::Registry& registry) {
  router.Add("GET", "/v1/cells/:cell/ports", [&registry](const Request& request) {
    const std::string wanted = request.Parameter("cell");
    const cells::Cell* cell = registry.Find(wanted);
    if (cell == nullptr)
      return http::ErrorResponse(404, "no cell is called " + text::Quote(wanted), "", "cellrun ps");
    const json body = {{"cell", cell->plan().name}, {"ports", PortsOf(*cell)}};
    return Response{.status = 200, .body = body.dump()};
  });
}

}  // namespace cellrun::daemon
