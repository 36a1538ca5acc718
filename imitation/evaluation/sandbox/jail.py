"""The inside of the sandbox: one process that puts up its walls and runs one program.

Started by `imitation.evaluation.sandbox.execute` with `python -I -S -B code_jail.py`; it imports
nothing of ours. Standard input is one JSON line of `Limits` and the program. In order: resource
limits, no new privileges, no capabilities, Landlock (files), seccomp (network, processes,
signals), each reported in one line on standard output before the program starts. After the
program has run to its end a second line, with a number the program was never given as such, says
so: an early `sys.exit(0)` is not taken for success.
"""

import ctypes
import json
import os
import platform
import resource
import struct
import sys
import sysconfig

X86, ARM = "x86_64", "aarch64"
AUDIT = {X86: 0xC000003E, ARM: 0xC00000B7}

# System calls by number: (x86_64, aarch64), None where an architecture lacks one.
DENIED: dict[str, tuple[int | None, int | None]] = {
    # network, and what can open a socket without the call
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # processes
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "setpgid": (109, 154), "setsid": (112, 157),
    # priorities and processors, which may be other processes'
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # signals and other processes
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kcmp": (312, 272), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "fanotify_init": (300, 262), "syslog": (103, 116),
    # limits
    "setrlimit": (160, 164), "prlimit64": (302, 261),
    # folders: the one it has is enough, and one without folders in it can always be deleted
    "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33),
    # what Landlock leaves open to an owner of files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "truncate": (76, 45), "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88),
    "futimesat": (261, None), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "open_by_handle_at": (304, 265),
    # memory that outlives the process or is not counted
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # the system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273),
    "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "sethostname": (170, 161),
    "fsopen": (430, 430), "fsmount": (432, 432), "move_mount": (429, 429),
    "open_tree": (428, 428), "mount_setattr": (442, 442),
}  # fmt: skip
CLONE, CLONE3, TGKILL = (56, 220), (435, 435), (234, 131)
CLONE_THREAD = 0x00010000

# Of these two, only what Python itself asks for. The rest of fcntl has signals sent to any process
# of the same user (F_SETOWN, F_SETSIG, O_ASYNC, leases), and the rest of ioctl does so too.
FCNTL, IOCTL = (72, 25), (16, 29)
FCNTL_ALLOWED = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # copies, flags, locks, F_DUPFD_CLOEXEC
IOCTL_ALLOWED = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, FIONREAD, FIONBIO, FI(N)CLEX
F_SETFL, O_ASYNC = 4, 0x2000
_NUMBER, _ARGUMENTS = 0, (16, 24, 32)  # where seccomp has a call's number and its arguments

_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_LOAD, _EQUAL, _BITS, _GREATER, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06

_libc = ctypes.CDLL(None, use_errno=True)


def limit_resources(limits: dict[str, int]) -> bool:
    """Limits of the kernel; True where all took."""
    for name, value in (
        ("RLIMIT_CPU", limits["cpu_s"]),
        ("RLIMIT_AS", limits["memory_bytes"]),
        ("RLIMIT_FSIZE", limits["file_bytes"]),
        ("RLIMIT_NOFILE", limits["files"]),
        ("RLIMIT_CORE", 0),
    ):
        resource.setrlimit(getattr(resource, name), (value, value))
    return True


def drop_privileges() -> bool:
    """No new privileges, and none of root's; True where that took."""
    if _libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        return False
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    return bool(_libc.capset(header, bytes(24)) == 0)


def wall_files(scratch: str) -> bool:
    """Landlock: Python's own files can be read, `scratch` written, nothing else; True if so."""
    create, add, restrict = 444, 445, 446
    abi = _libc.syscall(create, None, 0, 1)
    if abi < 1:
        return False
    every = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    attributes = struct.pack("Q", every)
    rules = _libc.syscall(create, attributes, len(attributes), 0)
    if rules < 0:
        return False
    read = (1 << 0) | (1 << 2) | (1 << 3)  # execute (to map libraries), read files, read folders
    allowed = {path: read for path in readable()}
    allowed[scratch] = every & ~((1 << 0) | (1 << 6) | (1 << 11))  # no running, no devices
    for path, access in allowed.items():
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):
            access &= ~(1 << 3)
        rule = struct.pack("=Qi", access & every, handle)
        done = _libc.syscall(add, rules, 1, rule, 0)
        os.close(handle)
        if done:
            return False
    done = _libc.syscall(restrict, rules, 0)
    os.close(rules)
    return bool(done == 0)


