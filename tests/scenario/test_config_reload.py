"""husk run follows its file while messages flow: what changes, and what stays."""

import json
import os
import re

import pytest

from support import raw
from support.aggregators import CountingAggregator
from support.config_file import address_of, route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import LIGHT, run
from support.name_server import NameServer
from support.process import eventually
from support.reloading import WORKERS, Silent, Streaming, agent_of, listen

RELOADS = int(os.environ.get("HUSK_RELOADS", "20" if LIGHT else "60"))


# ---- under load ----

@WORKERS
def test_a_file_that_flips_under_load_loses_nothing(file, workers):
    """`fixed` stays as it is. `moved` goes to another upstream each time; of `coming`, every second file knows nothing."""
    stays, a, b = CountingAggregator(), CountingAggregator(), CountingAggregator()
    places = {name: listen(raw.free_address()) for name in ("fixed", "moved", "coming")}

    def routes(upstream, *more):
        return (route("fixed", stays, listen=places["fixed"]),
                route("moved", upstream, listen=places["moved"], delivery={"ack_timeout": "9s" if more else "8s"}), *more)
    coming = route("coming", stays, listen=places["coming"])
    running = file(*routes(a), workers=workers)
    husk = running.husk
    fixed = [Streaming(raw.parse_address(places["fixed"]), 10_000_000 * n) for n in (1, 2)]
    moved = [Streaming(raw.parse_address(places["moved"]), 10_000_000 * n) for n in (3, 4)]
    late = Streaming(raw.parse_address(places["coming"]), 50_000_000)
    silent = Silent(raw.parse_address(places["moved"]), 60_000_000)
    resident = []
    for number in range(RELOADS):
        acked = moved[0].acked_count
        running.change(*routes(a) if number % 2 else routes(b, coming))
        silent.send(5)
        eventually(lambda: moved[0].acked_count > acked, "messages go on")
        resident.append(husk.resident_kib())
    running.change(*routes(b, coming))
    fixed_numbers = [number for each in fixed for number in each.finish()]
    moved_numbers = [number for each in moved for number in each.finish()]
    stays.wait_for_stored(*fixed_numbers, *late.finish())
    eventually(lambda: all(a.stored[one] or b.stored[one] for one in silent.numbers), "the events without ack arrive")
    assert all(a.stored[one] or b.stored[one] for one in moved_numbers)
    assert [each.ends for each in fixed + moved] == [0] * 4
    assert husk.metric("husk_connections_ended_total", route="fixed", side="upstream") == 0
    assert husk.metric("husk_messages_dropped_total") == 0 and running.count("failure") == 0
    assert LIGHT or resident[-1] < resident[len(resident) // 3] + 2048, resident
    print(f"{RELOADS} reloads; {len(fixed_numbers)} and {len(moved_numbers)} events; resident {resident[0]} … {resident[-1]} KiB")


# ---- upstreams ----

@WORKERS
def test_messages_wait_for_an_upstream_that_is_down_and_go_to_the_next(file, workers):
    down, up = raw.free_address(), Aggregator()
    running = file(route("r", listen(down)), workers=workers)
    agents = [agent_of(running.husk, "r") for _ in range(3)]
    for number, agent in enumerate(agents):
        agent.send(event(number, f"id-{number}"), event(10 + number))
    running.husk.wait_for_metric("husk_messages_received_total", 6)
    running.change(route("r", up))
    for number, agent in enumerate(agents):
        agent.expect_ack(f"id-{number}")
    up.wait_for(6)
    assert sorted(up.numbers()) == [0, 1, 2, 10, 11, 12]


def test_unsettled_messages_of_a_silent_upstream_go_to_the_next(file):
    """The new --ack-timeout holds for messages that wait already."""
    silent, up = Aggregator(acks=False), Aggregator()
    running = file(route("r", silent))
    agent = agent_of(running.husk, "r")
    agent.send(event(1, "one"))
    silent.wait_for(1)
    running.change(route("r", up, delivery={"ack_timeout": "300ms"}))
    agent.send(event(2, "two"))
    assert sorted(agent.read_acks(2)) == ["one", "two"]


def test_a_standby_becomes_the_upstream(file):
    first, second = Aggregator(), Aggregator()

    def upstreams(standby):
        return [{"address": listen(one.address), "standby": one is standby, "weight": 3} for one in (first, second)]
    running = file(route("r", upstreams(second)))
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "one")
    running.change(route("r", upstreams(first)))
    numbers = iter(range(2, 1000))

    def is_second_used():
        number = next(numbers)
        carry_acked(agent_of(running.husk, "r"), number, f"{number}")
        return second.numbers()
    eventually(is_second_used, "the old standby gets a message")
    before = first.numbers()
    carry_acked(agent_of(running.husk, "r"), 1000, "last")
    assert first.numbers() == before and 1000 in second.numbers()


