"""husk run: the routes of a file, together and one by one, and files with mistakes."""

import pathlib
import re
import shutil
import signal
import socket
import time

import pytest

from support import config_file, raw
from support.config_file import address_of, route, tls
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import LIGHT, run

NOWHERE = f"{raw.HOST}:1"


@pytest.fixture
def routes(husk, tmp_path):
    """Runs these routes. `process`: settings of the process."""
    def make(*of_file, env=None, **process):
        return husk.run(config_file.write(tmp_path / "husk.yaml", *of_file, **process), len(of_file), env)
    return make


def agent_of(husk, name):
    return Agent(raw.connect(address_of(husk, name)))


def carry(husk, name, aggregator, number=1):
    """An agent of the route gets the ack of an event, which the aggregator has."""
    before = len(aggregator.messages)
    carry_acked(agent_of(husk, name), number, "chunk")
    assert aggregator.numbers()[before:] == [number]


# ---- TLS on each side ----

@pytest.mark.parametrize("has_upstream_tls", [False, True], ids=["plain-up", "tls-up"])
@pytest.mark.parametrize("has_downstream_tls", [False, True], ids=["plain-down", "tls-down"])
def test_a_route_has_tls_on_either_side_on_both_or_on_none(husk, pki, routes, has_downstream_tls, has_upstream_tls):
    aggregator = Aggregator()
    sides = {}
    if has_downstream_tls:
        sides["downstream"] = tls(pki.server, pki.ca)
    if has_upstream_tls:  # the upstream is in another domain
        sides["upstream"] = tls(pki.foreign_client, pki.other_ca)
    upstream = aggregator if not has_upstream_tls else husk.server(aggregator, certificate=pki.foreign_server,
                                                                   ca=pki.other_ca.cert)
    more = {"tls": sides} if sides else {}
    middle = routes(route("middle", upstream, **more, **({"allow": {"cn": "client"}} if has_downstream_tls else {})))
    agent = Agent(raw.connect_tls(middle.address, pki.ca.cert, pki.client) if has_downstream_tls
                  else raw.connect(middle.address))
    carry_acked(agent, 1, "chunk")
    assert aggregator.numbers() == [1] and not middle.problems()
    for side, has_tls in (("downstream", has_downstream_tls), ("upstream", has_upstream_tls)):
        assert middle.metric("husk_handshakes_total", side=side) == has_tls
    if has_downstream_tls:
        raw.connect_tls(middle.address, pki.ca.cert, pki.unlisted_client)
        assert middle.wait_for_event(level="warn", reason="not_allowed")["route"] == "middle"


# ---- several routes ----

def test_two_routes_of_one_process_in_series(pki, routes):
    aggregator, between = Aggregator(), raw.format_address(raw.free_address())
    both = routes(route("near", between, tls={"upstream": tls(pki.client, pki.ca)}),
                  {**route("far", aggregator, tls={"downstream": tls(pki.server, pki.ca)}, allow={"cn": "client"}),
                   "listen": between})
    for number in range(3):
        carry(both, "near", aggregator, number)
    for name in ("near", "far"):
        assert both.metric("husk_messages_settled_total", route=name) == 3


def test_a_route_whose_upstream_is_away_leaves_the_others_alone(routes):
    aggregator = Aggregator()
    both = routes(route("good", aggregator), route("bad", NOWHERE))
    waiting = agent_of(both, "bad")
    waiting.send(event(7, "chunk"))
    both.wait_for_metric("husk_messages_waiting", 1, route="bad")
    for number in range(3):
        carry(both, "good", aggregator, number)
    status, text = both.get("/ready")
    assert status == 503 and text.splitlines() and all(line.startswith("bad: ") for line in text.splitlines()), text
    assert both.metric("husk_messages_received_total", route="good") == 3
    assert both.metric("husk_messages_received_total", route="bad") == 1
    assert both.metric("husk_messages_settled_total", route="bad") == 0
    assert both.metric("husk_upstream_healthy", route="good") == 1
    assert both.metric("husk_upstream_healthy", route="bad") == 0


def test_routes_of_both_protocols_in_one_process(routes):
    aggregator, listener = Aggregator(), raw.Listener()
    both = routes(route("messages", aggregator), route("bytes", listener, protocol="tcp"))
    carry(both, "messages", aggregator)
    agent = raw.connect(address_of(both, "bytes"))
    agent.sendall(b"?")
    assert raw.read_exactly(listener.accept(), 1) == b"?"


