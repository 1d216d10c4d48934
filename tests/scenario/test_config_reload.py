"""husk run follows its file while messages flow: what changes, what stays, and what a bad file does."""

import contextlib
import json
import os
import re
import signal
import socket

import pytest

from support import config_file, raw
from support.aggregators import CountingAggregator
from support.config_file import address_of, route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import LIGHT, run
from support.process import eventually
from support.reloading import File, Silent, Streaming, free_address

RELOADS = int(os.environ.get("HUSK_RELOADS", "20" if LIGHT else "60"))
WORKERS = pytest.mark.parametrize("workers", [1, 3])


@pytest.fixture
def file(husk, tmp_path):
    """Starts husk with a file of these routes: see File."""
    return lambda *routes, **process: File(husk, tmp_path / "husk.yaml", *routes, **process)


def agent_of(husk, name):
    return Agent(raw.connect(address_of(husk, name)))


def listen(address):
    return raw.format_address(address)


# ---- under load ----

@WORKERS
def test_a_file_that_flips_under_load_loses_nothing(file, workers):
    """`fixed` stays as it is. `moved` goes to another upstream each time; of `coming`, every second file knows nothing."""
    stays, a, b = CountingAggregator(), CountingAggregator(), CountingAggregator()
    places = {name: listen(free_address()) for name in ("fixed", "moved", "coming")}

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
    down, up = free_address(), Aggregator()
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


def test_tls_for_agents_comes(file, pki):
    aggregator, place = Aggregator(), listen(free_address())
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
    places = [listen(free_address()) for _ in range(2)]

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
               "delivery.invalid_events": "pass", "connections.idle_timeout": "1h", "health.when_unhealthy": "refuse",
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
    aggregator, place = CountingAggregator(), listen(free_address())
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


# ---- listening ----

@WORKERS
def test_listening_addresses_come_stay_and_go(file, workers):
    aggregator = Aggregator()
    a, b, c = (free_address() for _ in range(3))
    running = file(route("r", aggregator, listen=[listen(a), listen(b)]), workers=workers, listeners=2)
    agents = [Agent(raw.connect(one)) for one in (a, b)]
    running.change(route("r", aggregator, listen=[listen(b), listen(c)]))
    eventually(lambda: raw.is_refused(a), "nobody listens there any more")
    for number, agent in enumerate([*agents, Agent(raw.connect(b)), Agent(raw.connect(c))]):
        carry_acked(agent, number, f"{number}")


@WORKERS
def test_an_address_becomes_the_address_of_all_interfaces(file, workers):
    aggregator = Aggregator()
    host, port = free_address()
    running = file(route("r", aggregator, listen=f"{host}:{port}", unsafe_listen=True), workers=workers)
    agent = Agent(raw.connect((host, port)))
    for number, place in enumerate((f"0.0.0.0:{port}", f"{host}:{port}", f"0.0.0.0:{port}")):
        running.change(route("r", aggregator, listen=place, unsafe_listen=True))
        carry_acked(agent, 2 * number, "old")
        carry_acked(Agent(raw.connect((host, port))), 2 * number + 1, "new")


@WORKERS
def test_two_routes_exchange_their_addresses(file, workers, tmp_path):
    first, second = Aggregator(), Aggregator()
    places = [[listen(free_address()), f"unix:{tmp_path}/{name}"] for name in ("x", "y")]

    def at(a, b):
        return route("a", first, listen=places[a]), route("b", second, listen=places[b])
    running = file(*at(0, 1), workers=workers, listeners=4)
    for number in range(4):
        running.change(*at((number + 1) % 2, number % 2))
        for place in range(2):
            for address in places[place]:
                expected = (first, second)[(place + number + 1) % 2]
                carry_to(address, expected)
    assert not running.husk.problems()


def carry_to(address, aggregator):
    """An agent at this address soon reaches this aggregator."""
    before = len(aggregator.messages)

    def reaches():
        with contextlib.suppress(OSError):
            carry_acked(Agent(raw.connect(raw.parse_address(address))), 1, "x")
        return len(aggregator.messages) > before
    eventually(reaches, f"{address} is of the other route")


@WORKERS
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_route_gets_another_name(file, workers, kind, tmp_path):
    aggregator = Aggregator()
    place = listen(free_address()) if kind == "tcp" else f"unix:{tmp_path}/socket"
    running = file(route("r0", aggregator, listen=place), workers=workers)
    for number in range(1, 4):
        agent = Agent(raw.connect(raw.parse_address(place)))
        agent.send(event(number, f"{number}"))
        agent.expect_ack(f"{number}")
        running.change(route(f"r{number}", aggregator, listen=place))
        assert raw.read_to_end(agent.sock) == b""
        carry_to(place, aggregator)


def test_a_unix_socket_gets_other_rights(file, tmp_path):
    path, aggregator = tmp_path / "socket", Aggregator()

    def at(mode):
        return route("r", aggregator, listen={"address": f"unix:{path}", "mode": mode})
    running = file(at("0600"))
    agent = Agent(raw.connect(str(path)))
    running.change(at("0660"))
    assert path.stat().st_mode & 0o777 == 0o660
    carry_acked(agent, 1, "one")


# ---- tunnels, protocols, the process ----

@WORKERS
def test_a_tunnel_goes_on_to_its_upstream(file, workers):
    first, second, place = raw.Listener(), raw.Listener(), listen(free_address())
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


def test_another_protocol_is_refused_for_this_route_alone(file):
    aggregator, other = Aggregator(), Aggregator()
    place = listen(free_address())
    running = file(route("r", aggregator, listen=place))
    agent = agent_of(running.husk, "r")
    result = running.change(route("r", other, listen=place, protocol="tcp"), route("more", other))
    assert (result["added"], result["changed"], result["removed"]) == (1, 0, 0)
    assert "protocol" in running.husk.problem()["message"]
    carry_acked(agent, 1, "one")
    assert aggregator.numbers() == [1]


def test_settings_of_the_process_say_that_they_stay(file):
    aggregator, place = Aggregator(), listen(free_address())
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
    aggregator, place = Aggregator(), listen(free_address())
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


# ---- bad files ----

BAD = {"no YAML": "routes: [", "unknown key": "routes: [{name: r, listn: x}]", "empty": "", "no routes": "routes: []",
       "bad value": "workers: many", "bytes": "\x00\x01", "tabs": "a:\n\tb", "unset variable": "workers: ${NO_SUCH_VARIABLE_X}",
       "no upstream": "routes: [{name: r, listen: '127.0.0.1:0'}]", "twice": None, "busy": None, "no certificate": None}


def bad_text(kind, place, upstream, busy, path):
    if BAD[kind] is not None:
        return BAD[kind]
    routes = {"twice": [route("r", upstream, listen=place), route("x", upstream, listen=place)],
              "busy": [route("r", upstream, listen=place, delivery={"ack_timeout": "1s"}), route("x", upstream, listen=busy),
                       route("y", upstream)],
              "no certificate": [route("y", upstream), route("r", upstream, listen=place, tls={
                  "upstream": {"cert": "/none", "key": "/none", "ca": "/none"}})]}
    return config_file.write(path, *routes[kind]).read_text()


@WORKERS
def test_a_bad_file_changes_nothing(file, workers, tmp_path):
    aggregator, place, busy = Aggregator(), listen(free_address()), raw.Listener()
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
    place = listen(free_address())
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
    middle, front = (listen(free_address()) for _ in range(2))

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
