"""Settings with a time or a number: each works as its help says, and the test can tell it from the default."""

import ctypes
import os
import select
import subprocess
import threading
import time

import pytest

from support import raw
from support.name_server import NameServer
from support.process import WAIT_SECONDS, eventually
from support.timing import expect_within, in_time, undisturbed

NOWHERE = f"{raw.HOST}:1"
NAME = "aggregator.test"


# ---- names ----

@pytest.mark.parametrize("ttl, options", [
    (0, {"dns_min_ttl": "300ms"}),
    (3600, {"dns_min_ttl": "10ms", "dns_max_ttl": "300ms"}),
], ids=["no more often than dns-min-ttl", "no less often than dns-max-ttl"])
def test_a_name_is_looked_up_again_after_its_ttl_within_the_limits(husk, ttl, options):
    names = NameServer(hosts={NAME: [raw.HOST]}, ttl=ttl)
    husk.client(f"{NAME}:1", protocol="tcp", dns_servers=names.text, **options)
    gaps = names.gaps(NAME, 4)
    assert min(gaps) >= 0.29, gaps
    assert min(gaps) < 2, gaps  # the defaults are 5 s and more; one interval may be longer on a busy machine


@in_time
def test_failed_look_ups_are_repeated_at_growing_intervals_up_to_the_limit(husk):
    names = NameServer()
    client = husk.client(f"{NAME}:1", protocol="tcp", dns_servers=names.text, dns_retry_min="100ms",
                         dns_retry_max="400ms")
    gaps = names.gaps(NAME, 6)
    for gap, least in zip(gaps, [0.1, 0.2, 0.4, 0.4, 0.4, 0.4]):
        assert gap >= least - 0.01, gaps
    expect_within(0.9, gaps[0])  # the default is 1 s
    expect_within(0.75, min(gaps[3:]))  # the next doubling would be 0.8 s

    names.hosts[NAME] = [raw.HOST]
    client.wait_for_event(message=f"{NAME} resolves again")

    def dialled():  # the workers get the address a little after the log line
        raw.assert_resets(client.address)
        return client.events(reason="connect_refused", side="upstream")
    eventually(dialled, "the address is dialled")


# ---- upstream ----

class HalfDeadUpstream(raw.Listener):
    """A name with two addresses. One of them refuses connections."""

    def __init__(self):
        port = raw.free_address()[1]
        super().__init__(("127.0.0.2", port))
        self.names = NameServer(hosts={NAME: ["127.0.0.1", "127.0.0.2"]})
        self.address = (NAME, port)


def carry_one(tunnel):
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator)
    agent.close()
    aggregator.close()


def refusals(tunnel):
    return tunnel.server.metric("husk_connections_ended_total", side="upstream", reason="connect_refused")


@pytest.mark.parametrize("eject_time, expected", [("1h", 1), ("0s", 4)])
def test_an_ejected_address_is_tried_last(husk, eject_time, expected):
    """Addresses take turns. Without ejection every second connection begins with the address that refuses."""
    upstream = HalfDeadUpstream()
    tunnel = husk.tunnel(server={"dns_servers": upstream.names.text, "eject_time": eject_time, "eject_time_max": "1h"},
                         upstream=upstream)
    for _ in range(8):
        carry_one(tunnel)
    assert refusals(tunnel) == expected


@undisturbed
def test_an_ejected_address_is_tried_again_after_the_eject_time(husk):
    upstream = HalfDeadUpstream()
    tunnel = husk.tunnel(server={"dns_servers": upstream.names.text, "eject_time": "700ms"}, upstream=upstream)
    while not refusals(tunnel):
        carry_one(tunnel)
    seen = time.monotonic()  # the ejection began a moment before
    deadline = seen + WAIT_SECONDS
    while refusals(tunnel) == 1 and time.monotonic() < deadline:
        carry_one(tunnel)
    waited = time.monotonic() - seen
    assert refusals(tunnel) == 2
    assert 0.5 < waited < 9  # the default is 10 s