@pytest.mark.parametrize("workers", [1, 3])
def test_each_route_runs_on_all_workers(routes, workers):
    aggregators = {name: Aggregator() for name in ("one", "two")}
    many = routes(*(route(name, aggregator) for name, aggregator in aggregators.items()), workers=workers)
    agents = [(name, agent_of(many, name)) for name in aggregators for _ in range(12)]
    for number, (_, agent) in enumerate(agents):
        carry_acked(agent, number, f"chunk{number}")
    assert sorted(aggregators["one"].numbers()) == list(range(12))
    assert sorted(aggregators["two"].numbers()) == list(range(12, 24))
    for name in aggregators:
        assert many.metric("husk_connections_active", side="downstream", route=name) == 12


def test_settings_of_a_route_are_those_of_this_route_alone(routes):
    aggregators = {name: Aggregator() for name in ("short", "long")}
    both = routes(*(route(name, aggregator, limits={"max_tag": size}) for (name, aggregator), size
                    in zip(aggregators.items(), ("4", "1KiB"))))
    agent = agent_of(both, "short")
    agent.send(event(1, tag="longer"))
    raw.assert_closed(agent.sock)
    assert both.problem()["route"] == "short"
    agent_of(both, "long").send(event(2, tag="longer"))
    aggregators["long"].wait_for(1)
    assert not aggregators["short"].messages


def test_routes_begin_with_the_defaults_of_the_file(husk, tmp_path):
    aggregators = [Aggregator(), Aggregator()]
    path = config_file.write(tmp_path / "husk.yaml", route("one", aggregators[0]),
                             route("two", aggregators[1], rules=[{"any": True, "tag_prefix": "own."}]),
                             defaults={"rules": [{"any": True, "tag_prefix": "shared."}]})
    both = husk.run(path, 2)
    for name, aggregator, tag in zip(("one", "two"), aggregators, ("shared.t", "own.t")):
        carry(both, name, aggregator)
        assert aggregator.messages[0].value[0] == tag


# ---- log lines ----

