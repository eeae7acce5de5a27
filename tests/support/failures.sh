#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# failures.sh DIRECTORY: what the tests that failed in ctest's last run there wrote, once more and together at the
# end, where somebody who sees only the end of a long log finds it. At most 60 lines of each.
set -euo pipefail

log=$1/Testing/Temporary/LastTest.log failed=$1/Testing/Temporary/LastTestsFailed.log
[ -s "$failed" ] || exit 0
while IFS=: read -r _ name; do
  printf '\n==== failed: %s\n' "$name"
  awk -v name="$name" '
    /^[0-9]+\/[0-9]+ Testing: / { mine = substr($0, index($0, ": ") + 2) == name; out = 0 }
    mine && /^<end of output>$/ { out = 0 }
    mine && out && !/^-+$/ { print }
    mine && /^Output:$/ { out = 1 }' "$log" | tail -60
done <"$failed"
