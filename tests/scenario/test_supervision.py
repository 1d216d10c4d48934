"""What husk tells the service manager of the system: the protocol of sd_notify(3)."""

import os
import signal
import time

import pytest

from support import raw
from support.config_file import route
from support.husk import flags, run
from support.process import eventually
from support.service_manager import ServiceManager
from support.threads import stopped_worker

NOWHERE = f"{raw.HOST}:1"


@pytest.fixture
def manager(tmp_path):
    made = ServiceManager(str(tmp_path / "notify"))
    yield made
    made.close()


# ---- start and end ----

@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_husk_tells_that_it_is_ready_and_that_it_stops(husk, tmp_path, kind):
    manager = ServiceManager(str(tmp_path / "notify") if kind == "path" else f"@husk-test-{os.getpid()}")
    client = husk.client(NOWHERE, protocol="tcp", env=manager.env)
    assert manager.wait_for("READY").pid == client.pid
    assert not manager.messages("STOPPING") and not manager.messages("WATCHDOG")
    client.signal(signal.SIGTERM)
    assert client.wait() == 0
    assert manager.wait_for("STOPPING").fields == {"STOPPING": "1"}
    manager.wait_for_status("draining")
    assert len(manager.messages("READY")) == 1 and not client.problems()


def test_a_husk_that_cannot_start_does_not_say_that_it_is_ready(husk, manager):
    taken = raw.Listener()
    options = husk.options(NOWHERE, husk.pki.client, listen=raw.format_address(taken.address))
    failed = run("client", *flags(**options), env=manager.env)
    assert failed.returncode == 1 and "in use" in failed.stderr
    assert not manager.messages("READY")


def test_the_status_says_in_words_why_husk_is_not_ready(husk, manager):
    address = raw.free_address()
    client = husk.client(raw.format_address(address), protocol="tcp", health_interval="50ms", env=manager.env)
    manager.wait_for_status("not ready: upstream: ")
    upstream = raw.Listener(address)
    manager.wait_for_status("ready")
    eventually(lambda: client.get("/ready")[0] == 200, "ready")
    upstream.close()
    manager.wait_for_status("not ready: upstream: ")


# ---- reload ----

def test_a_reload_has_a_begin_and_an_end(husk, manager):
    client = husk.client(NOWHERE, protocol="tcp", env=manager.env)
    manager.wait_for("READY")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    client.signal(signal.SIGHUP)
    begun = manager.wait_for("RELOADING")
    assert manager.wait_for("READY", count=2).pid == client.pid
    assert before <= int(begun.fields["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_reload_of_the_file_ends_when_the_workers_have_it(file, manager):
    places = [raw.format_address(raw.free_address()) for _ in range(2)]
    running = file(route("one", raw.Listener(), listen=places[0]), workers=3, env=manager.env)
    for count, place in enumerate((places[1], places[0]) * 3, 2):
        running.replace(route("one", raw.Listener(), listen=place))
        running.husk.signal(signal.SIGHUP)
        manager.wait_for("READY", count=count)
        raw.connect(raw.parse_address(place)).close()
        running.husk.wait_until(lambda _: len(running.husk.events(message="configuration reloaded")) == count - 1, "a reload")


def test_a_reload_has_no_end_before_all_workers_have_it(file, manager):
    places = [raw.format_address(raw.free_address()) for _ in range(2)]
    running = file(route("one", raw.Listener(), listen=places[0]), workers=2, env=manager.env)
    manager.wait_for("READY")
    with stopped_worker(running.husk):
        running.replace(route("one", raw.Listener(), listen=places[1]))
        running.husk.signal(signal.SIGHUP)
        manager.wait_for("RELOADING")
        assert running.husk.get("/live")[0] == 200  # the control thread has done its part
        time.sleep(0.3)
        assert len(manager.messages("READY")) == 1
    manager.wait_for("READY", count=2)


def test_a_reload_that_fails_has_an_end(file, manager):
    running = file(route("one", raw.Listener()), env=manager.env)
    running.write_text("routes: 5\n")
    running.husk.signal(signal.SIGHUP)
    manager.wait_for("RELOADING")
    manager.wait_for("READY", count=2)


# ---- watchdog ----

def watched(manager, pid=None):
    return {**manager.env, "WATCHDOG_USEC": "300000", **({} if pid is None else {"WATCHDOG_PID": str(pid)})}


def test_husk_tells_the_watchdog_that_it_is_alive(husk, manager):
    husk.client(NOWHERE, protocol="tcp", workers=3, env=watched(manager))
    manager.wait_for("WATCHDOG", count=5)


def test_the_watchdog_of_another_process_is_not_told(husk, manager):
    client = husk.client(NOWHERE, protocol="tcp", env=watched(manager, pid=1))
    manager.wait_for("READY")
    client.signal(signal.SIGHUP)
    manager.wait_for("READY", count=2)
    assert not manager.messages("WATCHDOG")


def test_a_worker_that_hangs_makes_husk_silent(husk, manager):
    client = husk.client(NOWHERE, protocol="tcp", workers=2, env=watched(manager))
    manager.wait_for("WATCHDOG", count=2)
    with stopped_worker(client):
        sent = len(manager.messages("WATCHDOG"))
        time.sleep(1.2)  # four times the interval
        assert len(manager.messages("WATCHDOG")) <= sent + 1  # one answer was under way
        assert client.get("/live")[0] == 200
    manager.wait_for("WATCHDOG", count=sent + 3)


# ---- managers that cannot be told ----

def test_an_address_that_husk_cannot_use_is_told_once_and_ignored(husk):
    client = husk.client(NOWHERE, protocol="tcp", env={"NOTIFY_SOCKET": "vsock:2:1234"})
    assert "NOTIFY_SOCKET" in client.problem()["message"] and "vsock:2:1234" in client.problem()["message"]
    assert client.get("/live")[0] == 200


def test_a_manager_that_is_gone_ends_nothing(husk, manager, tmp_path):
    client = husk.client(NOWHERE, protocol="tcp", env=manager.env)
    manager.wait_for("READY")
    (tmp_path / "notify").unlink()
    client.signal(signal.SIGHUP)
    assert "service manager" in client.problem()["message"]
    assert client.get("/live")[0] == 200
