"""A connection does not outlive a certificate of either side, nor --max-downstream-age; husk tells ahead that its own
certificate ends."""

import os
import shutil
import signal
import time

import pytest

from support import link, raw
from support.aggregators import CountingAggregator
from support.config_file import route
from support.forward import Agent, Aggregator, Pair, carry_acked, event
from support.husk import LIGHT, flags, run
from support.lifetime import Clock, ONE_DAY, short_lived, wait_until_judged
from support.pki import LOCAL_NAMES
from support.process import eventually
from support.reloading import File, Silent, Streaming, agent_of
from support.timing import undisturbed
from support.trust import Intermediate, ended, renewed, wait_for_end

ROTATIONS = int(os.environ.get("HUSK_ROTATIONS", "4" if LIGHT else "8"))
SECONDS = 12 if LIGHT else 4  # the life of certificates in real time
WITH_A_CLOCK = pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(name="clock")
def _clock(shim, tmp_path):
    """Jumps by two days."""
    return Clock(shim, tmp_path)


@pytest.fixture(name="late_clock")
def _late_clock(shim, tmp_path):
    """Jumps by 28 days. The certificates of the tests live for 30 days."""
    return Clock(shim, tmp_path, 28 * 24 * 3600)


def issue_for_a_day(pki, name, usage):
    return pki.ca.issue(f"{name}-for-a-day", name, usage, "DNS:client" if usage == "clientAuth" else LOCAL_NAMES, validity=ONE_DAY)


def agent_to(server, pki, certificate, version=None):
    return Agent(raw.connect_tls(server.address, pki.ca.cert, certificate, version))


def expect_end(peer):
    """The connection ends with close_notify, and without another byte."""
    assert peer.recv(1) == b""


# ---- in real time ----

def test_an_agent_goes_shortly_before_its_certificate_ends(husk, pki):
    aggregator = Aggregator()
    server = husk.server(aggregator, allow_any=True, handshake_timeout="60s", silence_hint="off")  # no other timer fires
    certificate, end = short_lived(pki.ca, "agent", "clientAuth", SECONDS)
    stays, goes = agent_to(server, pki, pki.client), agent_to(server, pki, certificate)
    carry_acked(stays, 1, "1")
    carry_acked(goes, 2, "2")
    expect_end(goes.sock)
    assert time.time() > end - SECONDS / 20 - 0.1
    line = server.problem()
    assert line["reason"] == "expired" and line["side"] == "downstream" and line["identity"] == "dns:localhost"
    assert "the certificate of the peer, or of its CA, ends at 2" in line["detail"]
    carry_acked(stays, 3, "3")
    assert aggregator.numbers() == [1, 2, 3] and ended(server, "downstream", "expired") == 1


def test_a_server_is_left_shortly_before_its_certificate_ends(husk, pki):
    listener = raw.Listener()
    client = husk.client(f"localhost:{listener.address[1]}", workers=1, confirm_timeout="20ms")
    agent = Agent(raw.connect(client.address))
    certificate, end = short_lived(pki.ca, "server", "serverAuth", SECONDS)
    agent.send(event(1, "1"))
    server = accept(listener, pki, certificate)
    answer(server, agent, "1")
    server.expect_end()
    assert time.time() > end - SECONDS / 20 - 0.1
    line = client.problem()
    assert line["reason"] == "expired" and line["side"] == "upstream" and "of the peer" in line["detail"]
    agent.send(event(2, "2"))
    answer(accept(listener, pki, pki.server), agent, "2")


def accept(listener, pki, certificate):
    context = raw.tls_context(True, pki.ca.cert, certificate)
    return link.LinkPeer(raw.TlsPeer(listener.accept(), context, server_side=True).handshake())


def answer(server, agent, chunk):
    server.send({"ack": server.read_message()[-1]["chunk"]})
    agent.expect_ack(chunk)


# ---- which certificate ends ----

