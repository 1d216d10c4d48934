"""An agent's connection does not outlive the trust that admitted the agent: after a reload each agent is judged again,
and a connection that the new credentials do not admit ends between two messages."""

import fcntl
import signal
import struct
import termios
import threading

import pytest

from support import link, raw
from support.forward import Agent, Aggregator, Parser, carry_acked, event, message
from support.husk import LIGHT
from support.pki import RevocationLists
from support.process import WAIT_SECONDS, eventually
from support.trust import Bundle, Intermediate, ended, reload, renewed, wait_for_end

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(name="bundle")
def _bundle(tmp_path, pki):
    """Has both CAs."""
    return Bundle(tmp_path / "bundle.pem", pki.ca.cert, pki.other_ca.cert)


class Site:
    """Agents → husk server → aggregator. The certificate of a stranger is of the other CA."""

    def __init__(self, husk, bundle, acks=True, **options):
        self.pki, self.bundle, self.aggregator = husk.pki, bundle, Aggregator(acks)
        self.server = husk.server(self.aggregator, ca=bundle, **{"workers": 1, **options})

    def agent(self, certificate=None, version=None):
        return Agent(raw.connect_tls(self.server.address, self.pki.ca.cert, certificate or self.pki.client, version))

    def stranger(self, version=None):
        return self.agent(self.pki.foreign_client, version)

    def remove_other_ca(self):
        self.bundle.write(self.pki.ca.cert)
        reload(self.server)


@pytest.fixture(name="site")
def _site(husk, bundle):
    return lambda acks=True, **options: Site(husk, bundle, acks, **options)


def expect_end(agent):
    """The connection ends with close_notify, and without another byte."""
    assert agent.sock.recv(1) == b""


def carry(agents, first):
    """Each of the agents sends one event and gets its ack."""
    for number, agent in enumerate(agents, first):
        carry_acked(agent, number, f"{number}")


# ---- who stays, and who goes ----

@VERSIONS
def test_an_agent_whose_ca_is_removed_goes_and_others_stay(site, version):
    site = site()
    agent, stranger = site.agent(version=version), site.stranger(version)
    carry([agent, stranger], 1)
    site.remove_other_ca()
    expect_end(stranger)
    carry([agent], 3)
    line = site.server.event(reason="distrusted")
    assert line["level"] == "warn" and line["side"] == "downstream" and line["identity"] and line["peer"]
    assert "CA theirs, which is not in our CA file" in line["detail"]
    assert ended(site.server, "downstream") == 1 and site.server.problems() == [line]
    assert site.aggregator.numbers() == [1, 2, 3]


def test_an_agent_whose_intermediate_is_removed_goes(site, pki, bundle, tmp_path):
    intermediate = Intermediate(tmp_path / "between", pki.ca)
    bundle.write(pki.ca.cert, intermediate.cert)
    site = site()
    agents = [site.agent(), site.agent(intermediate.issue("client", "client", "clientAuth"))]
    carry(agents, 1)
    bundle.write(pki.ca.cert)
    reload(site.server)
    expect_end(agents[1])
    carry(agents[:1], 3)


def test_an_agent_stays_when_its_ca_is_renewed_with_the_same_key(site, pki, bundle, tmp_path):
    site = site()
    agents = [site.agent(), site.stranger()]
    carry(agents, 1)
    bundle.write(renewed(pki.ca, tmp_path / "renewed.pem"), renewed(pki.other_ca, tmp_path / "renewed2.pem"))
    reload(site.server)
    carry(agents, 3)
    assert ended(site.server, "downstream") == 0


def test_an_agent_goes_when_another_ca_takes_the_name_of_its_ca(site, pki, bundle, tmp_path):
    (tmp_path / "x").mkdir()
    site = site()
    agents = [site.agent(), site.stranger()]
    carry(agents, 1)
    bundle.write(pki.ca.cert, type(pki.other_ca)(tmp_path / "x" / pki.other_ca.directory.name).cert)
    reload(site.server)
    expect_end(agents[1])
    carry(agents[:1], 3)


def test_an_agent_whose_certificate_is_revoked_goes(site, pki, bundle, tmp_path):
    site = site(allow_any=True)
    agents = [site.agent(), site.agent(pki.unlisted_client)]
    carry(agents, 1)
    bundle.write(pki.ca.cert, RevocationLists(tmp_path, pki.ca).make("l", pki.unlisted_client))
    reload(site.server)
    expect_end(agents[1])
    carry(agents[:1], 3)
    assert "revoked" in site.server.wait_for_event(reason="distrusted")["detail"]


