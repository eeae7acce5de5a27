#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""agents.py BUILD PACKAGES [ROUNDS]: whole runs of real coding agents in a cell against bare ones.

Interleaved; the figure is the median of the rounds' ratios. Everything lies on a tmpfs of its own,
as the home of an agent in a cell does. Called by `./dev bench agents` as root, in a mount namespace.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "agents")
SETUPS = [("codex", "codex", "gpt-5.5"), ("codex, code mode", "codex", "gpt-6-sol"),
          ("opencode", "opencode", "")]


def prepare(place, build):
    for name in ("bin", "libexec", "share"):
        shutil.copytree(os.path.join(build, name), os.path.join(place, "prefix", name))
    shutil.copytree(DRIVER, os.path.join(place, "driver"))
    for name in ("home", "work", "state", "config"):
        os.mkdir(os.path.join(place, name))
    os.mkdir(os.path.join(place, "run"), 0o700)
    work = os.path.join(place, "work")
    subprocess.run(["git", "init", "-q", "-b", "main", work], check=True)
    with open(os.path.join(work, "hello.c"), "w", encoding="ascii") as file:
        file.write("int main(void) { return 0; }\n")
    return work


def seconds(command, environment, work):
    for name in ("notes", "hello"):
        path = os.path.join(work, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
    started = time.monotonic()
    subprocess.run(command, env=environment, cwd=work, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def measure(place, packages, work, setup, rounds):
    name, agent, model = setup
    driver = os.path.join(place, "driver")
    environment = dict(os.environ, AGENTS_DIR=packages, CODEX_MODEL=model,
                       AGENT_HOME_BASE=os.path.join(place, "home"),
                       **{f"CELLRUN_{kind.upper()}_DIR": os.path.join(place, where)
                          for kind, where in (("runtime", "run"), ("state", "state"), ("config", "config"))})
    # With a prefix the driver does not search the host's processes for what the agent left.
    bare = ["bash", f"{driver}/run-{agent}.sh", work, f"{driver}/example-script.json",
            f"{work}/log.jsonl", "--", "env"]
    cellrun = os.path.join(place, "prefix/bin/cellrun")
    cell = [cellrun, "run", "--profile", f"agents/{agent}", "--read", packages, "--read", driver,
            "--env", "AGENTS_DIR", "--env", "CODEX_MODEL", "--", *bare]
    subprocess.run([cellrun, "broker", "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        pairs = []
        for number in range(rounds + 1):
            order = (bare, cell) if number % 2 else (cell, bare)
            times = {id(command): seconds(command, environment, work) for command in order}
            pairs.append((times[id(bare)], times[id(cell)]))
        pairs = pairs[1:]  # the first one fills caches
        ratio = statistics.median(inside / outside for outside, inside in pairs)
        outside, inside = (statistics.median(column) for column in zip(*pairs))
        print(f"{name:18} bare {outside:6.3f} s   in a cell {inside:6.3f} s   ratio {ratio:5.3f}", flush=True)
    finally:
        subprocess.run([cellrun, "broker", "stop", "--force"], env=environment, stdout=subprocess.DEVNULL,
                       check=False)


def main():
    build, packages = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    with tempfile.TemporaryDirectory(prefix="cellrun-bench-agents.") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "cellrun-bench", place], check=True)
        try:
            work = prepare(place, build)
            for setup in SETUPS:
                measure(place, packages, work, setup, rounds)
        finally:
            subprocess.run(["umount", "-l", place], check=False)


if __name__ == "__main__":
    main()
