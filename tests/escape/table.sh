#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# table.sh LOG…: the lines that the attacks wrote, as a table. Fails when one is not held, or there is none.
set -euo pipefail

lines=$(cat -- "$@" | grep -a '^escape|' | sort -t'|' -u -k2,2V -k3,3 -k4,4) || {
  echo 'no attack has said how it ended' >&2
  exit 1
}
{
  echo 'row|case|lane|verdict|without cellrun|figures|attack'
  cut -d'|' -f2- <<<"$lines"
} | column -t -s'|' -o'  '
held=$(grep -c '^escape|[^|]*|[^|]*|[^|]*|held|' <<<"$lines" || true)
all=$(wc -l <<<"$lines")
echo "$held of $all held"
[ "$held" = "$all" ]
