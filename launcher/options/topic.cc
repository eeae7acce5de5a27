// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "launcher/options/verb.h"

namespace cellrun::options {
namespace {

constexpr std::array kTopics = {
    Topic{
        "exit-status", "EXIT STATUS",
        "Of run:\n"
        "  N    the command's own status\n"
        "  128+N  signal N ended the command\n"
        "  123  the output limit was reached\n"
        "  124  the time limit was reached\n"
        "  125  cellrun itself failed before the command ran: a bad profile, an unmet require, no "
        "broker, a broker of another version that will not hand over\n"
        "  126  the command was denied, or is not executable\n"
        "  127  the command was not found\n"
        "  2    a wrong option\n"
        "\n"
        "Of every other verb:\n"
        "  0    done\n"
        "  1    failed; or, for profile lint, profile test, why and doctor, something was found\n"
        "  2    a usage error, or an invalid profile"},
    Topic{"environment", "ENVIRONMENT",
          "Read by cellrun:\n"
          "  CELLRUN_CONFIG_DIR  instead of $XDG_CONFIG_HOME/cellrun\n"
          "  CELLRUN_STATE_DIR  instead of $XDG_STATE_HOME/cellrun\n"
          "  CELLRUN_RUNTIME_DIR  instead of $XDG_RUNTIME_DIR/cellrun\n"
          "  NO_COLOR  no colour, whatever its value\n"
          "\n"
          "Set inside a cell, where nothing else of the caller's environment arrives but what the "
          "profile passes and --env names:\n"
          "  CELLRUN  1\n"
          "  CELLRUN_CELL  the cell's name\n"
          "  CELLRUN_PROFILE  the profile's name\n"
          "  CELLRUN_DENIALS  a file with one JSON object for each denial"},
    Topic{"files", "FILES",
          "  $XDG_CONFIG_HOME/cellrun/profiles  profiles of the user\n"
          "  /etc/cellrun/profiles  profiles of the machine\n"
          "  /etc/cellrun/floor.d  rules that no profile can loosen\n"
          "  .cellrun.yaml  in a workspace: narrows the profile\n"
          "  $XDG_STATE_HOME/cellrun  journal.db, broker.log (root: /var/lib/cellrun)\n"
          "  $XDG_RUNTIME_DIR/cellrun  sockets of the broker (root: /run/cellrun; without "
          "XDG_RUNTIME_DIR: /run/user/UID/cellrun, else /tmp/cellrun-UID)"},
};

}  // namespace

std::span<const Topic> AllTopics() {
  return kTopics;
}

}  // namespace cellrun::options