def ticketless(husk, pki, confirm_timeout):
    """Returns an agent, its upstream, which sends no session tickets, and husk client. The handshake is done."""
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp", confirm_timeout=confirm_timeout)
    agent = raw.connect(client.address)
    context = raw.tls_context(True, pki.ca.cert, pki.server, "1.3")
    context.num_tickets = 0
    agent.sendall(b"?")
    return agent, raw.TlsPeer(listener.accept(), context, server_side=True).handshake(), client


def test_an_unconfirmed_upstream_is_used_after_the_confirm_timeout(husk, pki):
    def wait():
        _agent, aggregator, client = ticketless(husk, pki, "50ms")
        shaken = time.monotonic()
        assert aggregator.recv(1) == b"?"
        assert client.metric("husk_upstream_unconfirmed_total") == 1
        return time.monotonic() - shaken

    assert min(wait() for _ in range(3)) < 0.9  # the default is 1 s


def test_an_unconfirmed_upstream_gets_no_byte_within_the_confirm_timeout(husk, pki):
    agent, aggregator, client = ticketless(husk, pki, "1m")
    assert not select.select([aggregator.sock], [], [], 1.5)[0], "husk waits longer than the default of 1 s"
    aggregator.sendall(b"!")  # confirms that the certificate was accepted
    assert aggregator.recv(1) == b"?"
    assert agent.recv(1) == b"!"
    assert client.metric("husk_upstream_unconfirmed_total") == 0


# ---- dead peers ----

SHUT_SECONDS = 3.5  # much longer than dead_peer_timeout


@pytest.mark.parametrize("shut", ["aggregator", "agent"])
def test_a_live_peer_that_does_not_read_is_not_dead(husk, shut):
    options = {"dead_peer_timeout": "1s"}
    tunnel = husk.tunnel(client=options, server=options)
    agent, aggregator = tunnel.open()
    sender, receiver = (agent, aggregator) if shut == "aggregator" else (aggregator, agent)
    sender.setblocking(False)
    sent = 0
    while select.select([], [sender], [], 0.5)[1]:
        sent += sender.send(bytes(1 << 16))
    time.sleep(SHUT_SECONDS)
    sender.settimeout(WAIT_SECONDS)
    with raw.Sending(sender, [b"the end"]):
        assert raw.read_exactly(receiver, sent + 7).endswith(b"the end")
    raw.carry(receiver, sender)
    assert not tunnel.client.problems() and not tunnel.server.problems()


class LinkedNamespaces:
    """Two network namespaces and a link between them. cut() removes an address, so that no packet tells either end."""

    HERE, THERE = "10.99.0.1", "10.99.0.2"

    def __init__(self):
        self.here, self.there = (self._namespace() for _ in range(2))
        self._run(self.here, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far",
                  "netns", self.there.pid)
        for namespace, link, address in [(self.here, "near", self.HERE), (self.there, "far", self.THERE)]:
            self._run(namespace, "ip", "address", "add", f"{address}/30", "dev", link)
            self._run(namespace, "ip", "link", "set", link, "up")

    @staticmethod
    def _namespace():
        """A namespace that exists as long as its process. The process writes a line when the namespace exists."""
        process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.readline()
        return process

    @staticmethod
    def enter(namespace):
        return "nsenter", f"--net=/proc/{namespace.pid}/ns/net", "--"

    def _run(self, namespace, *words):
        subprocess.run([*self.enter(namespace), *map(str, words)], check=True, capture_output=True)

    def cut(self):
        self._run(self.there, "ip", "address", "flush", "dev", "far")

    def listener(self):
        """A listening socket in the other namespace: a socket belongs to the namespace in which it was made."""
        made = []

        def make():
            with open(f"/proc/{self.there.pid}/ns/net") as namespace:
                assert ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0  # only of this thread
            made.append(raw.Listener((self.THERE, 0)))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join(WAIT_SECONDS)
        return made[0]

    def close(self):
        for namespace in (self.here, self.there):
            namespace.kill()
            namespace.wait()
            namespace.stdout.close()


