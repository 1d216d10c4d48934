"""husk run and its file: how a change is noticed, and what a file does that cannot be used."""

import os
import resource
import shutil
import signal
import socket

import pytest

from support import config_file, raw
from support.aggregators import CountingAggregator
from support.config_file import route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.process import eventually
from support.reloading import WORKERS, File, Silent, Streaming, agent_of, listen


# ---- bad files ----

BAD = {"no YAML": "routes: [", "unknown key": "routes: [{name: r, listn: x}]", "empty": "", "no routes": "routes: []",
       "bad value": "workers: many", "bytes": "\x00\x01", "tabs": "a:\n\tb", "unset variable": "workers: ${NO_SUCH_VARIABLE_X}",
       "no upstream": "routes: [{name: r, listen: '127.0.0.1:0'}]", "twice": None, "busy": None, "no certificate": None}


def bad_text(kind, place, upstream, busy, path):
    if BAD[kind] is not None:
        return BAD[kind]
    routes = {"twice": [route("r", upstream, listen=place), route("x", upstream, listen=place)],
              "busy": [route("r", upstream, listen=place, delivery={"ack_timeout": "1s"}), route("x", upstream, listen=busy),
                       route("z", upstream)],
              "no certificate": [route("z", upstream), route("r", upstream, listen=place, tls={
                  "upstream": {"cert": "/none", "key": "/none", "ca": "/none"}})]}
    return config_file.write(path, *routes[kind]).read_text()


@WORKERS
def test_a_bad_file_changes_nothing(file, workers, tmp_path):
    aggregator, place, busy = Aggregator(), listen(raw.free_address()), raw.Listener()
    running = file(route("r", aggregator, listen=place), workers=workers)
    agent = agent_of(running.husk, "r")
    for number, kind in enumerate(BAD):
        running.write_text(bad_text(kind, place, aggregator, listen(busy.address), tmp_path / "other"))
        running.hang_up("failure")
        carry_acked(agent, number, f"{number}")
    running.path.unlink()
    running.hang_up("failure")
    running.path.mkdir()
    running.hang_up("failure")
    running.path.rmdir()
    carry_acked(agent, 1, "one")
    assert running.count() == 0 and len(aggregator.connections) == 1
    running.change(route("r", aggregator, listen=place), route("more", aggregator))
    carry_acked(agent_of(running.husk, "more"), 1, "more")


# ---- a cause that can pass ----

AGAIN = {"interval": "off", "retry_max": "50ms"}


def failures(husk):
    return [line["message"] for line in husk.problems() if line["message"].startswith("the configuration")]


def is_pending(husk):
    return husk.metric("husk_config_reload_pending") == 1


def test_a_certificate_that_comes_later_is_used(file, husk, pki, tmp_path):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    running = file(route("r", aggregator), reload=AGAIN)
    cert = tmp_path / "late.pem"
    running.replace(route("r", server, tls={"upstream": {**tls(pki.client, pki.ca), "cert": str(cert)}}))
    running.hang_up("failure")
    assert is_pending(running.husk)
    message, = failures(running.husk)
    assert "husk tries again: route r: " in message and str(cert) in message
    assert running.count("failure") == 1
    shutil.copy(pki.client.cert, cert)
    running.husk.wait_for_event(message="configuration reloaded")
    assert not is_pending(running.husk)
    carry_acked(agent_of(running.husk, "r"), 1, "one")
    assert running.count("failure") == 1 and running.count() == 1


def test_a_port_that_becomes_free_is_used(file):
    aggregator, busy = Aggregator(), raw.Listener()
    running = file(route("r", aggregator), reload=AGAIN)
    running.replace(route("r", aggregator), route("more", aggregator, listen=listen(busy.address)))
    running.hang_up("failure")
    busy.close()
    carry_acked(agent_of(running.husk, "more"), 1, "one")
    assert len(failures(running.husk)) == 1 and not is_pending(running.husk)


