"""Certificates, keys and CAs from a SPIFFE Workload API, which a script plays."""

import os
import signal
import socket
import ssl
import subprocess

import pytest

from support import config_file, raw
from support.chain import AckingAgent
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import BINARY, Husk, flags, run
from support.pki import Certificate, RevocationLists, expired
from support.process import eventually
from support.workload_api import (PERMISSION_DENIED, UNAVAILABLE, Svid, TrustDomain, WorkloadApi, answer, field, frame)

NO_FILES = {"cert": None, "key": None, "ca": None}
FAST = {**NO_FILES, "reload_retry_max": "50ms"}


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    return TrustDomain(tmp_path_factory.mktemp("spiffe"), "example.org")


@pytest.fixture(scope="module")
def other_domain(tmp_path_factory):
    return TrustDomain(tmp_path_factory.mktemp("spiffe"), "other.example")


@pytest.fixture(scope="module")
def svids(domain):
    """SVIDs of our trust domain by name, made once."""
    made = {}

    def make(name, **options):
        if name not in made:
            made[name] = domain.svid(name, **options)
        return made[name]
    return make


@pytest.fixture
def workload_api(tmp_path):
    made = []

    def make(first=None, address=None):
        made.append(WorkloadApi(address or tmp_path / f"agent-{len(made)}.sock", first))
        return made[-1]
    return make


def server_of(husk, api, upstream, **options):
    if not any(name.startswith("allow") for name in options):
        options["allow_uri"] = "spiffe://example.org/**"
    return husk.server(upstream, spiffe_socket=api.name, **{**FAST, **options})


def client_of(husk, api, upstream, **options):
    return husk.client(upstream, spiffe_socket=api.name, **{**FAST, **options})


def shown(server):
    """The certificate that husk server shows, in DER."""
    return shown_at(server.address)


def shown_at(address):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(raw.connect(address)) as tls:
        return tls.getpeercert(binary_form=True)


def told(server):
    """The warnings and errors, without those of the handshakes of this test."""
    return [line for line in server.problems() if line["message"] != "connection ended"]


def is_shown(server, svid):
    return eventually(lambda: shown(server) == svid.chain, f"{svid.spiffe_id} is shown")


# ---- both sides ----

def test_both_sides_live_from_workload_apis_and_rotate_under_traffic(husk, svids, workload_api):
    aggregator = Aggregator()
    near, far = workload_api(answer(svids("client"))), workload_api(answer(svids("server")))
    server = server_of(husk, far, aggregator)
    client = client_of(husk, near, server)
    agent = AckingAgent(lambda: raw.connect(client.address), "t")
    for number in range(30):
        agent.send(number)
        if number == 10:
            far.push(answer(svids("server-2")))
        if number == 20:
            near.push(answer(svids("client-2")))
    eventually(lambda: len(agent.acked) == 30, "all messages are acknowledged")
    for husk_of, svid in ((server, "server-2"), (client, "client-2")):
        husk_of.wait_for_metric("husk_reloads_total", 1, result="success")
    is_shown(server, svids("server-2"))
    assert sorted(set(aggregator.numbers())) == list(range(30))
    assert not agent.ends and not client.problems() and not told(server)
    agent.close()


def test_the_request_is_that_of_the_standard(husk, svids, workload_api):
    api = workload_api(answer(svids("server")))
    server_of(husk, api, raw.Listener())
    call = api.call()
    assert call.headers[":path"] == "/SpiffeWorkloadAPI/FetchX509SVID"
    assert call.headers["workload.spiffe.io"] == "true" and call.headers["content-type"] == "application/grpc"
    assert call.headers["te"] == "trailers" and call.request == frame(b"")


def test_an_endpoint_over_tcp_and_the_variable_of_the_standard(husk, svids, workload_api):
    api = workload_api(answer(svids("server")), (raw.HOST, 0))
    server = husk.server(raw.Listener(), spiffe_socket="env", allow_any=True, **FAST,
                         env={"SPIFFE_ENDPOINT_SOCKET": api.name})
    is_shown(server, svids("server"))