@WORKERS
def test_messages_wait_for_a_new_name_and_do_not_go_to_the_old_address(file, workers):
    names, old, new = NameServer(), Aggregator(), Aggregator()
    names.answering.clear()
    dns = {"servers": names.text, "retry_min": "10ms", "retry_max": "10ms"}
    running = file(route("r", old, dns=dns), workers=workers)
    agents = [agent_of(running.husk, "r") for _ in range(3)]
    carry_acked(agents[0], 1, "one")
    running.change(route("r", f"new.example:{new.address[1]}", dns=dns))
    for number, agent in enumerate(agents):
        agent.send(event(10 + number, f"{number}"))
    running.husk.wait_for_metric("husk_messages_received_total", 4)
    assert running.husk.get("/ready") == (503, "upstream: new.example is not resolved yet\n")
    names.answering.set()  # there is no such name
    eventually(lambda: "upstream: cannot resolve new.example: " in running.husk.get("/ready")[1], "the answer")
    names.hosts["new.example"] = [raw.HOST]
    for number, agent in enumerate(agents):
        agent.expect_ack(f"{number}")
    assert old.numbers() == [1] and sorted(new.numbers()) == [10, 11, 12]


def test_a_name_that_stays_keeps_its_addresses(file):
    """The name server says nothing more: another setting does not need it, nor does another weight."""
    names, aggregator = NameServer({"a.example": [raw.HOST]}), Aggregator()
    upstream = f"a.example:{aggregator.address[1]}"

    def at(number):
        return route("r", [{"address": upstream, "weight": number}], dns={"servers": names.text},
                     delivery={"ack_timeout": f"{number}s"})
    running = file(at(5))
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "one")
    names.answering.clear()
    running.change(at(6))
    carry_acked(agent, 2, "two")
    assert len(aggregator.connections) == 1


@WORKERS
@pytest.mark.parametrize("protocol", ["forward", "tcp"])
def test_tls_that_goes_during_a_handshake_blames_nobody(file, pki, workers, protocol):
    """The upstream does not answer the handshake of husk. It gets plaintext after the change."""
    upstream, place = raw.Listener(), listen(raw.free_address())

    def at(**settings):
        return route("r", upstream, listen=place, protocol=protocol, **settings)
    running = file(at(tls={"upstream": tls(pki.client, pki.ca)}), workers=workers)
    agent = Agent(raw.connect(raw.parse_address(place)))
    agent.send(event(1))
    silent = upstream.accept()
    assert silent.recv(1) == b"\x16"  # a record of a TLS handshake
    running.change(at())
    plain = upstream.accept()
    assert plain.recv(1000)[:1] in (b"\x92", b"\x93", b"\x94")
    assert not running.husk.problems()
    assert running.husk.metric("husk_connections_ended_total", side="upstream", reason="retired") == 1