@pytest.mark.parametrize("policy", ["warn", "require"])
def test_an_agent_that_a_new_list_revokes_goes_without_a_signal(site, pki, bundle, tmp_path, policy):
    """husk looks at the directory. A message that is not acknowledged yet is settled before the connection ends."""
    lists, folder = RevocationLists(tmp_path, pki.ca), tmp_path / "crls"
    folder.mkdir()
    (folder / "list").write_text(lists.make("a"))
    bundle.write(pki.ca.cert)
    site = site(crl=folder, revocation_policy=policy, allow_any=True, acks=False, reload_interval="50ms")
    agents = [site.agent(), site.agent(pki.unlisted_client)]
    for number, agent in enumerate(agents):
        agent.send(event(number, f"{number}"))
    sent = site.aggregator.wait_for(2)
    (folder / ".next").write_text(lists.make("b", pki.unlisted_client, options=(
        "-crl_lastupdate", "20990101000000Z", "-crl_nextupdate", "20990102000000Z") if policy == "warn" else ("-crldays", 30)))
    (folder / ".next").rename(folder / "list")
    site.server.wait_for_event(message="credentials reloaded")
    assert ended(site.server, "downstream") == 0
    site.aggregator.ack(*sent)
    for number, agent in enumerate(agents):
        assert agent.read_acks(1) == [f"{number}"]
    expect_end(agents[1])
    site.aggregator.acks = True
    carry(agents[:1], 3)
    assert "revoked" in site.server.wait_for_event(reason="distrusted")["detail"]


@pytest.mark.parametrize("change", ["nothing", "other certificate", "another ca", "a list", "order"])
def test_a_reload_that_concerns_no_peer_ends_no_connection(site, pki, bundle, mounted, tmp_path, change):
    site = site(certificate=mounted(pki.server), allow_any=True)
    agents = [site.agent(), site.stranger()]
    carry(agents, 1)
    lists = [RevocationLists(tmp_path, pki.ca).make("l", pki.unlisted_client),
             RevocationLists(tmp_path, pki.other_ca).make("other")]  # a CA without a list is warned of
    parts = [pki.ca.cert, pki.other_ca.cert]
    bundle.write(*{"another ca": [*parts, Intermediate(tmp_path / "new", pki.ca).cert], "a list": [*parts, *lists],
                   "order": parts[::-1]}.get(change, parts))
    if change == "other certificate":
        mounted(pki.next_server)
    reload(site.server)
    carry(agents, 3)
    assert len(site.aggregator.connections) == 1 and not site.server.problems()


@pytest.mark.parametrize("fault", ["junk", "no ca"])
def test_a_failed_reload_ends_nothing(site, bundle, fault):
    site = site(reload_retry_max="50ms")
    agents = [site.agent(), site.stranger()]
    carry(agents, 1)
    bundle.write("junk\n" if fault == "junk" else "\n")
    reload(site.server, "failure")
    carry(agents, 3)
    assert ended(site.server, "downstream") == 0
    site.remove_other_ca()
    expect_end(agents[1])


def test_agents_without_tls_stay(husk, pki, bundle):
    aggregator = Aggregator()
    server = husk.server(aggregator)
    client = husk.client(server, ca=bundle)
    agent = Agent(raw.connect(client.address))
    carry([agent], 1)
    bundle.write(pki.ca.cert)
    reload(client)
    carry([agent], 2)
    assert ended(client, "downstream") == ended(client, "upstream") == 0
    assert len(aggregator.connections) == 1


def test_an_agent_that_has_resumed_its_session_is_judged_too(site, pki):
    site = site()
    context = raw.tls_context(False, pki.ca.cert, pki.foreign_client, "1.2")
    first = raw.TlsPeer(raw.connect(site.server.address), context).handshake()
    second = raw.TlsPeer(raw.connect(site.server.address), context, session=first.tls.session).handshake()
    assert second.tls.session_reused
    carry([Agent(second)], 1)
    site.remove_other_ca()
    assert second.recv(1) == first.recv(1) == b""
    assert ended(site.server, "downstream") == 2


# ---- between two messages ----