@WORKERS
def test_descriptors_that_come_back_are_used(file, workers):
    aggregator = Aggregator()
    running = file(route("r", aggregator), workers=workers, reload=AGAIN)
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "one")
    soft, hard = resource.prlimit(running.husk.pid, resource.RLIMIT_NOFILE)
    running.husk.get("/ready")
    used = max(map(int, os.listdir(f"/proc/{running.husk.pid}/fd")))
    running.replace(route("r", aggregator), *[route(f"x{number}", aggregator) for number in range(10)])
    resource.prlimit(running.husk.pid, resource.RLIMIT_NOFILE, (used + 4, hard))
    running.hang_up("failure")
    assert "Too many open files" in failures(running.husk)[0]
    carry_acked(agent, 2, "two")
    resource.prlimit(running.husk.pid, resource.RLIMIT_NOFILE, (soft, hard))
    carry_acked(agent_of(running.husk, "x9"), 3, "three")
    assert not is_pending(running.husk)


def test_each_cause_is_told_once(file):
    aggregator, probed, first, second = Aggregator(), raw.Listener(), raw.Listener(), raw.Listener()
    running = file(route("r", probed, health={"interval": "50ms"}), reload=AGAIN)
    running.replace(*[route(f"x{number}", aggregator, listen=listen(one.address)) for number, one in enumerate((first, second))])
    running.hang_up("failure")
    for _ in range(5):
        probed.accept()  # while husk probes so often, it also tries again
    assert len(failures(running.husk)) == 1 and running.count("failure") == 1
    first.close()
    running.husk.wait_until(lambda _: len(failures(running.husk)) == 2, "the second cause")
    assert "route x0: " in failures(running.husk)[0] and "route x1: " in failures(running.husk)[1]
    assert running.count("failure") == 2
    running.hang_up("failure")  # who asks gets an answer
    running.husk.wait_until(lambda _: len(failures(running.husk)) == 3, "the second cause again")
    second.close()
    carry_acked(agent_of(running.husk, "x1"), 1, "one")


def test_the_notes_of_a_key_are_told_once_however_often_husk_tries_again(file, pki, tmp_path):
    aggregator, probed, busy = Aggregator(), raw.Listener(), raw.Listener()
    key = tmp_path / "open.pem"
    shutil.copy(pki.client.key, key)
    key.chmod(0o644)
    running = file(route("r", probed, health={"interval": "50ms"}), reload=AGAIN)
    noted = route("new", aggregator, tls={"upstream": {**tls(pki.client, pki.ca), "key": str(key)}})
    running.replace(noted, route("x", aggregator, listen=listen(busy.address)))
    running.hang_up("failure")
    for _ in range(5):
        probed.accept()  # while husk probes so often, it also tries again
    busy.close()
    carry_acked(agent_of(running.husk, "x"), 1, "one")
    note = "the private key can be read by others than its owner"
    assert len(running.husk.events(message=note)) == 1
    running.replace(noted, route("z", aggregator))
    running.hang_up()
    assert len(running.husk.events(message=note)) == 2


def test_a_mistake_is_not_tried_again(file):
    aggregator, busy = Aggregator(), raw.Listener()
    running = file(route("r", aggregator), reload=AGAIN)
    running.replace(route("x", aggregator, listen=listen(busy.address)))
    running.hang_up("failure")
    assert is_pending(running.husk)
    running.write_text("routes: [")
    running.hang_up("failure")
    assert not is_pending(running.husk)
    busy.close()
    running.change(route("z", aggregator))
    assert len(failures(running.husk)) in (2, 3)  # husk may have seen the mistake before SIGHUP, too


def test_a_file_that_is_replaced_ends_the_retries(file):
    aggregator, busy = Aggregator(), raw.Listener()
    running = file(route("r", aggregator), reload={"interval": "50ms", "retry_max": "1h"})
    running.replace(route("x", aggregator, listen=listen(busy.address)))
    running.husk.wait_until(lambda _: failures(running.husk), "the port is in use")
    running.replace(route("z", aggregator))
    carry_acked(agent_of(running.husk, "z"), 1, "one")
    busy.close()
    assert not is_pending(running.husk)


def test_a_file_that_is_gone_for_a_while_is_used(file):
    aggregator = Aggregator()
    running = file(route("r", aggregator), reload=AGAIN)
    running.path.unlink()
    running.hang_up("failure")
    assert is_pending(running.husk)
    running.replace(route("r", aggregator), route("more", aggregator))
    carry_acked(agent_of(running.husk, "more"), 1, "one")


# ---- noticing the file ----