@WITH_A_CLOCK
@VERSIONS
def test_the_leaf_of_the_agent_ends(husk, pki, clock, version):
    aggregator = Aggregator()
    server = husk.server(aggregator, allow_any=True, env=clock.env)
    stays, goes = agent_to(server, pki, pki.client, version), agent_to(
        server, pki, issue_for_a_day(pki, "agent", "clientAuth"), version)
    carry_acked(stays, 1, "1")
    carry_acked(goes, 2, "2")
    clock.jump()
    expect_end(goes.sock)
    carry_acked(stays, 3, "3")
    assert ended(server, "downstream", "expired") == 1 and ended(server, "downstream") == 0


@WITH_A_CLOCK
def test_the_leaf_of_husk_server_ends(husk, pki, clock):
    server = husk.server(Aggregator(), certificate=issue_for_a_day(pki, "own", "serverAuth"), env=clock.env)
    agents = [agent_to(server, pki, pki.client) for _ in range(3)]
    for number, agent in enumerate(agents):
        carry_acked(agent, number, f"{number}")
    clock.jump()
    for agent in agents:
        expect_end(agent.sock)
    assert "the certificate that husk has shown to the peer ends at 2" in server.wait_for_event(reason="expired")["detail"]
    status, text = server.get("/ready")
    assert status == 503 and "the own certificate has expired" in text


@WITH_A_CLOCK
def test_an_intermediate_or_the_ca_of_the_agent_ends(husk, pki, late_clock, tmp_path):
    """The CA of the first agent was renewed, with the same key, and ends with the jump; the other one is younger."""
    old = renewed(pki.other_ca, tmp_path / "old.pem", days=20)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(open(old).read() + open(pki.ca.cert).read())
    server = husk.server(Aggregator(), ca=bundle, allow_any=True, env=late_clock.env)
    goes, stays = agent_to(server, pki, pki.foreign_client), agent_to(server, pki, pki.client)
    carry_acked(goes, 1, "1")
    carry_acked(stays, 2, "2")
    late_clock.jump()
    expect_end(goes.sock)
    carry_acked(stays, 3, "3")


@WITH_A_CLOCK
def test_a_resumed_session_ends_with_the_certificate_of_its_first_handshake(husk, pki, clock):
    server = husk.server(Aggregator(), allow_any=True, env=clock.env)
    context = raw.tls_context(False, pki.ca.cert, issue_for_a_day(pki, "agent", "clientAuth"), "1.2")
    first = raw.TlsPeer(raw.connect(server.address), context).handshake()
    second = raw.TlsPeer(raw.connect(server.address), context, session=first.tls.session).handshake()
    assert second.tls.session_reused
    carry_acked(Agent(second), 1, "1")
    clock.jump()
    expect_end(first)
    expect_end(second)
    assert ended(server, "downstream", "expired") == 2


@WITH_A_CLOCK
def test_a_clock_that_is_set_back_ends_nothing(husk, pki, shim, tmp_path):
    clock = Clock(shim, tmp_path, -3600)
    pair = Pair(husk, Aggregator(), {"env": clock.env}, {"env": clock.env})
    agent = pair.agent()
    carry_acked(agent, 1, "1")
    clock.jump()
    time.sleep(1.5)  # husk looks at its clock once a second
    carry_acked(agent, 2, "2")
    assert len(pair.aggregator.connections) == 1 and not pair.client.problems() and not pair.server.problems()
    assert ended(pair.client, "upstream", "retired") == 0


@WITH_A_CLOCK
def test_a_ca_that_is_renewed_in_time_ends_no_connection(husk, pki, late_clock, tmp_path):
    """The reload finds a path that ends later."""
    bundle = tmp_path / "bundle.pem"
    shutil.copy(renewed(pki.other_ca, tmp_path / "old.pem", days=20), bundle)
    server = husk.server(Aggregator(), ca=bundle, allow_any=True, env=late_clock.env, workers=1)
    agent = agent_to(server, pki, pki.foreign_client)
    carry_acked(agent, 1, "1")
    shutil.copy(renewed(pki.other_ca, tmp_path / "new.pem", days=60), bundle)
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    late_clock.jump()
    wait_until_judged(server)
    carry_acked(agent, 2, "2")
    assert ended(server, "downstream", "expired") == 0


