"""Becomes another program that cannot outlive its parent, and that need not be root.

Run as a file, `python -I -S tether.py PARENT_PID ORPHAN_SIGNAL USER PROGRAM ARGUMENTS…`: it turns into USER
("-" stays who it is), asks the kernel to send ORPHAN_SIGNAL when the parent dies, and executes PROGRAM in its
own place, under the same pid. It imports the standard library only, and is a launcher instead of a
`preexec_fn` because running Python between fork and exec is unsafe in a process with threads.
Off Linux the kernel makes no such promise; there the next start stops what was left (home.py).
"""

import ctypes
import os
import pwd
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    parent, orphan_signal, user, *command = sys.argv[1:]
    if user != "-":
        become(user)
    if sys.platform == "linux":
        # After `become`: changing identity clears it.
        check(libc().prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0))
    if os.getppid() != int(parent):  # it died before the kernel was asked
        sys.exit(128 + signal.SIGKILL)
    os.execvp(command[0], command)


def become(user: str) -> None:
    """Turn from root into `user`, keeping (on Linux) only the right to pass by file permissions.

    PostgreSQL refuses to run as root, and root's checkout is often a folder that nobody else may enter. This
    right lets the server reach its own files there without opening anyone's folders to the world.
    """
    entry = pwd.getpwnam(user)
    linux = sys.platform == "linux"
    if linux:
        check(libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if linux:
        keep = 1 << CAP_DAC_OVERRIDE
        header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
        sets = struct.pack("6I", keep, keep, keep, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
        check(libc().capset(header, sets))
        check(libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0))


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