def test_unacked_messages_are_waited_for(site):
    site = site(acks=False)
    stranger = site.stranger()
    stranger.send(event(1, "one"), event(2, "two"))
    sent = site.aggregator.wait_for(2)
    site.remove_other_ca()
    stranger.send(event(3, "three"))  # nobody takes it
    site.aggregator.ack(sent[0])
    assert stranger.read_acks(1) == ["one"]
    assert ended(site.server, "downstream") == 0
    site.aggregator.ack(sent[1])
    assert stranger.read_acks(1) == ["two"]
    expect_end(stranger)
    assert site.aggregator.numbers() == [1, 2]


def test_after_the_drain_timeout_unacked_messages_end_the_connection(site):
    site = site(acks=False, drain_timeout="100ms")
    stranger = site.stranger()
    stranger.send(event(1, "one"))
    site.aggregator.wait_for(1)
    site.remove_other_ca()
    raw.is_reset(stranger.sock.sock)
    wait_for_end(site.server, "downstream")


@pytest.mark.parametrize("acked", [False, True])
def test_a_message_that_has_begun_is_taken_and_the_next_is_not(site, acked):
    site = site()
    stranger = site.stranger()
    carry([stranger], 1)
    one = event(2, "two" if acked else None)
    stranger.send(one[:5])
    eventually(lambda: site.server.metric("husk_bytes_total", side="downstream", direction="received")
               == len(event(1, "1")) + 5, "the first part has arrived")
    site.remove_other_ca()
    assert ended(site.server, "downstream") == 0
    stranger.send(one[5:] + event(3, "three"))
    if acked:
        stranger.expect_ack("two")
    expect_end(stranger)
    assert site.aggregator.wait_for(2)[-1].number == 2
    assert site.aggregator.numbers() == [1, 2]


def test_an_agent_without_acks_that_has_sent_more_is_reset(site):
    site = site()
    stranger = site.stranger()
    one = event(1)
    stranger.send(one[:5])
    site.server.wait_for_metric("husk_bytes_total", 5, side="downstream", direction="received")
    site.remove_other_ca()
    stranger.send(one[5:] + event(2))
    assert raw.is_reset(stranger.sock.sock)
    assert [one.number for one in site.aggregator.wait_for(1)] == [1]
    wait_for_end(site.server, "downstream")


def test_a_message_that_is_cut_through_is_taken_whole(site):
    site = site(cut_through_bytes="64KiB")
    stranger = site.stranger()
    large = message("t", 1, {"n": 1, "filler": "x" * 500_000}, {"chunk": "large"})
    stranger.send(large[:200_000])
    site.server.wait_for_metric("husk_bytes_total", 200_000, side="downstream", direction="received")
    site.remove_other_ca()
    stranger.send(large[200_000:] + event(2, "two"))
    stranger.expect_ack("large")
    expect_end(stranger)
    assert site.aggregator.numbers() == [1]


def test_what_has_arrived_before_the_reload_is_delivered(site):
    """The agent asks for no acks. husk does not read it while the aggregator takes nothing."""
    count, is_awake = 60, threading.Event()
    messages = [message("t", 1, {"n": number, "filler": "x" * 2000}) for number in range(count)]
    site = site(acks=lambda _: is_awake.wait(WAIT_SECONDS), retain_bytes="64KiB", buffer_bytes="64KiB",
                batch_bytes="off")
    stranger = site.stranger()
    stranger.send(*messages[:40])
    site.server.wait_for_metric("husk_messages_retained_bytes", 64 * 1024)
    stranger.send(*messages[40:])
    eventually(lambda: unsent(stranger.sock.sock) == 0, "all events have arrived")
    site.remove_other_ca()
    assert site.server.metric("husk_messages_received_total") <= 40
    is_awake.set()
    expect_end(stranger)
    assert [one.number for one in site.aggregator.wait_for(count)] == list(range(count))