# ---- between two messages ----

@WITH_A_CLOCK
def test_messages_of_the_agent_are_settled_first(husk, pki, late_clock):
    aggregator = Aggregator(acks=False)
    server = husk.server(aggregator, allow_any=True, env=late_clock.env, workers=1)
    agent = agent_to(server, pki, issue_for_a_day(pki, "agent", "clientAuth"))
    three = event(3, "three")
    agent.send(event(1, "one"), event(2, "two"), three[:5])
    sent = aggregator.wait_for(2)
    late_clock.jump()
    wait_until_judged(server)
    agent.send(three[5:] + event(4, "four"))  # nobody takes the last one
    sent += aggregator.wait_for(3)[2:]
    assert ended(server, "downstream", "expired") == 0
    aggregator.ack(*sent)
    assert agent.read_acks(3) == ["one", "two", "three"]
    expect_end(agent.sock)
    assert aggregator.numbers() == [1, 2, 3]


@WITH_A_CLOCK
@pytest.mark.parametrize("ending", ["server", "client"])
def test_messages_on_the_way_to_the_server_are_settled_first(husk, pki, late_clock, ending):
    """Later messages go to a new connection: also with a certificate of husk that has ended, if the server takes it."""
    listener = raw.Listener()
    options = {"certificate": issue_for_a_day(pki, "own", "clientAuth")} if ending == "client" else {}
    client = husk.client(f"localhost:{listener.address[1]}", workers=1, confirm_timeout="20ms", drain_timeout="60s",
                         env=late_clock.env, **options)
    agent = Agent(raw.connect(client.address))
    agent.send(event(1, "1"))
    server = accept(listener, pki, issue_for_a_day(pki, "theirs", "serverAuth") if ending == "server" else pki.server)
    answer(server, agent, "1")
    agent.send(event(2, "2"))
    second = server.read_message()
    late_clock.jump()
    wait_until_judged(client)
    agent.send(event(3, "3"))
    replacement = accept(listener, pki, pki.server)
    third = replacement.read_message()
    assert third[2]["n"] == 3 and ended(client, "upstream", "expired") == 0, "the ack of 2 is waited for"
    server.send({"ack": second[-1]["chunk"]})
    agent.expect_ack("2")
    server.expect_end()
    replacement.send({"ack": third[-1]["chunk"]})
    agent.expect_ack("3")
    wait_for_end(client, "upstream", reason="expired")
    assert client.wait_for_event(reason="expired")["side"] == "upstream"
    agent.send(event(4, "4"))
    answer(replacement, agent, "4")


@WITH_A_CLOCK
def test_after_the_drain_timeout_the_connection_ends_with_unacked_messages(husk, pki, clock):
    aggregator = Aggregator(acks=False)
    server = husk.server(aggregator, allow_any=True, env=clock.env, drain_timeout="100ms")
    agent = agent_to(server, pki, issue_for_a_day(pki, "agent", "clientAuth"))
    agent.send(event(1, "one"))
    aggregator.wait_for(1)
    clock.jump()
    raw.is_reset(agent.sock.sock)
    wait_for_end(server, "downstream", reason="expired")


# ---- tcp ----

@WITH_A_CLOCK
@pytest.mark.parametrize("ending", ["client", "server"])
def test_a_tunnel_delivers_what_was_read_and_ends(husk, pki, clock, ending):
    certificate = issue_for_a_day(pki, "client", "clientAuth" if ending == "client" else "serverAuth")
    other = "server" if ending == "client" else "client"
    tunnel = husk.tunnel(**{ending: {"certificate": certificate}, other: {"env": clock.env}})
    agent, aggregator = tunnel.open()
    raw.carry_both_ways(agent, aggregator)
    clock.jump()
    assert agent.recv(1) == aggregator.recv(1) == b"", "both ends see an end in order"
    judge, side = (tunnel.server, "downstream") if ending == "client" else (tunnel.client, "upstream")
    wait_for_end(judge, side, reason="expired")
    assert judge.wait_for_event(reason="expired")["phase"] == "relay"


