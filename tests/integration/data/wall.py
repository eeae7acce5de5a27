# What a process can reach that seccomp does not watch: PID CGROUP ATTEMPT…, each answered by a line.
# It joins the network namespace of the process whose pid comes first (0: stays), then the cgroup ("-": stays).
import ctypes
import errno
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)


def join(pid):
    with open(f"/proc/{pid}/ns/net") as namespace:
        if libc.setns(namespace.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def enter(cgroup):
    with open(cgroup + "/cgroup.procs", "w") as processes:
        processes.write("0")


def leave(cgroup):
    with open(os.path.dirname(cgroup) + "/cgroup.procs", "w") as processes:
        processes.write("0")


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def attempt(words):
    kind, *rest = words.split(",")
    if kind == "tcp":
        made = socket.socket(family(rest[0]), socket.SOCK_STREAM)
        made.settimeout(2)
        made.connect((rest[0], int(rest[1])))
    elif kind == "udp":
        made = socket.socket(family(rest[0]), socket.SOCK_DGRAM)
        made.connect((rest[0], int(rest[1])))
    elif kind == "send":
        made = socket.socket(family(rest[0]), socket.SOCK_DGRAM)
        made.sendto(b"x", (rest[0], int(rest[1])))
    elif kind == "fastopen":
        made = socket.socket(family(rest[0]), socket.SOCK_STREAM)
        made.settimeout(2)
        made.sendto(b"x", socket.MSG_FASTOPEN, (rest[0], int(rest[1])))
    elif kind == "raw":
        socket.socket(socket.AF_INET, socket.SOCK_RAW, int(rest[0]))
    elif kind == "unix":
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    elif kind == "many":
        for _ in range(int(rest[0])):
            try:
                socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
            except PermissionError:
                pass
    else:
        raise ValueError(kind)


if sys.argv[1] != "0":
    join(sys.argv[1])
if sys.argv[2] != "-":
    enter(sys.argv[2])
for words in sys.argv[3:]:
    try:
        attempt(words)
        print(words, "ok")
    except TimeoutError:
        print(words, "timeout")
    except OSError as error:
        print(words, errno.errorcode[error.errno])
if sys.argv[2] != "-":
    leave(sys.argv[2])  # its end would take this process along