def readable() -> set[str]:
    """Folders Python needs: its library, and the system's for what that is linked to."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    paths |= {"/usr/lib", "/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"}
    paths |= {"/dev/null", "/dev/urandom", "/usr/share/zoneinfo"}
    return {path for path in paths if path and os.path.exists(path)}


def wall_calls() -> bool:
    """Seccomp: no network, no processes, no signals to others; True where it took."""
    machine = {"arm64": ARM}.get(platform.machine(), platform.machine())
    if machine not in AUDIT:
        return False
    column = (X86, ARM).index(machine)
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, AUDIT[machine]), (_RETURN, 0, 0, _KILL)]
    program += [(_LOAD, 0, 0, _NUMBER)]
    if machine == X86:  # the 32-bit-pointer variant has other numbers
        program += [(_GREATER, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    for numbers in DENIED.values():
        if (number := numbers[column]) is not None:
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    program += _only(FCNTL[column], 1, FCNTL_ALLOWED) + _only(IOCTL[column], 1, IOCTL_ALLOWED)
    program += [(_EQUAL, 0, 5, FCNTL[column]), (_LOAD, 0, 0, _ARGUMENTS[1])]
    program += [(_EQUAL, 0, 3, F_SETFL), (_LOAD, 0, 0, _ARGUMENTS[2])]
    program += [(_BITS, 0, 1, O_ASYNC), (_RETURN, 0, 0, _EPERM), (_LOAD, 0, 0, _NUMBER)]
    # glibc asks clone3 first and takes clone where there is none; only threads may be made.
    program += [(_EQUAL, 0, 1, CLONE3[column]), (_RETURN, 0, 0, _ENOSYS)]
    program += [(_EQUAL, 0, 4, CLONE[column]), (_LOAD, 0, 0, _ARGUMENTS[0])]
    program += [(_BITS, 1, 0, CLONE_THREAD), (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    # abort() signals its own thread; no other process.
    program += [(_EQUAL, 0, 4, TGKILL[column]), (_LOAD, 0, 0, _ARGUMENTS[0])]
    program += [(_EQUAL, 1, 0, os.getpid()), (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    program += [(_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    wanted = Filter(len(program), ctypes.addressof(buffer))
    done = _libc.prctl(22, 2, ctypes.byref(wanted), 0, 0)
    return bool(done == 0)  # PR_SET_SECCOMP, filter mode


def _only(call: int, argument: int, values: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Instructions that refuse a call unless its argument (0 to 2) is one of the values.

    Begun and left with the call's number loaded.
    """
    n = len(values)
    allow = [(_EQUAL, n - i, 0, value) for i, value in enumerate(values)]
    load = (_LOAD, 0, 0, _ARGUMENTS[argument])
    back = (_LOAD, 0, 0, _NUMBER)
    return [(_EQUAL, 0, n + 2, call), load, *allow, (_RETURN, 0, 0, _EPERM), back]


def main() -> None:
    """Put up the walls, say which stand, run the program."""
    asked = json.loads(sys.stdin.buffer.readline())
    os.environ.pop("PWD", None)  # bubblewrap sets it
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What the program prints is nobody's; input there is none. Opened while that is allowed.
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1, 2):
        os.dup2(nothing, place)
    linux = sys.platform == "linux"
    walls = {"limits": limit_resources(asked["limits"])}
    walls["privileges"] = linux and drop_privileges()
    walls["files"] = linux and wall_files(os.getcwd())
    walls["calls"] = linux and walls["privileges"] and wall_calls()
    print(json.dumps(walls), file=report, flush=True)
    if any(not walls[name] for name in asked["needed"]):
        return
    number, program = asked["number"], asked["program"]
    del asked
    said = ""
    try:
        exec(compile(program, "<answer>", "exec"), {"__name__": "__answer__"})
    except SystemExit:
        said = "SystemExit"
    except BaseException as error:  # whatever the program raises is its verdict
        said = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps({"number": number, "said": said}), file=report, flush=True)
    os._exit(0)  # threads and exit handlers of the program don't get their turn


if __name__ == "__main__":
    main()