@pytest.fixture
def namespaces():
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "ip", "link", "add", "near", "type", "veth"],
                                           capture_output=True).returncode:
        pytest.skip("linked network namespaces need root")
    namespaces = LinkedNamespaces()
    yield namespaces
    namespaces.close()


@pytest.mark.parametrize("last_bytes", [b"x", b""], ids=["with unacked bytes", "while idle"])
def test_a_peer_that_vanishes_ends_at_the_dead_peer_timeout(husk, pki, namespaces, tmp_path,
                                                                            last_bytes):
    listener = namespaces.listener()
    client = husk.client(listener, protocol="tcp", listen=f"unix:{tmp_path}/agents", admin="off",
                         server_name="localhost", dead_peer_timeout="2s", prefix=namespaces.enter(namespaces.here))
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    context = raw.tls_context(True, pki.ca.cert, pki.server)
    aggregator = raw.TlsPeer(listener.accept(), context, server_side=True).handshake()
    assert aggregator.recv(1) == b"?"
    namespaces.cut()
    cut = time.monotonic()
    agent.sendall(last_bytes)
    raw.assert_closed(agent)  # a Unix socket has no reset
    assert 1 < time.monotonic() - cut < 60  # the default is 2 minutes
    client.wait_for_event(reason="dead_peer", side="upstream", level="warn")


# ---- admin ----

def test_an_admin_connection_beyond_the_limit_takes_the_place_of_a_silent_one(husk):
    client = husk.client(NOWHERE, protocol="tcp", admin_max_connections=2, admin_request_timeout="1h")
    silent = [raw.connect(client.admin) for _ in range(2)]
    assert client.get("/live")[0] == 200
    raw.assert_closed(silent[0])
    client.wait_for_event(message="an admin connection gives way to a new one", state="has asked nothing")


def test_an_incomplete_admin_request_ends_at_its_timeout(husk):
    client = husk.client(NOWHERE, protocol="tcp", admin_request_timeout="300ms")
    began = time.monotonic()
    slow = raw.connect(client.admin)
    slow.sendall(b"GET /live HTTP/1.1\r\n")
    raw.assert_closed(slow)
    assert 0.29 <= time.monotonic() - began < 9  # the default is 10 s


# ---- log ----

def fail_often(husk, count, **options):
    """Makes `count` connections that fail. Returns the lines about them and the number of suppressed lines."""
    client = husk.client(NOWHERE, protocol="tcp", workers=1, **options)
    for _ in range(count):
        raw.assert_resets(client.address)
    client.wait_for_metric("husk_connections_ended_total", count, side="upstream", reason="connect_refused")
    client.stop()
    return (client.events(message="connection ended", reason="connect_refused"),
            sum(event.get("suppressed", 0) for event in client.events()))


def test_lines_beyond_log_burst_are_counted_and_not_written(husk):
    lines, suppressed = fail_often(husk, 10, log_burst=3)
    assert (len(lines), suppressed) == (3, 7)


def test_log_burst_off_writes_every_line(husk):
    lines, suppressed = fail_often(husk, 30, log_burst="off")
    assert (len(lines), suppressed) == (30, 0)


# ---- certificates ----

def test_a_client_chain_that_is_too_long_is_refused_with_a_reason(husk, pki, tmp_path):
    authority = pki.ca
    links = [authority.issue(f"link{i}", "link", "clientAuth", ",".join(f"DNS:{i}.{n}.{'n' * 50}" for n in range(300)))
             for i in range(2)]
    chain = tmp_path / "chain.pem"
    chain.write_text("".join(open(one.cert).read() for one in [pki.client, *links]))
    server = husk.server(raw.Listener(), protocol="tcp")
    context = raw.tls_context(False, authority.cert, type(pki.client)(str(chain), pki.client.key))
    peer = raw.TlsPeer(raw.connect(server.address), context)
    with pytest.raises(OSError):
        peer.handshake()
        peer.recv(1)
    event = server.wait_for_event(reason="tls_protocol", side="downstream", level="warn")
    assert event["detail"] == "EXCESSIVE_MESSAGE_SIZE"