def test_a_tunnel_ends_in_real_time(husk, pki):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", allow_any=True)
    certificate, end = short_lived(pki.ca, "agent", "clientAuth", SECONDS)
    agents = [(raw.connect_tls(server.address, pki.ca.cert, one), upstream.accept()) for one in (certificate, pki.client)]
    for ends in agents:
        raw.carry_both_ways(*ends)
    expect_end(agents[0][0])
    assert time.time() > end - SECONDS / 20 - 0.1
    expect_end(agents[0][1])
    raw.carry_both_ways(*agents[1])


# ---- --max-downstream-age ----

@pytest.mark.parametrize("tls", [True, False])
@undisturbed
def test_an_agent_goes_at_the_maximum_age_between_two_messages(husk, pki, tls):
    aggregator = Aggregator(acks=False)
    options = {"max_downstream_age": "300ms", "workers": 1}
    one = husk.server(aggregator, **options) if tls else husk.client(husk.server(aggregator), **options)
    agent = agent_to(one, pki, pki.client) if tls else Agent(raw.connect(one.address))
    begin = time.monotonic()
    agent.send(event(1, "one"))
    sent = aggregator.wait_for(1)
    time.sleep(0.4)  # the connection retires
    assert ended(one, "downstream", "retired") == 0, "the ack is waited for"
    aggregator.ack(*sent)
    agent.expect_ack("one")
    expect_end(agent.sock)
    assert time.monotonic() - begin >= 0.27
    wait_for_end(one, "downstream", reason="retired")
    assert not one.problems()


def test_agents_that_come_again_lose_nothing_at_the_maximum_age(husk):
    aggregator = CountingAggregator()
    pair = Pair(husk, aggregator, {"max_downstream_age": "100ms"}, {"max_downstream_age": "150ms"})
    agents = [Streaming(pair.client.address, 1_000_000 * n) for n in range(1, 4)]
    eventually(lambda: all(agent.ends >= 5 for agent in agents), "each agent has come again")
    aggregator.wait_for_stored(*(number for agent in agents for number in agent.finish()))
    assert pair.client.metric("husk_messages_dropped_total") == pair.server.metric("husk_messages_dropped_total") == 0
    assert not pair.server.problems() and not pair.client.problems()


def test_a_reload_changes_the_maximum_age_of_open_connections(husk, tmp_path):
    aggregator = Aggregator()
    running = File(husk, tmp_path / "husk.yaml", route("r", aggregator), workers=1)
    agent = agent_of(running.husk, "r")
    carry_acked(agent, 1, "1")
    running.change(route("r", aggregator, connections={"max_downstream_age": "100ms"}))
    expect_end(agent.sock)


# ---- told ahead ----

@WITH_A_CLOCK
def test_the_end_of_the_own_certificate_is_told_ahead_and_its_renewal_too(husk, pki, late_clock, mounted, tmp_path):
    server = husk.server(Aggregator(), certificate=mounted(pki.server), env=late_clock.env)
    assert not server.problems()
    late_clock.jump()
    line = server.problem()
    assert line["side"] == "downstream" and line["route"] == "server"
    assert "the own certificate ends at" in line["message"] and "a tenth of its life is left" in line["message"]
    mounted(pki.ca.issue("long-server", "server", "serverAuth", LOCAL_NAMES, validity=("-days", 365)))
    server.signal(signal.SIGHUP)
    server.wait_until(lambda _: [one for one in server.events(level="info")
                                 if "the own certificate was renewed and ends at" in one["message"]], "the renewal")