def test_an_answer_in_many_small_frames_is_put_together(husk, svids, workload_api):
    message = frame(answer(svids("server")))
    api = workload_api(lambda call: call.send(message, piece=7))
    is_shown(server_of(husk, api, raw.Listener()), svids("server"))


def test_a_long_answer_is_taken(husk, domain, svids, workload_api):
    """Longer than the window of HTTP/2 and than a read."""
    many = [Svid(f"spiffe://example.org/{i}", *svids("server")[1:4]) for i in range(200)]
    api = workload_api(answer(svids("server"), *many))
    assert len(api.answer) > 200_000
    is_shown(server_of(husk, api, raw.Listener()), svids("server"))


# ---- which certificate ----

@pytest.mark.parametrize("choice, name", [
    ({}, "first"), ({"spiffe_id": "spiffe://example.org/second"}, "second"), ({"spiffe_hint": "inner"}, "second"),
    ({"spiffe_hint": "inner", "spiffe_id": "spiffe://example.org/third"}, "third")])
def test_one_of_several_certificates_is_chosen(husk, svids, workload_api, choice, name):
    api = workload_api(answer(svids("first", hint="outer"), svids("second", hint="inner"), svids("third", hint="inner")))
    is_shown(server_of(husk, api, raw.Listener(), **choice), svids(name))


def test_a_choice_that_nothing_fits_ends_the_start_with_one_line(husk, svids, workload_api):
    api = workload_api(answer(svids("first", hint="outer")))
    ended = run(*start_words(husk, "server", api, spiffe_hint="inner", allow_any=True))
    assert ended.returncode == 1
    assert "none of the 1 X.509-SVIDs of the answer has the hint inner; the first one is spiffe://example.org/first" \
        in one_line(ended.stderr)


def start_words(husk, mode, api, **options):
    return [mode, *flags(**husk.options(raw.Listener(), husk.pki.server, spiffe_socket=api.name, **FAST, **options))]


def one_line(text):
    line, = [line for line in text.splitlines() if '"error"' in line]
    return line


# ---- trust domains ----

def carries(client, aggregator):
    agent = Agent(raw.connect(client.address))
    carry_acked(agent, 1, "c")
    agent.close()
    aggregator.wait_for(1)


def test_a_client_of_a_federated_trust_domain_is_admitted_while_its_bundle_is_there(
        husk, domain, other_domain, svids, workload_api):
    """What an answer leaves out is not trusted any more."""
    foreign = other_domain.svid("client")
    api = workload_api(answer(svids("server"), federated=[other_domain.federated]))
    server = server_of(husk, api, Aggregator(), allow_uri="spiffe://other.example/*")
    assert handshake(server, foreign) == "accepted"
    assert handshake(server, svids("client")) == "access denied"
    api.push(answer(svids("server")))
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: handshake(server, foreign) == "unknown ca", "the client is refused")
    assert server.wait_for_event(reason="certificate_unknown_ca")["detail"] == \
        "the Workload API gave no bundle of trust domain other.example"


def test_a_ca_of_one_trust_domain_does_not_issue_for_another(husk, domain, other_domain, svids, workload_api):
    impostor = other_domain.svid("impostor", san="URI:spiffe://example.org/client")
    api = workload_api(answer(svids("server"), federated=[other_domain.federated]))
    server = server_of(husk, api, raw.Listener())
    assert handshake(server, impostor) == "unknown ca"


@pytest.mark.parametrize("san, alert", [
    ("DNS:client", "bad certificate"), ("URI:spiffe://example.org/a,URI:spiffe://example.org/b", "bad certificate"),
    ("URI:https://example.org/a", "bad certificate"), ("URI:spiffe://example.org", "bad certificate"),
    ("URI:spiffe://example.org/a,DNS:client", "accepted")])
def test_a_client_is_an_svid_of_a_workload(husk, domain, svids, workload_api, san, alert):
    server = server_of(husk, workload_api(answer(svids("server"))), raw.Listener(), allow_any=True)
    assert handshake(server, domain.svid("odd", san=san)) == alert