def test_tls_to_the_upstream_comes_and_goes(file, husk, pki):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    plain = Aggregator()
    secret = route("r", server, tls={"upstream": tls(pki.client, pki.ca)})
    running = file(route("r", plain))
    agent = agent_of(running.husk, "r")
    for number in range(6):
        carry_acked(agent, number, f"{number}")
        running.change(route("r", plain) if number % 2 else secret)
    carry_acked(agent, 6, "6")
    assert plain.numbers() == [0, 2, 4, 6] and aggregator.numbers() == [1, 3, 5]


@WORKERS
def test_tls_that_flips_under_load_loses_nothing_and_blames_nobody(file, husk, pki, workers):
    """No connection runs with new options and old credentials, nor with the addresses before."""
    a, b, place = CountingAggregator(), CountingAggregator(), listen(raw.free_address())
    server = husk.server(a)
    secret = route("r", server, listen=place, tls={"upstream": tls(pki.client, pki.ca)})
    running = file(route("r", b, listen=place), workers=workers)
    agents = [Streaming(raw.parse_address(place), 10_000_000 * n) for n in (1, 2, 3)]
    for number in range(6 if LIGHT else 20):
        running.change(route("r", b, listen=place) if number % 2 else secret)
        acked = agents[0].acked_count
        eventually(lambda: agents[0].acked_count > acked, "messages go on")
    numbers = [number for agent in agents for number in agent.finish()]
    assert all(a.stored[one] or b.stored[one] for one in numbers)
    assert [agent.ends for agent in agents] == [0] * 3 and not running.husk.problems()


def test_another_server_name_is_asked_for(file, husk, pki):
    server = husk.server(Aggregator())
    secret = tls(pki.client, pki.ca)
    running = file(route("r", server, tls={"upstream": {**secret, "server_name": "localhost"}}))
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "one")
    running.change(route("r", server, tls={"upstream": {**secret, "server_name": "elsewhere.example"}}))
    agent.send(event(2, "two"))
    running.husk.wait_for_metric("husk_connections_ended_total", 1, reason="certificate_name")
    running.change(route("r", server, tls={"upstream": secret}))
    agent.expect_ack("two")


def test_the_upstream_before_says_nothing_about_the_new_one(file, husk, pki):
    """No agent is there to prove that the new upstream works."""
    aggregator, server = Aggregator(), husk.server(Aggregator())
    misnamed = {**tls(pki.client, pki.ca), "server_name": "elsewhere.example"}
    running = file(route("r", server, tls={"upstream": misnamed}, delivery={"delivery_timeout": "100ms"}))
    agent = agent_of(running.husk, "r")
    agent.send(event(1, "one"))
    raw.assert_closed(agent.sock)
    assert running.husk.get("/ready")[0] == 503
    running.change(route("r", aggregator))
    assert running.husk.get("/ready") == (200, "ready\n")


def test_a_retired_connection_says_nothing_about_the_new_upstream(file):
    old, new = Aggregator(acks=False), Aggregator()
    running = file(route("r", old))
    agent = agent_of(running.husk, "r")
    agent.send(event(1, "one"))
    old.wait_for(1)
    running.change(route("r", new))
    carry_acked(agent_of(running.husk, "r"), 2, "two")  # husk needs no further dial
    old.end_connections(by_reset=True)
    agent.expect_ack("one")
    assert running.husk.get("/ready") == (200, "ready\n")


# ---- agents ----

def tls_agent(husk, pki, name="r"):
    return Agent(raw.connect_tls(address_of(husk, name), pki.ca.cert, pki.client))


def test_an_agent_that_is_no_longer_allowed_ends_between_messages(file, pki):
    aggregator = Aggregator(acks=False)

    def at(name):
        return route("r", aggregator, tls={"downstream": tls(pki.server, pki.ca)}, allow={"cn": name})
    running = file(at("client"))
    agent = tls_agent(running.husk, pki)
    agent.send(event(1, "one"))
    aggregator.wait_for(1)
    running.change(at("somebody"))
    aggregator.ack(*aggregator.messages)
    agent.expect_ack("one")
    assert raw.read_to_end(agent.sock) == b""
    running.change(at("client"))
    aggregator.acks = True
    carry_acked(tls_agent(running.husk, pki), 2, "two")