def test_log_lines_of_connections_name_the_route(pki, routes):
    both = routes(route("first", NOWHERE, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True}),
                  route("second", NOWHERE, tls={"downstream": tls(pki.server, pki.ca)}, allow={"any": True}))
    for name in ("second", "first"):
        with raw.connect(address_of(both, name)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw.assert_closed(stranger)
        both.wait_for_event(level="warn", message="connection ended", route=name)
    assert [line["route"] for line in both.events(message="connection ended")] == ["second", "first"]
    assert [line["route"] for line in both.events(message="listening")] == ["first", "second"]


# ---- the process ----

def test_sigterm_lets_the_messages_of_all_routes_settle(routes):
    """After its sixth attempt a message waits for 1.6 s, unless its route drains. The drain may take 1 s."""
    refusals, agents, aggregators = 6, {}, {}

    def refusing():
        aggregator = Aggregator(acks=lambda _: Aggregator.REFUSE if len(aggregator.messages) < refusals else True)
        return aggregator
    for name in ("one", "two", "three"):
        aggregators[name] = refusing()
    all_of_them = routes(*(route(name, aggregator) for name, aggregator in aggregators.items()),
                         drain={"quiet": "50ms", "timeout": "1s"})
    for name in aggregators:
        agents[name] = agent_of(all_of_them, name)
        agents[name].send(event(1, name))
    for aggregator in aggregators.values():
        aggregator.wait_for(refusals)
    all_of_them.signal(signal.SIGTERM)
    for name, agent in agents.items():
        agent.expect_ack(name)
        agent.close()
    assert all_of_them.wait() == 0
    assert all_of_them.events(message="stopped")


def test_sigterm_with_a_message_in_one_route_ends_with_status_1(routes):
    both = routes(route("one", Aggregator()), route("two", Aggregator(acks=False)),
                  drain={"quiet": "50ms", "timeout": "200ms"})
    agent_of(both, "two").send(event(1, "chunk"))
    both.wait_for_metric("husk_messages_unacked", 1, route="two")
    both.signal(signal.SIGTERM)
    assert both.wait() == 1


def test_sighup_loads_new_credentials_of_a_route(pki, routes, mounted):
    changing, aggregator = mounted(pki.foreign_server), Aggregator()
    both = routes(route("changing", aggregator, tls={"downstream": tls(changing, pki.ca)}, allow={"cn": "client"}),
                  route("other", aggregator))
    open_agent = agent_of(both, "other")
    with pytest.raises(OSError):  # ssl.SSLCertVerificationError is one
        raw.connect_tls(address_of(both, "changing"), pki.ca.cert, pki.client)
    mounted(pki.server)
    both.signal(signal.SIGHUP)
    both.wait_for_metric("husk_reloads_total", 1, result="success")
    carry_acked(Agent(raw.connect_tls(address_of(both, "changing"), pki.ca.cert, pki.client)), 1, "chunk")
    carry_acked(open_agent, 2, "chunk")


def test_without_tls_nothing_goes_to_the_addresses_of_before(pki, routes, tmp_path):
    """The new upstream has no address yet, and the old one was for TLS alone."""
    before = raw.Listener()
    middle = routes(route("r", before, protocol="tcp", tls={"upstream": tls(pki.client, pki.ca)}))
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind((raw.HOST, 0))
    config_file.write(tmp_path / "husk.yaml", route("r", "upstream.invalid:1", protocol="tcp",
                                                    connections={"connect_timeout": "300ms"},
                                                    dns={"servers": raw.format_address(silent.getsockname())}))
    middle.signal(signal.SIGHUP)
    middle.wait_for_event(message="configuration reloaded")
    raw.assert_resets(address_of(middle, "r"), b"secret")
    assert not before.was_dialled()


def test_the_admin_endpoint_can_be_off(routes):
    aggregator = Aggregator()
    husk = routes(route("only", aggregator), admin={"listen": "off"})
    carry(husk, "only", aggregator)
    assert not husk.events(message="admin listening")


def test_values_come_from_the_environment(husk, tmp_path):
    aggregator, path = Aggregator(), tmp_path / "husk.yaml"
    config_file.write(path, route("${NAME:-nobody}", "${HOST:-127.0.0.1}:${PORT}"),
                      defaults={"limits": {"max_tag": "${TAG}"}})
    one = husk.run(path, env={"NAME": "named", "PORT": str(aggregator.address[1]), "TAG": "10"})
    carry(one, "named", aggregator)


# ---- files with mistakes ----

GOOD = """admin:
  listen: "off"
routes:
  - name: one
    listen: unix:{place}/agents
    upstreams: 127.0.0.1:24225
"""


class BadFile:
    """Runs husk with a file that has mistakes."""

    def __init__(self, directory):
        self.place, self.path = directory / "place", directory / "husk.yaml"
        self.place.mkdir()

    def refuse(self, text, env=None):
        """husk must start nothing. Returns the lines on stderr, without the name of the file."""
        self.path.write_text(text.replace("{place}", str(self.place)))
        before = self.place.stat().st_mtime_ns
        result = run("run", "--config", self.path, env=env)
        assert result.returncode == 2 and not result.stdout, result
        assert self.place.stat().st_mtime_ns == before, "husk has made a socket"
        lines = result.stderr.splitlines()
        assert all(line.startswith(f"{self.path}:") for line in lines), lines
        return [line.removeprefix(f"{self.path}:") for line in lines]


@pytest.fixture
def bad(tmp_path):
    return BadFile(tmp_path)


MISTAKES = {
    "unknown": (GOOD + "    upstraems: 127.0.0.1:2\n", ["7:5: routes[0].upstraems: "]),
    "value": (GOOD + "    limits:\n      max_tag: much\n", ["8:16: routes[0].limits.max_tag: "]),
    "two-of-them": (GOOD + "    limits:\n      max_tag: much\n    protocol: udp\n",
                    ["8:16: routes[0].limits.max_tag: ", "9:15: routes[0].protocol: "]),
    "together": (GOOD + "    authentication:\n      upstream:\n        username: bob\n",
                 ["9:9: routes[0].authentication.upstream.username: "]),
    "of-two-routes": (GOOD + "    protocol: udp\n" + GOOD.split("routes:\n")[1].replace("agents", "others"),
                      ["7:15: routes[0].protocol: ", "8:5: routes[1].name: "]),
    "no-routes": ("workers: 1\n", ["1:1: routes: is required"]),
    "not-a-map": ("- 1\n", ["1:1: "]),
    "syntax": ("routes: [\n", ["2:1: "]),
    "tab": ("routes:\n\t- name: a\n", ["2:1: "]),
    "process-setting-in-a-route": (GOOD + "    workers: 2\n", ["7:5: routes[0].workers: "]),
    "tls-without-a-key": (GOOD + "    tls:\n      upstream:\n        cert: x\n",
                          ["8:7: routes[0].tls.upstream.key: ", "8:7: routes[0].tls.upstream.ca: "]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_with_mistakes_is_refused_and_each_is_told_with_its_place(bad, name):
    text, expected = MISTAKES[name]
    lines = bad.refuse(text)
    assert len(lines) == len(expected) and all(map(str.startswith, lines, expected)), lines


def test_two_routes_cannot_listen_on_one_address(bad):
    second = GOOD.split("routes:\n")[1].replace("name: one", "name: two")
    assert bad.refuse(GOOD + second) == [
        '8:13: routes[1].listen[0]: routes[0] listens there, too']


def test_the_admin_port_is_not_that_of_a_route(bad):
    """A message has no name of a route: the name may come from the environment."""
    line, = bad.refuse(GOOD.replace('"off"', "127.0.0.1:24299").replace("unix:{place}/agents", "127.0.0.1:24299"))
    assert line == '2:3: admin.listen: routes[0] listens there, too'


def test_a_variable_that_is_not_set_is_a_mistake(bad):
    line, = bad.refuse(GOOD.replace("24225", "${NO_SUCH_PORT}"))
    assert line.startswith("6:16: ") and "NO_SUCH_PORT" in line


def test_a_file_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "missing.yaml"
    result = run("run", "--config", path)
    assert result.returncode == 2
    assert str(path) in result.stderr and "No such file or directory" in result.stderr


def test_without_a_file_husk_run_says_what_it_needs():
    result = run("run")
    assert result.returncode == 2 and "--config" in result.stderr


def test_a_route_that_cannot_start_is_named_and_no_other_one_starts(husk, tmp_path):
    taken = raw.Listener()
    path = config_file.write(tmp_path / "husk.yaml", {**route("good", NOWHERE), "listen": f"unix:{tmp_path}/agents"},
                             {**route("bad", NOWHERE), "listen": raw.format_address(taken.address)})
    result = run("run", "--config", path)
    assert result.returncode == 1
    assert "cannot start: route bad: " in result.stderr and "Address already in use" in result.stderr
    assert not (tmp_path / "agents").exists() and "listening on" not in result.stderr


# ---- many routes ----

MANY, WORKERS = 100, 4
START_CPU_MS, RESIDENT_KIB = 300, 64  # of a release build; on an idle machine the routes listen after less than 100 ms


def resident_kib(husk):
    rollup = pathlib.Path(f"/proc/{husk.pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+) kB", rollup, re.M)[1])


def copied(files, directory):
    """A route's own copies of the files."""
    directory.mkdir(parents=True)
    return {kind: str(shutil.copy(path, directory / f"{kind}.pem")) for kind, path in files.items()}


@pytest.mark.parametrize("case", ["plain", "tls", "tls-own-files"])
def test_many_routes_start_quickly_and_need_little_memory(husk, tmp_path, pki, capsys, case):
    aggregator = Aggregator()
    upstream, sides = aggregator, {}
    if case != "plain":
        upstream = husk.server(aggregator, certificate=pki.foreign_server, ca=pki.other_ca.cert)
        sides = {"downstream": tls(pki.server, pki.ca), "upstream": tls(pki.foreign_client, pki.other_ca)}

    def settings(directory):
        if not sides:
            return {}
        own = {side: copied(files, directory / side) for side, files in sides.items()} if "own" in case else sides
        return {"tls": own, "allow": {"cn": "client"}}

    def start(count):
        routes = [route(f"route{i}", upstream, **settings(tmp_path / f"{i}-of-{count}")) for i in range(count)]
        path = config_file.write(tmp_path / f"{count}.yaml", *routes, workers=WORKERS)
        began = time.monotonic()
        started = husk.run(path, count)
        return started, (time.monotonic() - began) * 1000, started.cpu_seconds() * 1000

    one, _, _ = start(1)
    many, milliseconds, cpu_milliseconds = start(1 + MANY)
    each = (resident_kib(many) - resident_kib(one)) / MANY
    with capsys.disabled():
        print(f" [listening after {milliseconds:.0f} ms, CPU time {cpu_milliseconds:.0f} ms, {each:.1f} KiB resident for "
              "each route]", end="")
    agent = Agent(raw.connect_tls(address_of(many, f"route{MANY}"), pki.ca.cert, pki.client)) if sides \
        else agent_of(many, f"route{MANY}")
    carry_acked(agent, 1, "chunk")
    assert aggregator.numbers() == [1]
    assert cpu_milliseconds < START_CPU_MS * (50 if LIGHT else 1)
    assert each < RESIDENT_KIB * (50 if LIGHT else 1)