def handshake(server, svid):
    """What husk server says to a client with this SVID."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = f"/proc/self/fd/{os.memfd_create('svid')}"
    key = subprocess.run(["openssl", "pkey", "-inform", "DER"], input=svid.key, check=True, capture_output=True).stdout
    with open(path, "wb") as file:
        file.write(ssl.DER_cert_to_PEM_cert(svid.chain).encode() + key)
    context.load_cert_chain(path)
    os.close(int(path.rsplit("/", 1)[1]))
    def judged():
        return server.metric("husk_handshakes_total", side="downstream") + \
            server.metric("husk_handshake_failures_total", side="downstream")
    before = judged()
    try:
        with context.wrap_socket(raw.connect(server.address)) as tls:
            eventually(lambda: judged() > before, "husk has judged the client")
            tls.settimeout(0.3)
            tls.recv(1)
            return "closed"
    except TimeoutError:
        return "accepted"
    except ssl.SSLError as error:
        return error.reason.split("_ALERT_", 1)[1].replace("_", " ").lower()


def test_a_server_is_verified_by_its_trust_domain_and_not_by_its_name(
        husk, domain, other_domain, svids, workload_api):
    aggregator = Aggregator()
    server = server_of(husk, workload_api(answer(svids("server"))), aggregator)
    client = client_of(husk, workload_api(answer(svids("client"))), server, server_name="no.such.name")
    carries(client, aggregator)
    stranger = client_of(husk, workload_api(answer(other_domain.svid("stranger"), federated=[domain.federated])), server)
    agent = Agent(raw.connect(stranger.address))
    agent.send(event(2, "x"))
    refused = stranger.wait_for_event(reason="certificate_name")
    assert refused["detail"] == "the server is of trust domain example.org, husk is of other.example"


def test_a_rule_admits_servers_of_a_federated_trust_domain(husk, domain, other_domain, svids, workload_api):
    aggregator = Aggregator()
    server = server_of(husk, workload_api(answer(svids("server"), federated=[other_domain.federated])), aggregator,
                       allow_any=True)
    api = workload_api(answer(other_domain.svid("visitor"), federated=[domain.federated]))
    carries(client_of(husk, api, server, allow_server_uri="spiffe://example.org/server"), aggregator)
    refused = client_of(husk, api, server, allow_server_uri="spiffe://example.org/another")
    Agent(raw.connect(refused.address)).send(event(2, "x"))
    refused.wait_for_event(reason="not_allowed")


# ---- the start ----

def test_husk_waits_for_its_first_identity_and_says_so(husk, programs, svids, workload_api):
    api = workload_api(lambda call: call.end(PERMISSION_DENIED, "no identity issued"))
    waiting = programs.add(Husk("server", husk.options(
        raw.Listener(), husk.pki.server, spiffe_socket=api.name, allow_any=True,
        **{**FAST, "admin": f"unix:{api.address}.admin"})))
    line = waiting.wait_for_event(level="warn")
    assert line["message"] == f"{api.name}: SPIFFE Workload API: PERMISSION_DENIED: no identity issued; husk tries again"
    assert ask_ready(f"{api.address}.admin") == (
        503, f"{api.name}: SPIFFE Workload API: PERMISSION_DENIED: no identity issued\n")
    dials = api.dials
    waiting.signal(signal.SIGHUP)
    eventually(lambda: api.dials > dials + 2, "husk asks again")
    api.answer = answer(svids("server"))
    is_shown(waiting, svids("server"))
    assert told(waiting) == [line]
    waiting.wait_for_event(message=f"{api.name}: SPIFFE Workload API: answers again")


def ask_ready(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, body = raw.read_to_end(sock).decode().split("\r\n\r\n", 1)
    return int(head.split()[1]), body


@pytest.mark.parametrize("case, text", [
    ("absent", "connection refused"), ("silent", "waits for the first answer"),
    ("denied", "PERMISSION_DENIED: no identity issued")])
def test_a_start_without_an_answer_ends_after_the_timeout(husk, tmp_path, workload_api, case, text):
    api = workload_api(None if case == "silent" else lambda call: call.end(PERMISSION_DENIED, "no identity issued"))
    if case == "absent":
        api.close()
    ended = run(*start_words(husk, "server", api, allow_any=True, spiffe_timeout="300ms"))
    assert ended.returncode == 1 and text in one_line(ended.stderr).lower().replace(text.lower(), text)


def test_sigterm_ends_a_husk_that_waits(husk, programs, workload_api):
    api = workload_api(lambda call: call.end(PERMISSION_DENIED))
    waiting = programs.add(Husk("server", husk.options(
        raw.Listener(), husk.pki.server, spiffe_socket=api.name, allow_any=True, **{**FAST, "admin": f"unix:{api.address}.admin"})))
    eventually(lambda: api.dials, "husk asks")
    assert waiting.stop() == 0
    assert [line["message"] for line in waiting.events()][-2:] == ["draining", "stopped"]


# ---- streams that end ----

def oversized(call):
    call.send(b"\0" + (4 * 1024 * 1024 + 1).to_bytes(4, "big") + b"x")


ENDS = {
    "unavailable": (lambda call: call.end(UNAVAILABLE, "shutting%20down%0Aready"), "UNAVAILABLE: shutting down ready"),
    "OK": (lambda call: call.end(0), "OK"),
    "an unknown status": (lambda call: call.end(99), "an unknown gRPC status"),
    "goaway": (lambda call: call.go_away(), "the server goes away (GOAWAY)"),
    "reset": (lambda call: call.reset(), "the stream is reset: INTERNAL_ERROR"),
    "closed": (lambda call: call.close(), "the server closed the connection"),
    "garbage": (lambda call: call.raw(b"\xff" * 100), "the server does not speak HTTP/2 as the standard says"),
    "oversized": (oversized, "a message has 4194305 bytes, more than the 4194304 that husk takes"),
    "compressed": (lambda call: call.send(frame(b"x", 1)), "a message is compressed, although husk offers no compression"),
    "no gRPC": (lambda call: call.send(b"<html>"), "the answer is not a message of gRPC"),
}


@pytest.mark.parametrize("end, text", ENDS.values(), ids=ENDS)
def test_after_the_end_of_a_stream_husk_keeps_its_credentials_and_dials_again(husk, svids, workload_api, end, text):
    api = workload_api(answer(svids("server")))
    server = server_of(husk, api, raw.Listener())
    is_shown(server, svids("server"))
    call = api.call()
    api.answer = end  # each new stream ends as the first one
    end(call)
    line = server.wait_until(lambda _: told(server), "a warning")[0]
    assert line["message"].startswith(f"{api.name}: SPIFFE Workload API: {text}; husk tries again")
    eventually(lambda: api.dials > 4, "husk dials again")
    assert shown(server) == svids("server").chain
    assert told(server) == [line]
    api.answer = answer(svids("next-server"))
    is_shown(server, svids("next-server"))


class Http1Server(raw.Server):
    """Answers as a server of HTTP/1.1 does. `name`: as that of WorkloadApi."""

    def serve(self, sock):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        raw.read_to_end(sock)

    @property
    def name(self):
        return f"tcp://{raw.format_address(self.address)}"


def test_a_server_of_http_1_is_named_as_none_of_http_2(husk):
    ended = run(*start_words(husk, "server", Http1Server(), allow_any=True, spiffe_timeout="300ms"))
    assert ended.returncode == 1 and "SPIFFE Workload API: the server does not speak HTTP/2" in one_line(ended.stderr)


def test_a_status_of_http_is_named_whatever_the_body_is(husk, workload_api):
    api = workload_api(lambda call: call.refuse(503, b"<html>"))
    ended = run(*start_words(husk, "server", api, allow_any=True, spiffe_timeout="300ms"))
    assert ended.returncode == 1 and "SPIFFE Workload API: HTTP status 503: this is no gRPC server" in one_line(ended.stderr)


def test_a_half_answer_of_an_ended_stream_is_no_answer(husk, svids, workload_api):
    whole = frame(answer(svids("server")))
    api = workload_api(whole[5:])
    server = server_of(husk, api, raw.Listener())
    call = api.call()
    api.answer = None
    call.send(frame(answer(svids("next-server")))[:-1])
    call.end(UNAVAILABLE)
    server.wait_until(lambda _: told(server), "a warning")
    assert shown(server) == svids("server").chain and server.metric("husk_reloads_total") == 0


def test_the_same_answer_on_a_new_stream_changes_nothing(husk, svids, workload_api):
    api = workload_api(answer(svids("server")))
    server = server_of(husk, api, raw.Listener())
    api.call().go_away()
    server.wait_for_event(message=f"{api.name}: SPIFFE Workload API: answers again")
    assert server.metric("husk_reloads_total") == 0


# ---- answers that are withdrawn ----

def denied(call):
    call.end(PERMISSION_DENIED, "no identity issued")


def test_a_withdrawn_answer_is_used_no_more_until_the_next_one(husk, svids, workload_api):
    aggregator = Aggregator()
    near, far = workload_api(answer(svids("client"))), workload_api(answer(svids("server")))
    server = server_of(husk, far, aggregator, retain_bytes="1MiB")
    client = client_of(husk, near, server, eject_time="50ms", eject_time_max="50ms")
    agent = AckingAgent(lambda: raw.connect(client.address), "t")
    agent.send(1)
    eventually(lambda: agent.acked, "the first message is acknowledged")
    call, far.answer = far.call(), denied  # each new stream ends so
    denied(call)
    line = server.wait_until(lambda _: told(server), "a warning")[0]
    assert line["message"] == (f"{far.name}: SPIFFE Workload API: PERMISSION_DENIED: no identity issued; husk tries again, "
                               "and no longer uses the last answer")
    server.wait_for_event(message="credentials withdrawn: no peer is accepted")
    server.wait_for_event(message="connection ended", reason="distrusted", side="downstream",
                          detail="the SPIFFE Workload API has withdrawn the credentials of husk")
    status, text = server.get("/ready")
    assert status == 503 and f"{far.name}: SPIFFE Workload API: PERMISSION_DENIED: no identity issued\n" in text
    assert "credentials: withdrawn by the SPIFFE Workload API\n" in text
    assert handshake(server, svids("client")) != "accepted"
    server.wait_for_event(message="connection ended", reason="credentials_withdrawn", side="downstream",
                          detail="the SPIFFE Workload API has withdrawn the credentials of husk")
    agent.send(2)
    client.wait_for_event(message="connection ended", side="upstream", reason="tls_rejected")
    assert [one["message"] for one in told(server)] == [line["message"], "credentials withdrawn: no peer is accepted"]
    assert aggregator.numbers() == [1]
    far.answer = answer(svids("server"))
    eventually(lambda: len(agent.acked) == 2, "the second message is acknowledged")
    assert set(aggregator.numbers()) == {1, 2} and server.get("/ready")[0] == 200
    agent.close()


@pytest.mark.parametrize("protocol", ["forward", "tcp"])
def test_a_client_whose_answer_is_withdrawn_dials_no_server(husk, svids, workload_api, protocol):
    """It would show no certificate."""
    listener = raw.Listener()
    near = workload_api(answer(svids("client")))
    client = client_of(husk, near, listener, protocol=protocol)
    call, near.answer = near.call(), denied
    denied(call)
    client.wait_for_event(message="credentials withdrawn: no peer is accepted")
    Agent(raw.connect(client.address)).send(event(1))
    line = client.wait_for_event(message="connection ended", side="upstream", reason="credentials_withdrawn", level="warn")
    assert line["what"] == "the credentials of husk are withdrawn"
    assert not listener.was_dialled()


def test_a_client_whose_answer_is_withdrawn_trusts_no_server(husk, svids, workload_api):
    aggregator = Aggregator()
    near, far = workload_api(answer(svids("client"))), workload_api(answer(svids("server")))
    client = client_of(husk, near, server_of(husk, far, aggregator), eject_time="1h", eject_time_max="1h")
    agent = AckingAgent(lambda: raw.connect(client.address), "t")
    agent.send(1)
    eventually(lambda: agent.acked, "the first message is acknowledged")
    call, near.answer = near.call(), denied
    denied(call)
    client.wait_for_event(message="connection ended", reason="distrusted", side="upstream")
    agent.send(2)
    client.wait_for_event(message="connection ended", side="upstream", reason="credentials_withdrawn")
    assert aggregator.numbers() == [1] and not agent.ends
    near.answer = answer(svids("client"))
    eventually(lambda: len(agent.acked) == 2, "the second message is acknowledged")
    assert set(aggregator.numbers()) == {1, 2}
    agent.close()


def test_a_certificate_that_an_answer_leaves_out_is_used_no_more(husk, svids, workload_api):
    """Each answer has all X.509-SVIDs (SPIFFE Workload API, 5.2.1)."""
    chosen, other = svids("server"), svids("next-server")
    api = workload_api(answer(chosen, other))
    server = server_of(husk, api, raw.Listener(), spiffe_id=chosen.spiffe_id)
    is_shown(server, chosen)
    api.push(answer(other))
    server.wait_for_event(message="credentials withdrawn: no peer is accepted", level="warn")
    assert handshake(server, svids("client")) != "accepted"
    assert server.wait_for_event(reason="credentials_withdrawn", side="downstream")
    status, text = server.get("/ready")
    assert status == 503 and "credentials: withdrawn by the SPIFFE Workload API\n" in text
    api.push(answer(other, chosen))
    server.wait_for_event(message="credentials reloaded")
    is_shown(server, chosen)


# ---- broken answers ----

def broken(domain, svids):
    good, other = svids("server"), svids("next-server")
    return {
        "no protobuf": (b"\xff" * 40, "the answer is not an X509SVIDResponse of the SPIFFE Workload API"),
        "empty": (b"", "the answer has no X.509-SVID"),
        "a key of another": (answer(good._replace(key=other.key)), "does not match its certificate"),
        "no key": (answer(good._replace(key=b"")), "the private key of the X.509-SVID cannot be read"),
        "bytes behind the key": (answer(good._replace(key=good.key + b"x")), "the private key of the X.509-SVID cannot be read"),
        "no certificate": (answer(good._replace(chain=b"")), "X.509-SVID spiffe://example.org/server: no certificate"),
        "half a certificate": (answer(good._replace(chain=good.chain[:-9])), "certificate 1 cannot be read"),
        "no bundle": (answer(good._replace(bundle=b"")), "the bundle of trust domain example.org: no certificate"),
        "junk in the bundle": (answer(good._replace(bundle=b"junk")), "certificate 1 cannot be read"),
        "a leaf in the bundle": (answer(good._replace(bundle=good.chain)), "is not a CA certificate"),
        "an ID of another": (answer(good._replace(spiffe_id=other.spiffe_id)),
                             "the certificate of X.509-SVID spiffe://example.org/next-server is for spiffe://example.org/server"),
        "a CA": (answer(good._replace(chain=good.bundle)), "an X.509-SVID has exactly one URI"),
        "a chain out of order": (answer(good._replace(chain=good.chain + other.chain)), "the chain is out of order"),
        "expired": (answer(domain.svid("late", validity=expired())), "expired at"),
        "junk in a federated bundle": (answer(good, federated=[("spiffe://a.example", b"junk")]),
                                       "the bundle of trust domain a.example: certificate 1 cannot be read"),
        "a federated bundle without a name": (answer(good, federated=[("a.example", good.bundle)]),
                                              "is not the SPIFFE ID of a trust domain"),
        "junk as a list": (answer(good, crls=[b"junk"]), "the revocation list cannot be used"),
        "very many parts": (field(1, b"") * 500_000, "the answer is not an X509SVIDResponse"),
    }


BROKEN = ["no protobuf", "empty", "a key of another", "no key", "bytes behind the key", "no certificate",
          "half a certificate", "no bundle", "junk in the bundle", "a leaf in the bundle", "an ID of another", "a CA",
          "a chain out of order", "expired", "junk in a federated bundle", "a federated bundle without a name",
          "junk as a list", "very many parts"]


def test_a_broken_answer_changes_nothing_and_is_told_once(husk, domain, svids, workload_api):
    api = workload_api(answer(svids("first")))
    server = server_of(husk, api, raw.Listener())
    is_shown(server, svids("first"))
    cases = broken(domain, svids)
    assert list(cases) == BROKEN
    for count, (message, text) in enumerate(cases.values(), 1):
        api.push(message)
        server.wait_for_metric("husk_reloads_total", count, result="failure")
        line = server.wait_until(lambda _, count=count: told(server)[count - 1:], text)[0]
        assert f"{api.name}: " in line["message"] and text in line["message"], line
        assert shown(server) == svids("first").chain
    api.push(answer(svids("server")))
    is_shown(server, svids("server"))


def test_a_client_revoked_by_a_list_of_the_answer_is_refused(husk, tmp_path, domain, svids, workload_api):
    path = tmp_path / "client.crt"
    path.write_text(ssl.DER_cert_to_PEM_cert(svids("client").chain))
    text = RevocationLists(tmp_path, domain.ca).make("lists", Certificate(str(path), None))
    crl = subprocess.run(["openssl", "crl", "-outform", "DER"], input=text.encode(), check=True, capture_output=True).stdout
    api = workload_api(answer(svids("server")))
    server = server_of(husk, api, raw.Listener())
    assert handshake(server, svids("client")) == "accepted"
    api.push(answer(svids("server"), crls=[crl]))
    eventually(lambda: handshake(server, svids("client")).endswith("certificate revoked"), "the client is refused")


# ---- settings ----

def test_the_longest_answer_is_a_setting(husk, svids, workload_api):
    whole = answer(svids("server")) + field(9, b"x" * 4096)  # an unknown field is passed over
    api = workload_api(whole)
    server = server_of(husk, api, raw.Listener(), spiffe_max_answer=len(whole))
    is_shown(server, svids("server"))
    api.push(answer(svids("next-server")) + field(9, b"x" * (4096 + 64)))
    line = server.wait_until(lambda _: told(server), "a warning")[0]
    assert f"more than the {len(whole)} that husk takes; husk tries again, and keeps the last answer" in line["message"]
    assert shown(server) == svids("server").chain


def test_the_wait_for_an_answer_is_a_setting(husk, workload_api):
    api = workload_api()
    ended = run(*start_words(husk, "server", api, allow_any=True, spiffe_timeout="5s", spiffe_answer_timeout="50ms"))
    assert ended.returncode == 1 and "the server does not answer" in one_line(ended.stderr) and api.dials > 1


def test_check_waits_as_long_as_the_setting_says(check, workload_api):
    checked(check, workload_api(), spiffe_answer_timeout="50ms").expect_only("problem", "the server does not answer")



def route(name, api, upstream):
    return config_file.route(name, upstream, allow={"any": True}, tls={"downstream": {"spiffe_socket": api.name}})


def test_a_route_that_is_added_waits_for_its_own_workload_api(file, svids, workload_api):
    """The other route, and the configuration before, stay."""
    first = workload_api(answer(svids("server")))
    second = workload_api(lambda call: call.end(PERMISSION_DENIED))
    upstream = raw.Listener()
    running = file(route("first", first, upstream), reload={"interval": "off", "retry_max": "50ms"})
    running.replace(route("first", first, upstream), route("second", second, upstream))
    running.hang_up("failure")
    assert running.husk.metric("husk_config_reload_pending") == 1
    second.answer = answer(svids("next-server"))
    eventually(lambda: running.count() == 1, "the route is added")
    address = config_file.address_of(running.husk, "second")
    assert shown_at(address) == svids("next-server").chain
    assert shown_at(config_file.address_of(running.husk, "first")) == svids("server").chain


def test_a_route_changes_from_files_to_a_workload_api(file, pki, svids, workload_api):
    api, upstream = workload_api(answer(svids("server"))), raw.Listener()
    plain = config_file.route("one", upstream, allow={"any": True},
                              tls={"downstream": config_file.tls(pki.server, pki.ca)})
    running = file(plain, reload={"interval": "off", "retry_max": "50ms"})
    running.replace({**route("one", api, upstream), "listen": plain["listen"]})
    running.husk.signal(signal.SIGHUP)
    eventually(lambda: running.count() == 1, "the route is changed")
    address = config_file.address_of(running.husk, "one")
    eventually(lambda: shown_at(address) == svids("server").chain, "the SVID is shown")
    api.push(answer(svids("next-server")))
    eventually(lambda: shown_at(address) == svids("next-server").chain, "the next SVID is shown")


MISTAKES = [
    ({"spiffe_socket": "/run/agent.sock"}, "--spiffe-socket: \"/run/agent.sock\": expected unix:PATH, or tcp:// with an IP"),
    ({"spiffe_socket": "unix:"}, "--spiffe-socket: empty path after \"unix:\""),
    ({"spiffe_socket": "tcp://agent.example:8081"}, "expected unix:PATH, or tcp:// with an IP address and a port"),
    ({"spiffe_socket": "tcp://127.0.0.1:0"}, "expected unix:PATH, or tcp:// with an IP address and a port"),
    ({"spiffe_socket": "env"}, "--spiffe-socket: env: the environment variable SPIFFE_ENDPOINT_SOCKET is not set"),
    ({"spiffe_socket": "unix:/a", "cert": "/c.pem"}, "--cert: cannot be combined with --spiffe-socket"),
    ({"spiffe_socket": "unix:/a", "ca": "/c.pem"}, "--ca: cannot be combined with --spiffe-socket"),
    ({"spiffe_socket": "unix:/a", "key_passphrase_env": "X"}, "--key-passphrase-env: cannot be combined with --spiffe-socket"),
    ({"spiffe_socket": "unix:/a", "spiffe_id": "https://a/b"}, "--spiffe-id: \"https://a/b\" is not the SPIFFE ID of a workload"),
    ({"spiffe_socket": "unix:/a", "spiffe_id": "spiffe://a"}, "--spiffe-id: \"spiffe://a\" is not the SPIFFE ID of a workload"),
    ({"spiffe_hint": "x", "cert": "/c", "key": "/k", "ca": "/a"}, "--spiffe-hint: requires --spiffe-socket"),
    ({}, "--cert: is required"),
]


@pytest.mark.parametrize("options, text", MISTAKES, ids=[text[:40] for _, text in MISTAKES])
def test_mistakes_in_the_settings_get_one_line(husk, options, text):
    ended = run("server", *flags(**{**husk.options("127.0.0.1:1", husk.pki.server, allow_any=True, log_format="text"), **NO_FILES, **options}))
    assert ended.returncode != 0 and text in ended.stderr and ("required" in text or ended.stderr.count("\n") == 1), ended.stderr


# ---- husk check ----

def checked(check, api, mode="server", **options):
    rules = {"allow_any": True} if mode == "server" else {}
    return check(mode, spiffe_socket=api.name, **{**NO_FILES, **rules, **options})


def test_check_asks_once_and_judges_the_answer(check, svids, workload_api):
    api = workload_api(answer(svids("server")))
    checked(check, api).expect("ok", f"--spiffe-socket {api.name}", "gives the X.509-SVID of", "uri:spiffe://example.org/server")
    assert api.dials == 1


def test_check_says_what_is_wrong_with_the_workload_api(check, svids, workload_api):
    api = workload_api(lambda call: call.end(PERMISSION_DENIED, "no identity issued"))
    checked(check, api).expect_only("problem", "PERMISSION_DENIED: no identity issued", "register an entry")
    api.answer = answer(svids("server")._replace(key=svids("client").key))
    checked(check, api).expect_only("problem", "does not match its certificate")
    api.close()
    checked(check, api).expect_only("problem", "connection refused", "is the agent running")


def test_check_connects_with_the_certificate_of_the_workload_api(husk, check, svids, workload_api):
    server = server_of(husk, workload_api(answer(svids("server"))), Aggregator())
    checked(check, workload_api(answer(svids("client"))), "client", upstream=server, connect=True).expect_good()


def test_metrics_of_the_stream(husk, svids, workload_api):
    api = workload_api(answer(svids("server")))
    server = server_of(husk, api, raw.Listener())
    assert server.metric("husk_spiffe_answers_total", address=api.name) == 1
    assert server.metric("husk_spiffe_connected", address=api.name) == 1
    api.answer = lambda call: call.end(UNAVAILABLE)
    api.call().close()
    server.wait_for_metric("husk_spiffe_failures_total", 2, address=api.name)
    assert server.metric("husk_spiffe_connected", address=api.name) == 0
