"""Runs one container: `container.py SPEC`, as a container runtime does. support_kubelet.py writes SPEC.

The process stays outside of the container, and ends with the exit status of its program. It kills the program when its own
standard input ends, so that no container outlives the tests."""

import ctypes
import json
import os
import select
import signal
import sys

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000  # linux/sched.h
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18  # linux/mount.h
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38  # linux/prctl.h
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    words = [word.encode() if isinstance(word, str) else word for word in arguments]
    if getattr(LIBC, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}", str(arguments))


def mount_bind(source, target, is_read_only):
    call("mount", source, target, None, MS_BIND | MS_REC, None)
    if is_read_only:
        call("mount", None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)


def enter_root(spec):
    root = spec["root"]
    call("unshare", CLONE_NEWNS)
    call("mount", None, "/", None, MS_REC | MS_PRIVATE, None)
    mount_bind(root, root, spec["is_root_read_only"])
    call("mount", "proc", root + "/proc", "proc", 0, None)
    for source, target, is_read_only in spec["mounts"]:
        mount_bind(source, root + target, is_read_only)
    os.chroot(root)
    os.chdir("/")


def drop_privileges(spec):
    if spec["drops_capabilities"]:
        for capability in range(64):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for the numbers that the kernel does not have
    os.setgroups(spec["groups"])
    os.setresgid(*[spec["group"]] * 3)
    os.setresuid(*[spec["user"]] * 3)
    if spec["is_without_new_privileges"]:
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def become(spec, report):
    """Never returns. What fails is written to `report`, which exec closes."""
    try:
        for path in spec["cgroups"]:
            with open(path, "w", encoding="ascii") as processes:
                processes.write("0")
        enter_root(spec)
        drop_privileges(spec)
        os.execvpe(spec["command"][0], spec["command"], spec["env"])
    except BaseException as error:  # pylint: disable=broad-except
        os.write(report, f"{error}\n".encode())
    finally:
        os._exit(127)


def main():
    spec = json.loads(sys.argv[1])
    report = spec["report"]
    os.set_inheritable(report, False)
    call("setns", spec["network"], CLONE_NEWNET)
    if spec["processes"] is None:
        call("unshare", CLONE_NEWPID)
    else:
        call("setns", spec["processes"], CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        os.close(0)
        os.open("/dev/null", os.O_RDONLY)
        become(spec, report)
    os.write(report, f"{child}\n".encode())
    os.close(report)
    ended = os.pidfd_open(child)
    if ended not in select.select([0, ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    status = main()
    sys.exit(status if status >= 0 else 128 - status)
