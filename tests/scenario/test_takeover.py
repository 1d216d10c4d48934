"""SIGUSR2: the new process accepts connections, and the old process does not know this yet. At each moment one of them
accepts, even if the new process is killed."""

import contextlib
import grp
import os
import pathlib
import signal

import pytest

from support import raw
from support.aggregators import CountingAggregator
from support.config_file import route
from support.forward import Agent, carry_acked
from support.hot_restart import FAILED, TAKES_OVER, Replaceable, has_ended
from support.process import eventually
from support.reloading import listen

KILLED = FAILED + "the new process was ended by signal 9"


@pytest.fixture
def program(tmp_path):
    return Replaceable(tmp_path)


def visit(address, number):
    with contextlib.closing(Agent(raw.connect(address))) as agent:
        carry_acked(agent, number, f"{number}")


def is_stopped(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return all((task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for task in tasks)


@contextlib.contextmanager
def deaf(husks, running, program):
    """The old process is stopped while a new one starts."""
    program.hold()
    husks.start()
    running.husk.wait_for_line(lambda line: line == "copied", "copied")
    os.kill(running.husk.pid, signal.SIGSTOP)
    eventually(lambda: is_stopped(running.husk.pid), "all threads stop")
    try:
        program.go_on(running.path)
        yield
    finally:
        os.kill(running.husk.pid, signal.SIGCONT)


@pytest.mark.parametrize("is_killed", [False, True], ids=["lives", "killed"])
def test_the_new_process_accepts_before_the_old_one_stops(file, restarting, program, tmp_path, is_killed):
    path, address = tmp_path / "aggregator", raw.free_address()
    aggregator = CountingAggregator(address=str(path))  # a path needs no resolver, which runs when the old process has stopped
    running = file(route("one", f"unix:{path}", listen=listen(address)), binary=program.path)
    husks = restarting(running.husk)
    with deaf(husks, running, program):
        visit(address, 1)
        if is_killed:
            os.kill(husks.pids[-1], signal.SIGKILL)
            eventually(lambda: has_ended(husks.pids[-1]), "the new process ends")
    if is_killed:
        assert running.husk.problem()["message"] == KILLED
        visit(address, 2)
        program.replace()
        husks.swap()
    else:
        husks.pid = running.husk.wait_for_event(message=TAKES_OVER)["pid"]
    husks.wait_until_alone()
    visit(address, 3)


def test_a_new_process_that_is_killed_ends_no_refusal(file, restarting, program):
    address, upstream = raw.free_address(), raw.free_address()
    running = file(route("one", raw.format_address(upstream), listen=listen(address),
                         health={"interval": "50ms", "when_unhealthy": "refuse"}), binary=program.path)
    eventually(lambda: raw.is_refused(address), "a refusal")
    husks = restarting(running.husk)
    with deaf(husks, running, program):
        eventually(lambda: not raw.is_refused(address), "the new process accepts")
        os.kill(husks.pids[-1], signal.SIGKILL)
        eventually(lambda: has_ended(husks.pids[-1]), "the new process ends")
    running.husk.wait_for_event(message=KILLED)
    eventually(lambda: raw.is_refused(address), "connections are refused again")
    aggregator = raw.Listener(upstream)
    eventually(lambda: not raw.is_refused(address), "connections are accepted again")
    aggregator.close()


# ---- the rights of Unix sockets ----

def test_the_file_of_a_unix_socket_gets_the_rights_of_the_new_process(file, restarting, tmp_path):
    path, taken = tmp_path / "agents", raw.Listener()

    def at(**access):
        return route("one", raw.format_address(taken.address), listen={"address": f"unix:{path}", **access})

    def rights():
        return path.stat().st_mode & 0o777, path.stat().st_gid
    group = path.parent.stat().st_gid
    running = file(at(mode="0600"))
    husks = restarting(running.husk)
    before = rights()
    running.replace(at(mode="0660"), route("two", raw.format_address(taken.address), listen=listen(taken.address)))
    husks.start()
    running.husk.wait_until(lambda _: [e for e in running.husk.problems() if e["message"].startswith(FAILED)], "a failure")
    assert rights() == before == (0o600, group)
    running.replace(at(mode="0660"))
    husks.swap()
    assert rights() == (0o660, group)
    if os.geteuid() == 0:
        running.replace(at(mode="0660", group="daemon"))
        husks.swap()
        assert rights() == (0o660, grp.getgrnam("daemon").gr_gid)
    raw.connect(str(path)).close()
    husks.wait_until_alone()
    taken.close()
