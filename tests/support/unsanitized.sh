#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# unsanitized.sh address|thread: the cases that a build with this sanitizer cannot play, as one regular expression on
# standard output and, with the reason for each, on standard error.
set -euo pipefail

# sanitizers | cases | why
cases='
address,thread|\.BadMachineTest\.ABrokerWithLittleMemory|shadow memory is address space, which the case limits
address,thread|\.ElsewhereTest\.AStreamIsPassedToTheLastByteAndTakesNoMemory|measures memory, and what was freed is kept for a while
address,thread|\.FloodSlowTest\.IdleConnectionsCostTheBrokerLittle|measures memory
address,thread|\.LoadSlowTest\.TenThousandExecsLeaveNothingInTheBroker|measures memory
address,thread|\.LoadSlowTest\.AHundredCellsOneAfterTheOtherLeaveNothing|measures memory
address,thread|\.LoadSlowTest\.SixtyCellsInOneWorkspaceCostTheSameEach|measures memory
address,thread|/CrowdOfGhostsTest\.AHundredAtOnceLeaveNothing|measures memory
address|\.FaultSlowTest\.AStartWithAFaultIsRefusedOrWhole|fails calls of the launcher, and of the sanitizer in it
address,thread|/NameAttackTest\.Holds/G7_flood|measures memory and milliseconds
address,thread|/NetworkTest\.Holds/F17_socket_race|so slow that the attack does not come to run without cellrun either
address,thread|/RaceTest\.Holds/B9_interrupted|so slow that every exec is interrupted, the allowed ones too
address,thread|/SecretTest\.Holds/N4_dumps|has the broker crash, which is reported
address,thread|^LargeProfileTest\.ManyNamesLoadInShortTime|measures seconds
address|_NOT_BUILT$|unit tests of the launcher and the shim: the lanes play them
thread|_NOT_BUILT$|unit tests of what has no threads: built are those of loop, journal, http and notify
address,thread|^kernels\.|the emulated machine would take hours
address,thread|^packaging\.|no package is made of such a build
'

regex=
while IFS='|' read -r sanitizers case reason; do
  [[ ",$sanitizers," == *",$1,"* ]] || continue
  printf 'note: not with the %s sanitizer: %s: %s\n' "$1" "$case" "$reason" >&2
  regex+=${regex:+|}$case
done <<<"$cases"
printf '%s' "$regex"
