"""The machine of a run, and the CPU time that other programs used meanwhile."""

import os
import pathlib
import platform
import re
import resource
import subprocess
import time

VERSION_FLAGS = {"stunnel": "-version", "haproxy": "-v", "nginx": "-v", "hitch": "--version",
                 "ghostunnel": "--version", "fluent-bit": "--version"}


def facts():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)
    release = re.search(r'^PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text(), re.M)
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / 1048576, 1),
        "kernel": platform.release(),
        "congestion_control": pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "system": release[1] if release else platform.system(),
        "hypervisor": " hypervisor" in pathlib.Path("/proc/cpuinfo").read_text(),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def versions(husk, candidates):
    """Returns the version of each program: the first line of its output that contains a version number."""
    found = {"husk": _version_line([str(husk), "version"])}
    for name in candidates:
        if name in VERSION_FLAGS:
            found[name] = _version_line([name, VERSION_FLAGS[name]])
    return found


def _version_line(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line for line in lines if re.search(r"\d\.\d", line)), "?")


class OtherUsage:
    """Measures the CPU time that other programs use during a run."""

    def __init__(self):
        self._start, self._ticks, self._own = time.monotonic(), _ticks(), _own_seconds()

    def shares(self):
        """Shares of the machine's CPU time since the start. Call it after all children have been waited for."""
        ticks = {name: now - self._ticks[name] for name, now in _ticks().items()}
        total = sum(ticks.values()) / os.sysconf("SC_CLK_TCK")
        busy = total - (ticks["idle"] + ticks["iowait"]) / os.sysconf("SC_CLK_TCK")
        steal = ticks["steal"] / os.sysconf("SC_CLK_TCK")
        own = _own_seconds() - self._own
        return {"seconds": round(time.monotonic() - self._start),
                "others_share": round((busy - steal - own) / total, 3),
                "steal_share": round(steal / total, 3)}


def _ticks():
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    numbers = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return dict(zip(names, map(int, numbers)))


def _own_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
