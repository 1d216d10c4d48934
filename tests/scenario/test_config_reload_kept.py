"""husk run follows its file: what a change leaves as it is, and what it does only once."""

import os
import pathlib
import signal

import pytest

from support import raw
from support.config_file import address_of, route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.process import eventually
from support.reloading import WORKERS, agent_of, listen

PROBED = {"interval": "30m"}  # husk probes once, and then not before the end of the test


def at(upstream, **settings):
    return route("r", upstream, **{"health": PROBED, **settings})


# ---- health ----

def probed(file, upstream, **settings):
    """husk has probed this upstream, which is gone afterwards: another probe would fail."""
    running = file(at(upstream, **settings))
    eventually(lambda: running.husk.get("/ready")[0] == 200, "the probe")
    upstream.close()
    return running


@pytest.mark.parametrize("settings", [
    {"delivery": {"ack_timeout": "7s"}}, {"limits": {"max_connections": 7}}, {"health": {"interval": "1h"}},
    {"rules": [{"any": True, "tag_prefix": "x."}]}, {"dns": {"min_ttl": "2s"}},
], ids=lambda settings: next(iter(settings)))
def test_a_change_of_another_setting_keeps_the_health_of_the_upstream(file, settings):
    upstream = raw.Listener()
    running = probed(file, upstream)
    running.change(at(upstream, **settings))
    assert running.husk.get("/ready") == (200, "ready\n")


def test_another_weight_keeps_the_health_of_the_upstream(file):
    upstream = raw.Listener()
    running = probed(file, upstream)
    running.change(at([{"address": listen(upstream.address), "weight": 7}]))
    assert running.husk.get("/ready") == (200, "ready\n")


def test_an_upstream_that_failed_stays_failed(file):
    """Until the next probe, whose time has not come."""
    address = raw.free_address()
    running = file(at(listen(address)))
    failed = eventually(lambda: "connection refused" in running.husk.get("/ready")[1] and running.husk.get("/ready"), "the probe")
    raw.Listener(address)
    running.change(at(listen(address), delivery={"ack_timeout": "7s"}))
    assert running.husk.get("/ready") == failed and failed[0] == 503


def test_an_upstream_that_did_not_change_is_not_probed_again(file):
    upstream = raw.Listener()
    running = file(at(upstream))
    upstream.accept().close()
    eventually(lambda: running.husk.get("/ready")[0] == 200, "the probe")
    for number in range(5, 9):
        running.change(at(upstream, delivery={"ack_timeout": f"{number}s"}))
    assert not upstream.was_dialled()


def test_another_upstream_is_probed(file):
    before, after = raw.Listener(), raw.Listener()
    running = probed(file, before)
    running.change(at(listen(raw.free_address())))
    eventually(lambda: running.husk.get("/ready")[0] == 503, "the probe of nobody")
    running.change(at(after))
    eventually(lambda: running.husk.get("/ready")[0] == 200, "the probe of the new upstream")


# ---- connections that wait ----

@WORKERS
@pytest.mark.parametrize("end", ["removed", "renamed", "replaced"])
def test_connections_that_wait_at_a_route_that_ends_are_taken(file, workers, end):
    """They come while husk is stopped. husk has the connections and the new file at once."""
    upstream, place = Aggregator(), listen(raw.free_address())
    other, ended = route("other", upstream), {
        "removed": [], "renamed": [route("new", upstream, listen=place)],
        "replaced": [route("r", upstream, listen=place, protocol="tcp")]}[end]
    running = file(route("r", upstream, listen=place), other, workers=workers)
    running.husk.signal(signal.SIGSTOP)
    agents = [Agent(raw.connect(raw.parse_address(place))) for _ in range(200)]
    for number, agent in enumerate(agents):
        agent.send(event(number, f"{number}"))
    running.replace(other, *ended)
    running.husk.signal(signal.SIGHUP)
    running.husk.signal(signal.SIGCONT)
    for number, agent in enumerate(agents):
        agent.expect_ack(f"{number}")
    running.husk.wait_for_event(message="configuration reloaded")


# ---- what a removed route leaves undelivered ----

def test_what_a_removed_route_left_is_counted_and_does_not_decide_the_exit_status(file):
    """A message without an ack, which its agent does not send again."""
    upstream = Aggregator()
    running = file(route("r", listen(raw.free_address())), route("stays", upstream), drain={"quiet": "50ms", "timeout": "100ms"})
    agent = agent_of(running.husk, "r")
    agent.send(event(1))
    running.husk.wait_for_metric("husk_messages_received_total", 1)
    running.change(route("stays", upstream))
    assert running.husk.wait_for_event(message="route removed", route="r")["undelivered"] == 1
    assert running.husk.metric("husk_removed_routes_undelivered_total") == 1
    running.change(route("stays", upstream), route("r", upstream))
    assert running.husk.metric("husk_removed_routes_undelivered_total") == 1
    carry_acked(agent_of(running.husk, "stays"), 2, "two")
    running.husk.signal(signal.SIGTERM)
    assert running.husk.wait() == 0


def test_what_a_removed_route_gives_up_is_counted(file):
    """The last message is given up while the route retires: nothing is left at its end."""
    answers = {"of": Aggregator.REFUSE}
    upstream, stays = Aggregator(acks=lambda _: answers["of"]), Aggregator()
    running = file(route("r", upstream, delivery={"max_attempts": 1}), route("stays", stays), drain={"quiet": "1h", "timeout": "1h"})
    address = address_of(running.husk, "r")
    Agent(raw.connect(address)).send(event(1, "one"))
    running.husk.wait_for_metric("husk_messages_dropped_total", 1, route="r")
    answers["of"] = True  # otherwise the address would be at fault, not the next message
    agent = Agent(raw.connect(address))
    carry_acked(agent, 2, "two")
    answers["of"] = False
    agent.send(event(3, "three"))
    upstream.wait_until(lambda messages: any(one.number == 3 for one in messages), "the last message arrives")
    running.change(route("stays", stays))
    eventually(lambda: raw.is_refused(address), "the route retires")
    answers["of"] = Aggregator.REFUSE
    upstream.end_connections()
    assert running.husk.wait_for_event(message="route removed", route="r")["undelivered"] == 1
    assert running.husk.metric("husk_removed_routes_undelivered_total") == 1


# ---- files ----

def bytes_read(husk):
    lines = pathlib.Path(f"/proc/{husk.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@pytest.mark.skipif(os.geteuid() != 0, reason="husk is not dumpable: only root can look into it")
def test_sighup_loads_the_files_of_a_change_once(file, pki, tmp_path):
    count, size = 5, 200000

    def routes_at(folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        routes = []
        for number in range(count):
            cert = tmp_path / folder / f"{number}.pem"
            cert.write_text(pathlib.Path(pki.client.cert).read_text().ljust(size, "\n"))
            routes.append(route(f"r{number}", "127.0.0.1:1", tls={"upstream": {**tls(pki.client, pki.ca), "cert": str(cert)}}))
        return routes
    running = file(*routes_at("before"))
    before = bytes_read(running.husk)
    running.change(*routes_at("after"))
    assert count * size < bytes_read(running.husk) - before < 1.5 * count * size