@pytest.mark.parametrize("life, is_ready", [("700h", True), ("721h", False), (None, True)])
def test_ready_asks_for_the_life_that_is_left(husk, life, is_ready):
    server = husk.server(Aggregator(), min_certificate_life=life)
    status, text = server.get("/ready")
    assert (status == 200) == is_ready, text
    assert is_ready or "the own certificate ends within --min-certificate-life" in text


@pytest.mark.parametrize("life, status", [("700h", 0), ("721h", 1)])
def test_check_asks_for_the_life_that_is_left(pki, life, status):
    done = run("check", "client", "--listen", "127.0.0.1:0", "--upstream", "localhost:1", "--cert", pki.client.cert, "--key", pki.client.key,
               "--ca", pki.ca.cert, "--min-certificate-life", life)
    assert done.returncode == status, done.stdout
    assert ("--min-certificate-life: certificate CN=client ends at" in done.stdout) == bool(status)


@pytest.mark.parametrize("name, value, fault", [
    ("max_downstream_age", "99ms", "99ms is out of range: expected 100ms to 168h"),
    ("max_downstream_age", "169h", "169h is out of range: expected 100ms to 168h"),
    ("max_downstream_age", "1", '"1" is not a duration such as 250ms, 5s or 2m, nor the word off'),
    ("min_certificate_life", "999ms", "999ms is out of range: expected 1s to 8760h"),
    ("min_certificate_life", "8761h", "8761h is out of range: expected 1s to 8760h")])
def test_a_wrong_time_gets_one_line(pki, name, value, fault):
    files = ("--cert", pki.client.cert, "--key", pki.client.key, "--ca", pki.ca.cert)
    done = run("client", "--listen", "127.0.0.1:0", "--upstream", "localhost:1", *files, *flags(**{name: value}))
    assert done.returncode == 2 and done.stderr == f"husk client: --{name.replace('_', '-')}: {fault}\n"


# ---- rotation ----

def test_rotation_under_traffic_loses_nothing(husk, pki, mounted, tmp_path):
    """HUSK_ROTATIONS=60 HUSK_ROTATION_SECONDS=1 is a minute."""
    pause = float(os.environ.get("HUSK_ROTATION_SECONDS", "0.1"))
    aggregator = CountingAggregator()
    served = [pki.server, pki.next_server]
    clients = [pki.client, pki.ca.issue("rotated-client", "client", "clientAuth", "DNS:client")]
    (tmp_path / "c").mkdir()
    at = tmp_path / "c"

    def mount_client(certificate):
        return type(certificate)(*(shutil.copy(path, at / f"{i}.pem") for i, path in enumerate(certificate)))
    pair = Pair(husk, aggregator, {"certificate": mount_client(clients[0])}, {"certificate": mounted(served[0])})
    agents = [Streaming(pair.client.address, 1_000_000 * n) for n in range(1, 4)]
    silent = Silent(pair.client.address, 50_000_000)
    resident = []
    for number in range(1, ROTATIONS + 1):
        acked = agents[0].acked_count
        mounted(served[number % 2])
        mount_client(clients[number % 2])
        for one in (pair.server, pair.client):
            one.signal(signal.SIGHUP)
        silent.send(5)
        for one in (pair.server, pair.client):
            one.wait_for_metric("husk_reloads_total", number, result="success")
        eventually(lambda: agents[0].acked_count > acked, "messages go on")
        resident.append((pair.client.resident_kib(), pair.server.resident_kib()))
        time.sleep(pause)
    numbers = [number for agent in agents for number in agent.finish()]
    aggregator.wait_for_stored(*numbers, *silent.numbers)
    assert [agent.ends for agent in agents] == [0] * 3
    for one in (pair.client, pair.server):
        assert one.metric("husk_messages_dropped_total") == 0 and not one.problems()
    handshakes = {result: pair.client.metric("husk_handshakes_total", side="upstream", result=result)
                  for result in ("full", "resumed")}
    assert ended(pair.client, "upstream", "retired") >= 1
    print(f"{ROTATIONS} rotations; {len(numbers)} events; handshakes {handshakes}; resident {resident[0]} … {resident[-1]} KiB")
