// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun::test {

// Scripts for `bash -c`, each in an empty directory, whose standard output, standard error and
// status must not depend on where their programs run. Nothing in them names a process id, a time, or
// a file outside their directory that they write.
inline constexpr const char* kCorpus[] = {
    // Statuses.
    "/bin/true", "/bin/false", "sh -c 'exit 7'", "sh -c 'exit 255'", "sh -c 'exit 256'",
    "/bin/true && echo yes", "/bin/false || echo no", "! /bin/true", "/bin/true; /bin/false",
    "sh -c 'exit 3' | cat; echo ${PIPESTATUS[0]}", "set -e; /bin/false; echo never",
    "if ls missing 2>/dev/null; then echo there; else echo not $?; fi",
    "python3 -c 'import sys; sys.exit(9)'", "python3 -c 'raise ValueError(1)'",
    "perl -e 'exit 11'", "awk 'BEGIN { exit 5 }'", "expr 1 - 1", "test 1 = 2", "[ -e / ]",
    "timeout 5 /bin/true", "env /bin/false", "nice /bin/false", "sh -c '(exit 4)'",
    "xargs sh -c 'exit 3' </dev/null",
    // Signals.
    "sh -c 'kill -TERM $$'", "sh -c 'kill -KILL $$'", "sh -c 'kill -INT $$'", "sh -c 'kill -HUP $$'",
    "sh -c 'kill -QUIT $$'", "sh -c 'kill -ABRT $$'", "sh -c 'kill -SEGV $$'",
    "sh -c 'kill -PIPE $$'", "sh -c 'kill -USR1 $$'", "sh -c 'kill -ALRM $$'",
    "sh -c 'trap \"echo caught; exit 5\" TERM; kill -TERM $$; echo never'",
    "sh -c 'trap \"\" TERM; kill -TERM $$; echo alive'",
    "trap '' USR1; sh -c 'kill -USR1 $$; echo ignored'",
    "trap '' HUP; sh -c 'kill -HUP $$; echo ignored'",
    "nohup sh -c 'kill -HUP $$; echo alive' </dev/null 2>/dev/null",
    "timeout -s KILL 0.3 sleep 20", "timeout 0.3 sleep 20", "timeout -s INT 0.3 sleep 20",
    "sleep 30 & kill $!; wait $!", "sleep 30 & kill -9 $!; wait $! 2>/dev/null", "sleep 30 & kill -INT $!; "
    "kill -TERM $!; wait $!", "sleep 30 & kill -USR2 $!; wait $! 2>/dev/null",
    "sh -c 'trap \"exit 6\" USR1; echo up; while :; do sleep 0.02; done' > out & until grep -q up "
    "out 2>/dev/null; do :; done; kill -USR1 $!; wait $!; echo $?",
    "python3 -c 'import os; os.abort()'", "python3 -c 'import os, signal; os.kill(os.getpid(), "
    "signal.SIGSEGV)'",
    "yes | head -3", "yes | head -1; echo ${PIPESTATUS[0]}", "seq 100000 | head -2",
    "python3 -c 'import signal; print(signal.getsignal(signal.SIGINT))'",
    "sh -c 'sleep 0.05; exit 2' & wait $!; echo $?",
    // Pipelines and streams.
    "echo a | cat", "echo a | cat | cat | cat | cat", "seq 10 | sort -rn | head -3",
    "printf 'b\\na\\n' | sort", "cat </dev/null", "cat < /etc/hostname >/dev/null", "echo x | tee a b; "
    "cat a b", "seq 5 | paste -sd+", "seq 5 | xargs echo", "seq 4 | xargs -n1 -P2 true; echo $?",
    "echo data > f; cat < f", "echo 1 > f; echo 2 >> f; cat f", "cat f g h", "ls missing", "ls -d .",
    "cat <<< here", "cat <<E\nline\nE\n", "printf 'no newline'", "printf '\\0\\1\\377' | od -c",
    "sh -c 'echo out; echo err >&2'", "sh -c 'echo out; echo err >&2' 2>&1",
    "sh -c 'echo err >&2' 2>&1 >/dev/null", "sh -c 'echo a; echo b >&2' 2>err; cat err",
    "diff <(seq 3) <(seq 4)", "cat <(echo sub)", "cmp <(echo a) <(echo a)", "tee >(cat >copy) <<< x "
    ">/dev/null; until [ -s copy ]; do :; done; cat copy",
    "exec 3>f; sh -c 'echo three >&3'; exec 3>&-; cat f", "echo in | sh -c 'read a; echo $a; cat'",
    "printf 'one\\ntwo\\n' | (sh -c 'read a; echo $a'; cat >/dev/null)",
    "printf 'a\\nb\\n' > f; exec 4<f; sh -c 'read x <&4; echo $x'; read y <&4; echo $y",
    "sh -c 'echo closed' >&-", "sh -c 'cat' <&-", "sh -c 'echo x >&2' 2>&-", "ls /proc/self/fd | wc -l",
    "sh -c 'ls -l /proc/self/fd/0 >/dev/null'", "head -c 3 /dev/zero | od -c", "mkfifo p; (echo f > p "
    "&) ; cat p", "dd if=/dev/zero bs=1k count=3 2>/dev/null | wc -c",
    "(echo a; echo b) | while read l; do echo [$l]; done", "echo x | grep -q x && echo found",
    "grep -c . /etc/passwd", "grep nothing /etc/hosts", "grep x missing", "coproc cat; echo hi "
    ">&${COPROC[1]}; read l <&${COPROC[0]}; echo $l",
    "python3 -c 'print(input())' <<< typed", "python3 -c 'import sys; sys.stderr.write(\"e\\n\")'",
    "python3 -c 'import sys; print(sys.stdin.isatty(), sys.stdout.isatty())'", "test -t 0; echo $?",
    "tty", "cat -", "bash -c 'cat; echo $?' < /dev/null", "wc -l < /etc/passwd >/dev/null; echo $?",
    // Large output.
    "seq 200000 | sha256sum", "head -c 5000000 /dev/zero | sha256sum", "seq 50000", "yes x | head -c "
    "3000000 | wc -c", "head -c 2000000 /dev/zero > f; cat f | wc -c", "head -c 1000000 /dev/zero | "
    "cat | cat | cat | sha256sum", "python3 -c 'print(\"y\" * 1000000)' | wc -c", "seq 30000 >&2",
    "head -c 300000 /dev/zero | tee f | wc -c; wc -c < f", "tr a b < /dev/null",
    // Missing files and programs.
    "./missing", "missing-program", "/usr/bin/missing", "cat missing", "./.", "/etc/passwd",
    "echo '#!/bin/sh\necho script' > s; ./s", "echo '#!/bin/sh\necho script $0 $1' > s; chmod +x s; "
    "./s arg", "echo '#!/missing/interpreter' > s; chmod +x s; ./s 2>/dev/null; echo $?",
    "echo 'echo no interpreter $1' > s; chmod +x s; ./s arg", "mkdir d; ./d", "mkdir d; chmod 0 d; ls d "
    "2>/dev/null; echo $?; chmod 700 d", "cd missing; pwd >/dev/null", "find . -name missing", "rm missing", "touch a/b",
    "mkdir d d", "rmdir .", "ln -s a a; cat a", "stat missing >/dev/null", "cp missing x", "mv a b",
    // Arguments and environment.
    "printf '[%s]' a 'b c' '' '*' '\"' \"'\"; echo", "sh -c 'echo $# \"$@\"' name a 'b c' ''",
    "sh -c 'echo $0' zero", "(exec -a other sh -c 'echo $0')", "A=1 sh -c 'echo $A'",
    "env -i A=b /usr/bin/env", "A=$'x\\ny' sh -c 'echo \"$A\"'", "export B=2; python3 -c 'import os; "
    "print(os.environ[\"B\"])'", "env -i sh -c 'echo ${A-unset}'", "printf '%s\\n' $'\\xff\\xfe' | od "
    "-c", "echo äöü | cat", "sh -c \"echo $(printf 'x%.0s' $(seq 5000))\" | wc -c",
    "/bin/echo $(seq 3000) | wc -w", "sh -c 'echo $LANG'", "sh -c 'echo $HOME | wc -l'",
    "xargs -0 printf '%s,' < <(printf 'a\\0b\\0')", "sh -c 'set' >/dev/null; echo $?",
    // Directories, files, limits.
    "sh -c pwd | xargs basename", "mkdir d; cd d; sh -c pwd | xargs basename", "mkdir d; (cd d; touch "
    "in); ls d", "cd /; ls -d usr", "cd /usr; sh -c pwd", "mkdir -p a/b/c; find a", "touch f; ls", "umask "
    "077; touch f; stat -c %a f", "umask 0; mkdir d; stat -c %a d", "sh -c umask", "(umask 027; sh -c "
    "umask)", "(ulimit -n 64; sh -c 'ulimit -n')", "(ulimit -c 0; sh -c 'ulimit -c')", "(ulimit -f 1; "
    "head -c 5000 /dev/zero > f; echo $?) 2>/dev/null", "(ulimit -s 2048; sh -c 'ulimit -s')", "nice -n "
    "5 nice", "touch f; chmod 640 f; stat -c %a f", "echo x > f; ln f g; stat -c %h g", "ln -s f l; "
    "readlink l", "stat -c %U f 2>&1; touch f; [ -O f ] && echo mine", "id -u", "id -un", "whoami",
    "sh -c 'echo $PPID | wc -l'", "uname -s", "hostname | wc -l", "tar cf - . | tar tf - | head -1",
    "echo x > f; gzip f; gunzip f.gz; cat f", "sed s/a/b/ <<< aaa", "awk '{ print $2 }' <<< 'a b'",
    "sort -u <<< $'b\\na\\nb'", "cut -d: -f1 <<< a:b", "tr a-z A-Z <<< up", "wc <<< 'a b'", "rev <<< "
    "abc", "basename /a/b", "dirname /a/b", "seq 3 | tac", "echo 1 2 | xargs -n1 echo",
    "date -d @0 -u +%Y", "sha256sum /etc/hostname | wc -w", "bc <<< 1+1 2>/dev/null; :",
    "python3 - <<E\nimport subprocess\nprint(subprocess.run(['sh', '-c', 'echo in; exit 3'], "
    "capture_output=True))\nE\n",
    "python3 -c 'import subprocess as s; p = s.Popen([\"cat\"], stdin=s.PIPE, stdout=s.PIPE); "
    "print(p.communicate(b\"x\"))'",
    "python3 -c 'import os; r, w = os.pipe(); os.write(w, b\"p\"); print(os.read(r, 1))'",
    "printf 'all:\\n\\t@echo made\\n\\t@false\\n' > Makefile; make; echo $?",
    "printf 'a b:\\n\\t@echo $@\\nall: a b\\n' > Makefile; make -j2 all | sort",
    "git init -q . 2>/dev/null; git status --short | wc -l", "find / -maxdepth 1 -name usr",
    "(sleep 0.05; echo late) & wait; echo end", "sh -c 'sh -c \"sh -c \\\"exit 8\\\"\"'", "true | false | "
    "true; echo ${PIPESTATUS[@]}", "set -o pipefail; false | true; echo $?", "for i in 1 2 3; do "
    "/bin/echo $i; done", "x=$(seq 3); echo $x", "x=$(sh -c 'exit 3'); echo $?", "read x < <(echo "
    "sub); echo $x", "time -p true 2>/dev/null; echo $?", "sh <<< 'echo stdin; exit 2'",
};

}  // namespace cellrun::test