def test_an_agent_that_is_denied_ends_between_messages(file, pki):
    aggregator = Aggregator(acks=False)

    def at(**more):
        return route("r", aggregator, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True}, **more)
    running = file(at())
    agent = tls_agent(running.husk, pki)
    agent.send(event(1, "one"))
    aggregator.wait_for(1)
    running.change(at(deny={"dns": ["client"]}))
    aggregator.ack(*aggregator.messages)
    agent.expect_ack("one")
    assert raw.read_to_end(agent.sock) == b""
    assert "deny.dns client denies" in running.husk.wait_for_event(reason="distrusted")["detail"]


def test_rules_apply_from_the_next_message_on(file, pki):
    aggregator = Aggregator()

    def at(*rules):
        return route("r", aggregator, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True}, rules=list(rules))
    running = file(at({"any": True, "tag_prefix": "a."}))
    agent = tls_agent(running.husk, pki)
    carry_acked(agent, 1, "one")
    running.change(at({"any": True, "tag_prefix": "b.", "messages_per_second": 1000}))
    carry_acked(agent, 2, "two")
    assert [one.value[0] for one in aggregator.messages] == ["a.t", "b.t"]
    running.change(at({"any": True, "tags": ["other"]}))
    agent.send(event(3, "three"))
    running.husk.wait_for_metric("husk_connections_ended_total", 1, reason="tag_not_allowed")
    assert aggregator.numbers() == [1, 2]


def test_the_field_for_the_identity_applies_from_the_next_message_on(file, pki):
    aggregator = Aggregator()

    def at(*fields):
        return route("r", aggregator, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True},
                     add_identity=[{"field": field, "from": "cn"} for field in fields])
    running = file(at())
    agent = tls_agent(running.husk, pki)
    for number, fields in enumerate([[], ["a"], ["b", "a"], []]):
        if number:
            running.change(at(*fields))
        carry_acked(agent, number, f"{number}")
        assert aggregator.messages[-1].value[2] == {"n": number, **dict.fromkeys(fields, "client")}


def test_tls_for_agents_comes(file, pki):
    aggregator, place = Aggregator(), listen(raw.free_address())
    running = file(route("r", aggregator, listen=place))
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "one")
    running.change(route("r", aggregator, listen=place, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True}))
    assert raw.read_to_end(agent.sock) == b""
    carry_acked(tls_agent(running.husk, pki), 2, "two")


def test_the_shared_key_changes(file, tmp_path):
    keys = {name: tmp_path / name for name in ("one", "two")}
    for name, path in keys.items():
        path.write_text(f"secret-{name}")
        path.chmod(0o600)
    aggregator = Aggregator()
    places = [listen(raw.free_address()) for _ in range(2)]

    def at(near, far):
        def side(name, hostname, which):
            given = {which: {"shared_key_file": str(keys[name])}} if name else {}
            return {"self_hostname": hostname, **given}
        return (route("near", places[1], listen=places[0], authentication=side(near, "near", "upstream")),
                route("far", aggregator, listen=places[1], authentication=side(far, "far", "downstream")))
    running = file(*at("one", "one"))
    agent = agent_of(running.husk, "near")
    for number, names in enumerate([("one", "one"), ("two", "two"), (None, None), ("one", "one")]):
        running.change(*at(*names))
        carry_acked(agent, number, f"{number}")
    assert aggregator.numbers() == [0, 1, 2, 3]


# ---- each setting ----

OTHER_WORDS = {"delivery.batch_delay": "5ms", "delivery.max_age": "1h", "delivery.mode": "passthrough", "delivery.compress": "gzip",
               "delivery.upstream_link": "off", "delivery.on_no_acks": "hold", "delivery.on_refused": "reset",
               "delivery.invalid_events": "pass", "connections.idle_timeout": "1h",
               "connections.max_downstream_age": "1h", "health.min_certificate_life": "1h", "health.when_unhealthy": "refuse",
               "authentication.self_hostname": "other"}
