#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# failures.sh DIRECTORY: what the tests that failed in ctest's last run there wrote, once more and together at the
# end, where somebody who sees only the end of a long log finds it; also those that passed when they were run again.
# At most 60 lines of each.
set -euo pipefail

log=$1/Testing/Temporary/LastTest.log failed=$1/Testing/Temporary/LastTestsFailed.log
[ -s "$failed" ] || failed=/dev/null
for before in "$1"/failures/*; do
  [ -e "$before" ] || continue
  name=${before##*/}
  name=${name//%//}
  grep -qxE "[0-9]+:${name//./\\.}" "$failed" && continue
  printf '\n==== failed, and passed when it was run again: %s\n' "$name"
  tail -60 "$before"
done
while IFS=: read -r _ name; do
  printf '\n==== failed: %s\n' "$name"
  awk -v name="$name" '
    /^[0-9]+\/[0-9]+ Testing: / { mine = substr($0, index($0, ": ") + 2) == name; out = 0 }
    mine && /^<end of output>$/ { out = 0 }
    mine && out && !/^-+$/ { print }
    mine && /^Output:$/ { out = 1 }' "$log" | tail -60
done <"$failed"