def watched(file, aggregator, **settings):
    return file(route("r", aggregator), reload={"interval": "50ms"}, **settings)


def test_a_replaced_file_is_noticed(file):
    aggregator = Aggregator()
    running = watched(file, aggregator)
    running.replace(route("r", aggregator), route("s", aggregator))
    carry_acked(agent_of(running.husk, "s"), 1, "one")
    text = running.path.read_text()
    running.path.unlink()
    running.write_text(text.replace("name: s", "name: u"))
    carry_acked(agent_of(running.husk, "u"), 2, "two")
    assert running.count("failure") == 0


def test_a_swapped_config_map_is_noticed(husk, tmp_path):
    aggregator = Aggregator()
    names = iter("abcdef")

    def publish(*routes):
        """As the kubelet does: a new folder, and a symlink that is replaced."""
        folder = tmp_path / next(names)
        folder.mkdir()
        config_file.write(folder / "husk.yaml", *routes, reload={"interval": "50ms"})
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    publish(route("a", aggregator))
    (tmp_path / "husk.yaml").symlink_to("..data/husk.yaml")
    program = husk.run(tmp_path / "husk.yaml")
    for name in "bcd":
        publish(route(name, aggregator))
        carry_acked(agent_of(program, name), 1, name)


# ---- storms and ends ----

@WORKERS
def test_a_storm_of_signals_ends_well(file, workers):
    aggregator, other = CountingAggregator(), CountingAggregator()
    place = listen(raw.free_address())
    running = file(route("r", aggregator, listen=place), workers=workers)
    agent = Streaming(raw.parse_address(place), 1)
    for number in range(200):
        running.replace(route("r", (aggregator, other)[number % 2], listen=place), *[route(f"x{number}", other)][:number % 3])
        running.husk.signal(signal.SIGHUP)
    running.hang_up()
    numbers = agent.finish()
    assert all(aggregator.stored[one] or other.stored[one] for one in numbers) and agent.ends == 0
    assert running.count("failure") == 0


def test_a_file_during_the_drain_changes_nothing(file):
    aggregator = Aggregator(acks=False)
    running = file(route("r", aggregator))
    agent = agent_of(running.husk, "r")
    agent.send(event(1, "one"))
    aggregator.wait_for(1)
    running.husk.signal(signal.SIGTERM)
    running.husk.wait_for_event(message="draining")
    running.replace(route("other", aggregator))
    running.husk.signal(signal.SIGHUP)
    aggregator.ack(*aggregator.messages)
    agent.expect_ack("one")
    agent.sock.shutdown(socket.SHUT_WR)
    assert running.husk.wait() == 0
    assert not running.husk.events(message="configuration reloaded")


@WORKERS
def test_two_husks_in_series_change_in_turn(husk, tmp_path, workers):
    """The link between them ends and begins again, and no event is lost."""
    a, b = CountingAggregator(), CountingAggregator()
    middle, front = (listen(raw.free_address()) for _ in range(2))

    def far_at(number):
        return route("far", (a, b)[number % 2], listen=middle, delivery={"ack_timeout": f"{8 + number % 2}s"})

    def near_at(number):
        return route("near", middle, listen=front, delivery={"batch_bytes": f"{1 + number % 3}KiB",
                                                             "upstream_link": ("on", "auto")[number // 2 % 2]})
    far = File(husk, tmp_path / "far.yaml", far_at(0), workers=workers)
    near = File(husk, tmp_path / "near.yaml", near_at(0), workers=workers)
    agents = [Streaming(raw.parse_address(front), 10_000_000 * n) for n in (1, 2, 3)]
    silent = Silent(raw.parse_address(front), 50_000_000)
    for number in range(1, 13):
        (far.change(far_at(number)) if number % 2 else near.change(near_at(number)))
        silent.send(5)
        acked = agents[0].acked_count
        eventually(lambda: agents[0].acked_count > acked, "messages go on")
    numbers = [one for agent in agents for one in agent.finish()]
    eventually(lambda: all(a.stored[one] or b.stored[one] for one in [*numbers, *silent.numbers]), "all events arrive")
    assert [agent.ends for agent in agents] == [0] * 3
    assert not near.husk.metric("husk_messages_dropped_total") + far.husk.metric("husk_messages_dropped_total")