TOPICS = ("tls", "delivery", "limits", "connections", "authentication", "health", "heartbeats", "dns")


def settings_of_a_route():
    """(path, another value than the default) of each setting that has a default."""
    schema = json.loads(run("schema").stdout)["$defs"]["route"]["properties"]
    for topic in TOPICS:
        for name, one in schema[topic]["properties"].items():
            if "default" in one:
                yield (topic, name), another(f"{topic}.{name}", one["default"])


def another(path, default):
    if isinstance(default, bool):
        return not default
    if path in OTHER_WORDS:
        return OTHER_WORDS[path]
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(default)).groups()
    half = int(number) // 2 or 2
    return f"{half}{unit}" if unit else half


@WORKERS
def test_each_setting_of_a_route_changes_alone(file, workers):
    aggregator, place = CountingAggregator(), listen(raw.free_address())
    running = file(route("r", aggregator, listen=place), workers=workers)
    agent, number = agent_of(running.husk, "r"), 0
    settings = list(settings_of_a_route())
    assert len(settings) > 40
    for (topic, name), value in settings:
        for settings_now in ({topic: {name: value}}, {}):
            result = running.change(route("r", aggregator, listen=place, **{"health": {"interval": "off"}, **settings_now}))
            assert result["changed"] == 1 or topic == "health", (topic, name, result)
            number += 1
            carry_acked(agent, number, f"{number}")
    carry_acked(agent_of(running.husk, "r"), 0, "last")
    assert not running.husk.problems()


# ---- tunnels, the process ----

@WORKERS
def test_a_tunnel_goes_on_to_its_upstream(file, workers):
    first, second, place = raw.Listener(), raw.Listener(), listen(raw.free_address())
    running = file(route("r", first, listen=place, protocol="tcp"), workers=workers)
    near = raw.connect(raw.parse_address(place))
    near.sendall(b"hello")
    far = first.accept()
    assert far.recv(5) == b"hello"
    running.change(route("r", second, listen=place, protocol="tcp", limits={"buffer_bytes": "64KiB"}))
    raw.carry(near, far, b"x" * 300_000)
    raw.carry(far, near, b"y" * 300_000)
    later = raw.connect(raw.parse_address(place))
    later.sendall(b"later")
    assert second.accept().recv(5) == b"later"


def test_settings_of_the_process_say_that_they_stay(file):
    aggregator, place = Aggregator(), listen(raw.free_address())
    running = file(route("r", aggregator, listen=place))

    def names():
        return [one["setting"] for one in running.husk.events(message="this setting changes when husk starts again")]
    running.change(route("r", aggregator, listen=place), workers=3, drain={"quiet": "60ms", "timeout": "2s"})
    assert sorted(names()) == ["drain.quiet", "workers"]
    running.change(route("r", aggregator, listen=place))
    assert len(names()) == 2
    carry_acked(agent_of(running.husk, "r"), 1, "one")


def test_limits_stay_those_of_the_workers_that_run(file):
    """The limits of a route are divided by the workers that run, not by those of the new file."""
    aggregator, place = Aggregator(), listen(raw.free_address())
    running = file(route("r", aggregator, listen=place))
    running.change(route("r", aggregator, listen=place, limits={"max_connections": 2}), workers=2)
    agents = [Agent(raw.connect(raw.parse_address(place))) for _ in range(2)]
    for number, agent in enumerate(agents):
        carry_acked(agent, number, f"{number}")


def test_sighup_of_routes_without_files_says_nothing_of_credentials(file):
    running = file(route("r", Aggregator()))
    running.hang_up()
    running.hang_up()
    assert not running.husk.events(message="credentials reloaded")
