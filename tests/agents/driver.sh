# shellcheck shell=bash disable=SC1007,SC2034
# Sourced by the run-AGENT.sh scripts: common command line, private HOME, mock
# model, time-out, clean-up. Variables it reads: README.md, "Running an agent".
#
#   agent_begin NAME "$@"     parses WORKDIR SCRIPT LOG [-- PREFIX...]; starts
#                             the model; sets agent_home, agent_url, agent_work
#   agent_find PATH...        first of these under the packages' node_modules
#                             that is there, into agent_bin
#   agent_set NAME=VALUE...   environment of the agent
#   agent_run COMMAND...      runs it, cleans up, exits with its status

set -eu
agent_dir=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
agent_env=()
agent_prefix=()
agent_model_pid=
agent_pid=
agent_made_home=
agent_ran=
agent_run_id=$$.$RANDOM$RANDOM

agent_fail() {
  echo "$0: $*" >&2
  exit 2
}

# Agents start each command in a session of its own and often leave it running
# when they end. A sandbox has to end those itself; without one, this does.
agent_reap() {
  local entry
  for entry in /proc/[0-9]*/environ; do
    if tr '\0' '\n' <"$entry" | grep -qxF "AGENT_RUN=$agent_run_id"; then
      entry=${entry#/proc/}
      kill -KILL "${entry%/environ}" || true
    fi
  done 2>/dev/null
}

agent_clean() {
  trap - EXIT INT TERM HUP
  [ -z "$agent_pid" ] || kill "$agent_pid" 2>/dev/null || true
  [ -z "$agent_model_pid" ] || kill "$agent_model_pid" 2>/dev/null || true
  wait 2>/dev/null || true
  [ -z "$agent_ran" ] || [ ${#agent_prefix[@]} -gt 0 ] || agent_reap
  if [ -n "$agent_made_home" ] && [ -z "${AGENT_KEEP:-}" ]; then
    rm -rf -- "$agent_made_home" || true
  fi
}

agent_begin() {
  agent_name=$1
  shift
  [ $# -ge 3 ] || agent_fail "usage: $(basename "$0") WORKDIR SCRIPT.json LOG.jsonl [-- PREFIX...]"
  [ -d "$1" ] || agent_fail "$1: no such directory"
  [ -r "$2" ] || agent_fail "$2: cannot read the script"
  agent_work=$(cd -- "$1" && pwd -P)
  agent_script=$(realpath -- "$2")
  agent_log=$(realpath -m -- "$3")
  shift 3
  if [ $# -gt 0 ]; then
    [ "$1" = -- ] || agent_fail "unexpected argument: $1"
    shift
    agent_prefix=("$@")
  fi

  trap agent_clean EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  # Not under /tmp: cells and bwrap often hide it, and codex keeps its helper
  # links out of temporary directories.
  if [ -n "${AGENT_HOME:-}" ]; then
    mkdir -p -- "$AGENT_HOME"
    agent_home=$(cd -- "$AGENT_HOME" && pwd -P)
  else
    local base=${AGENT_HOME_BASE:-/var/tmp}
    [ -w "$base" ] || base=/tmp
    agent_made_home=$(mktemp -d "$base/agent-home.XXXXXX")
    agent_home=$agent_made_home
  fi
  mkdir -p -- "$agent_home/tmp"
  [ -e "$agent_home/.gitconfig" ] || printf '[user]\n\tname = Agent\n\temail = agent@example.org\n' >"$agent_home/.gitconfig"

  mkdir -p -- "$(dirname -- "$agent_log")"
  : >"$agent_log"
  local port_file=$agent_home/model-port
  rm -f -- "$port_file"
  mkfifo -- "$port_file"
  # Not the agent's own stderr: Node makes it non-blocking, for everybody who has it, and codex ends with
  # an error as soon as it then finds a pipe full.
  node "$agent_dir/mock-llm.mjs" --script "$agent_script" --log "$agent_log" --workdir "$agent_work" \
    --port "${AGENT_PORT:-0}" --with-parent ${AGENT_DUMP:+--dump "$AGENT_DUMP"} >"$port_file" </dev/null 2> >(exec cat >&2) &
  agent_model_pid=$!
  local port=
  read -r port <"$port_file" || agent_fail "the mock model did not start"
  rm -f -- "$port_file"
  agent_url=http://127.0.0.1:$port

  agent_set "HOME=$agent_home" "TMPDIR=${AGENT_TMPDIR:-$agent_home/tmp}" "PATH=$PATH" "USER=${USER:-agent}" "LOGNAME=${USER:-agent}" \
    "AGENT_RUN=$agent_run_id" SHELL=/bin/bash LANG=C.UTF-8 "TERM=${TERM:-dumb}" NO_COLOR=1 GIT_TERMINAL_PROMPT=0
}

agent_find() {
  local root=${AGENTS_DIR:-$agent_dir}/node_modules candidate
  [ -d "$root" ] || agent_fail "$root: not there; set AGENTS_DIR to the npm prefix that holds the agents (README.md)"
  for candidate in "$@"; do
    # A package's placeholder that waits for its install script is no program.
    if [ -x "$root/$candidate" ] && ! { [ "${candidate%.exe}" != "$candidate" ] && [ "$(stat -Lc %s "$root/$candidate")" -lt 1000000 ]; }; then
      agent_bin=$(cd -- "$(dirname -- "$root/$candidate")" && pwd -P)/$(basename -- "$candidate")
      return
    fi
  done
  agent_fail "$agent_name is not installed under $root (README.md)"
}

agent_set() {
  agent_env+=("$@")
}

agent_run() {
  local passed=() name
  for name in XDG_RUNTIME_DIR ${!CELLRUN_@} ${AGENT_PASS:-}; do
    [ -z "${!name+set}" ] || passed+=("$name=${!name}")
  done
  local command
  case ${AGENT_ENV:-before} in
    # The agent's environment is set before PREFIX, as a user's shell does it.
    before) command=(env -i ${passed[@]+"${passed[@]}"} "${agent_env[@]}" ${agent_prefix[@]+"${agent_prefix[@]}"} "$@") ;;
    # PREFIX keeps the caller's; the agent's is set by `env` inside the sandbox.
    inside) command=(${agent_prefix[@]+"${agent_prefix[@]}"} env -i "${agent_env[@]}" "$@") ;;
    *) agent_fail "AGENT_ENV is \"before\" or \"inside\"" ;;
  esac
  cd -- "$agent_work"
  agent_ran=1
  local status=0
  timeout --kill-after=10 "${AGENT_TIMEOUT:-300}" "${command[@]}" </dev/null &
  agent_pid=$!
  wait "$agent_pid" || status=$?
  agent_pid=
  exit "$status"
}
