#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD [--rounds N] [PART…]: copies BUILD into a directory on a tmpfs and measures that copy; the figures
# go to BUILD/bench.json as well. Called by `./dev bench`.
set -euo pipefail

build=$1
shift
rounds=0
if [ "${1:-}" = --rounds ]; then
  rounds=$2
  shift 2
fi
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# A disk would be measured with everything that starts from it: a tmpfs of our own where we may mount one. Not
# /dev/shm: no workspace may lie below /dev.
if [ -z "${CELLRUN_BENCH_INSIDE:-}" ] && [ "$(id -u)" = 0 ]; then
  CELLRUN_BENCH_INSIDE=1 exec unshare --mount "$0" "$build" --rounds "$rounds" "$@"
fi
place=$(mktemp -d "${TMPDIR:-/tmp}/cellrun-bench.XXXXXX")
if [ -n "${CELLRUN_BENCH_INSIDE:-}" ]; then
  mount -t tmpfs -o mode=755 cellrun-bench "$place"
elif [ "$(stat -f -c %T "$place")" != tmpfs ]; then
  echo "note: ${TMPDIR:-/tmp} is not a tmpfs, and only root can mount one here: the disk is measured as well" >&2
fi
finish() {
  "$place/prefix/bin/cellrun" broker stop --force >/dev/null 2>&1 || true
  if [ -n "${CELLRUN_BENCH_INSIDE:-}" ]; then umount -l "$place"; fi
  rm -rf "$place"
}
trap finish EXIT
mkdir "$place/work" "$place/cells"
mkdir -m 700 "$place/run" "$place/state" "$place/config"
mkdir -p "$place/prefix/bin"
cp "$build/bin/cellrun" "$place/prefix/bin/"
cp -r "$build/libexec" "$build/share" "$place/prefix/" # the build tree has the installed layout
cp "$build/tests/cells/"{files,minimal,pace,storm} "$place/cells/"
cp -r "$tests/integration/data/tally" "$place/data"
export CELLRUN_RUNTIME_DIR=$place/run CELLRUN_STATE_DIR=$place/state CELLRUN_CONFIG_DIR=$place/config

# Default deny and a rule for each program: every exec is judged, compared and recorded.
rule() { printf '    - {when: {exe: "%s"}, then: allow}\n' "$1"; }
script() { printf '    - {when: {script: "%s"}, then: allow}\n' "$1"; }
{
  printf 'cellrun: 1\nname: bench\nextends: [base]\naudit: {commands: all}\ncommands:\n  default: deny\n  rules:\n'
  for name in true sh bash make gcc cc as ld awk mawk sed grep egrep fgrep cat cmp cp mv rm mkdir rmdir ln ls chmod \
    touch expr sort uname hostname tr cut head tail test printf echo date diff env dirname basename; do
    rule "$name"
  done
  for name in cc1 collect2; do rule "$(gcc -print-prog-name="$name")"; done
  rule ./tally/conftest
  rule ./tally/tally
  script ./tally/configure
  script ./tally/config.status
  for name in git node; do rule "$name"; done
  rule "$(git --exec-path)/git"
  script "$(readlink -f "$(command -v npm)")"
  for name in files minimal pace storm; do rule "$place/cells/$name"; done
} >"$place/bench.yaml"

"$build/tests/bench/cellrun_bench" "$place/prefix" "$place/cells" "$place/data" "$place/work" "$place/bench.yaml" \
  "$build/bench.json" "$rounds" "$@"
echo "figures: $build/bench.json"
