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
 CELLRUN_BENCH_INSIDE=1 exec unshare --mount --net "$0" "$build" --rounds "$rounds" "$@"
fi
place=$(mktemp -d "${TMPDIR:-/tmp}/cellrun-bench.XXXXXX")
if [ -n "${CELLRUN_BENCH_INSIDE:-}" ]; then
  mount -t tmpfs -o mode=755 cellrun-bench "$place"
elif [ "$(stat -f -c %T "$place")" != tmpfs ]; then
  echo "note: ${TMPDIR:-/tmp} is not a tmpfs, and only root can mount one here: the disk is measured as well" >&2
fi
link=
finish() {
  [ -z "$link" ] || kill "$link" 2>/dev/null || true
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
cp "$build/tests/cells/"{files,minimal,pace,storm,traffic} "$place/cells/"
cp -r "$tests/integration/data/tally" "$place/data"
export CELLRUN_RUNTIME_DIR=$place/run CELLRUN_STATE_DIR=$place/state CELLRUN_CONFIG_DIR=$place/config

# A network of our own: loopback, and a link of 1 Gbit/s to another namespace, where a server is. It is also what
# others take their settings from.
make_link() {
  ip link set dev lo up
  mkfifo "$place/never"
  exec {never}<>"$place/never" # input that does not end
  setpriv --pdeathsig KILL unshare --net "$place/cells/traffic" serve 0.0.0.0 47001 47002 <&"$never" >"$place/link" &
  link=$!
  until grep -qs up "$place/link"; do kill -0 "$link" && sleep 0.05; done
  ip link add name out0 type veth peer name in0 netns "$link"
  nsenter --net --target "$link" ip address add 10.99.0.1/24 dev in0
  nsenter --net --target "$link" ip address add 10.99.0.3/24 dev in0
  nsenter --net --target "$link" ip link set dev in0 up
  nsenter --net --target "$link" tc qdisc add dev in0 root tbf rate 1gbit burst 256k latency 50ms
  ip address add 10.99.0.2/24 dev out0
  ip link set dev out0 up
  ip route add default via 10.99.0.1
  tc qdisc add dev out0 root tbf rate 1gbit burst 256k latency 50ms
  export CELLRUN_BENCH_LINK=10.99.0.3
}
if [ -n "${CELLRUN_BENCH_INSIDE:-}" ]; then make_link; fi

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
  for name in files minimal pace storm traffic; do rule "$place/cells/$name"; done
} >"$place/bench.yaml"

"$build/tests/bench/cellrun_bench" "$place/prefix" "$place/cells" "$place/data" "$place/work" "$place/bench.yaml" \
  "$build/bench.json" "$rounds" "$@"
echo "figures: $build/bench.json"
