#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh OUTPUT [FILTER]: every attack, each lane that this user can run, on the copy that `./dev` staged
# (CELLRUN_TEST_ROOT); what each wrote goes below OUTPUT. CELLRUN_RACES says how often races are tried.
# Then the table of cases; fails when one is not held.
set -euo pipefail

output=$1 filter=${2:-}
root=$CELLRUN_TEST_ROOT
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$output"
lanes=(user)
[ "$(id -u)" != 0 ] || lanes=(root user)

# A hundred thousand tries take minutes, not seconds.
export CELLRUN_TEST_TIMEOUT=$((240 + ${CELLRUN_RACES:-1000} / 5))
for lane in "${lanes[@]}"; do
  for binary in "$root"/tests/escape_*_lane; do
    # "escape/SuiteTest." then "  Holds/CASE  # …"
    "$binary" --gtest_list_tests | awk -v lane="$lane" -v binary="${binary##*/}" \
      '/^[^ ]/ { suite = $1 } /^  / { print lane, binary, suite $1 }'
  done
done | { grep -E -- "$filter" || true; } >"$output/cases"
[ -s "$output/cases" ] || {
  echo "no case matches $filter" >&2
  exit 2
}
# shellcheck disable=SC2016 # expanded by the inner shell
xargs -P "${CELLRUN_ESCAPE_JOBS:-$(nproc)}" -L 1 bash -c \
  '"$1/run_in_lane" "$2" "$3" "$4" >"$0/$2.${4##*/}.log" 2>&1; exit 0' "$output" "$root" <"$output/cases"
"$here/table.sh" "$output"/*.log