def unsent(sock):
    """Bytes that the kernel of the peer does not have."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def flow(stranger, reload_after, window, reloads):
    """Keeps `window` messages unacked until the connection ends. Returns the ids of all acks."""
    acked, sent, parser = [], 0, Parser()
    while len(acked) < 100_000:
        fresh = range(sent, len(acked) + window)
        stranger.send(*(event(number, f"{number}") for number in fresh))
        sent += len(fresh)
        if reload_after is not None and len(acked) >= reload_after:
            reload_after = None
            reloads()
        data = stranger.sock.recv(1 << 18)
        if not data:
            return acked
        acked += [int(value["ack"]) for _, value in parser.feed(data)]
    raise AssertionError("the connection does not end")


@pytest.mark.parametrize("workers", [1, 2])
def test_under_load_nothing_is_lost_and_what_is_taken_is_acked(site, workers):
    site = site(workers=workers)
    stranger = site.stranger()

    def change():
        site.bundle.write(site.pki.ca.cert)
        site.server.signal(signal.SIGHUP)
    acked = flow(stranger, 500, 200, change)
    wait_for_end(site.server, "downstream")
    assert len(acked) >= 500
    assert sorted(site.aggregator.numbers()) == sorted(acked), "each message that is taken is acked, and delivered once"


# ---- during the handshakes ----

@VERSIONS
def test_a_handshake_that_began_before_the_reload_is_judged_after_it(site, pki, version):
    site = site()
    peer = raw.TlsPeer(raw.connect(site.server.address), raw.tls_context(False, pki.ca.cert, pki.foreign_client, version))
    last = peer.last_flight()
    site.remove_other_ca()
    peer.sock.sendall(last)
    wait_for_end(site.server, "downstream")
    raw.assert_closed(peer.sock)
    agent = site.agent()
    carry([agent], 1)
    assert site.aggregator.numbers() == [1]


def test_an_agent_that_has_not_shown_its_shared_key_goes(site, tmp_path):
    key = tmp_path / "key"
    key.write_text("key")
    site = site(accept_key_file=key)
    stranger = site.stranger()
    assert stranger.sock.recv(1000)  # HELO
    site.remove_other_ca()
    expect_end(stranger)
    wait_for_end(site.server, "downstream")


# ---- many ----

@pytest.mark.parametrize("workers", [1, 2])
def test_many_idle_agents_go_also_when_a_second_reload_comes(site, workers):
    count = 20 if LIGHT else 60
    site = site(workers=workers, max_handshakes=1000)
    strangers, agents = [site.stranger() for _ in range(count)], [site.agent() for _ in range(3)]
    carry(agents, 0)
    site.bundle.write(site.pki.ca.cert)
    site.server.signal(signal.SIGHUP)
    site.server.signal(signal.SIGHUP)
    for stranger in strangers:
        expect_end(stranger)
    carry(agents, 3)
    assert ended(site.server, "downstream") == count


# ---- a husk as the peer ----

def test_a_link_ends_between_two_messages_of_its_senders(site):
    site = site(acks=False)
    peer = link.LinkPeer(raw.TlsPeer(raw.connect(site.server.address), link_context(site.pki)).handshake())
    assert peer.protocol == link.LINK
    for number in (1, 2):
        peer.send({"sender": number}, event(number, f"{number}"))
    sent = site.aggregator.wait_for(2)
    site.remove_other_ca()
    peer.send({"sender": 3}, event(3, "3"))
    site.aggregator.ack(*sent)
    assert peer.read() == {"goaway": "distrusted"}
    answers = [peer.read(), peer.read()]
    assert sorted((one["ack"], one["sender"]) for one in answers) == [("1", 1), ("2", 2)]
    peer.expect_end()
    wait_for_end(site.server, "downstream")
    assert site.aggregator.numbers() == [1, 2]


def link_context(pki):
    made = raw.tls_context(False, pki.ca.cert, pki.foreign_client)
    made.set_alpn_protocols([link.LINK])
    return made


def test_agents_behind_a_husk_lose_nothing_when_the_husk_is_distrusted_for_a_while(site, husk, pki, bundle):
    site = site()
    client = husk.client(site.server, certificate=pki.foreign_client, eject_time="20ms", eject_time_max="50ms")
    agents = [Agent(raw.connect(client.address)) for _ in range(5)]
    carry(agents, 0)
    for round in range(1, 3):
        bundle.write(pki.ca.cert)
        site.server.signal(signal.SIGHUP)
        for number, agent in enumerate(agents, 100 * round):
            agent.send(event(number, f"{number}"))
        wait_for_end(site.server, "downstream", round)
        bundle.write(pki.ca.cert, pki.other_ca.cert)
        reload(site.server)
        for number, agent in enumerate(agents, 100 * round):
            agent.expect_ack(f"{number}")
        carry(agents, 100 * round + 5)  # on the new connection, if these events were acked on the old one
    wanted = {*range(5), *range(100, 110), *range(200, 210)}
    assert set(site.aggregator.numbers()) == wanted
    assert client.metric("husk_messages_dropped_total") == 0
