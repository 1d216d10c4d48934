"""The admin endpoint: /live, /ready with its reasons, and /metrics."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import raw
from support.process import eventually

NOWHERE = f"{raw.HOST}:1"


def open_agent(client):
    """Opens an agent's connection, which makes husk dial its upstream."""
    agent = raw.connect(client.address)
    agent.sendall(b"?")
    return agent


def test_husk_with_an_upstream_is_live_and_ready(husk):
    tunnel = husk.tunnel()
    for one in (tunnel.client, tunnel.server):
        assert one.get("/live")[0] == 200
        becomes_ready(one)


def becomes_unready(husk, reason):
    """Waits until /ready gives this reason. Other answers may come before."""
    def not_ready():
        status, reasons = husk.get("/ready")
        return status == 503 and reason in reasons
    eventually(not_ready, f"{husk.name} is not ready: {reason}")


def becomes_ready(husk):
    eventually(lambda: husk.get("/ready")[0] == 200, f"{husk.name} is ready")


def test_husk_without_its_upstream_is_unready_with_the_reason_and_stays_live(husk):
    address = raw.free_address()
    server = husk.server(raw.format_address(address), protocol="tcp", health_interval="50ms")
    becomes_unready(server, "upstream: connection refused")
    assert server.get("/live")[0] == 200
    upstream = raw.Listener(address)
    becomes_ready(server)
    upstream.close()
    becomes_unready(server, "upstream: connection refused")
    assert server.get("/live")[0] == 200


def test_a_tls_upstream_is_probed_until_the_first_good_answer(husk):
    server = husk.server(raw.Listener(), protocol="tcp")
    client = husk.client(server, protocol="tcp", health_interval="50ms", connect_timeout="5s")
    becomes_ready(client)
    server.wait_for_metric("husk_connections_ended_total", 1, side="downstream", reason="probe")
    time.sleep(0.5)  # no further probe may come in this time
    assert server.metric("husk_connections_ended_total", side="downstream", reason="probe") == 1
    assert not server.problems()


def test_a_plain_upstream_is_probed_again_and_again(husk):
    upstream = raw.Listener()
    husk.server(upstream, protocol="tcp", health_interval="50ms")
    for _ in range(3):
        assert upstream.accept().recv(1) == b""


def test_the_dials_of_agents_decide_readiness_too(husk):
    address = raw.free_address()
    server = husk.server(raw.format_address(address), protocol="tcp")
    client = husk.client(server, protocol="tcp")
    raw.assert_resets(client.address)
    becomes_unready(server, "upstream: connection refused")
    upstream = raw.Listener(address)
    agent = open_agent(client)
    assert upstream.accept().recv(1) == b"?"
    becomes_ready(server)
    agent.close()


def exchange(tunnel):
    """Sends 5 bytes up and 3 bytes down."""
    agent, aggregator = tunnel.open()
    raw.carry(agent, aggregator, b"12345")
    raw.carry(aggregator, agent, b"123")
    return agent, aggregator


def test_metrics_are_prometheus_text_with_each_family(husk):
    tunnel = husk.tunnel()
    _ends = exchange(tunnel)
    status, text = tunnel.client.get("/metrics")
    assert status == 200
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+0-9.e]+', line), line
    families = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    assert families >= {
        "husk_build_info", "husk_connections_opened_total", "husk_connections_ended_total",
        "husk_connections_active", "husk_bytes_total", "husk_handshakes_total", "husk_handshake_failures_total",
        "husk_handshake_duration_seconds", "husk_tls_connections_total", "husk_tls_ciphers_total",
        "husk_certificate_not_after_seconds", "process_open_fds", "process_resident_memory_bytes"}


def test_metrics_count_connections_bytes_and_handshakes(husk):
    tunnel = husk.tunnel()
    agent, aggregator = exchange(tunnel)
    client = tunnel.client.metric
    assert client("husk_connections_active", side="downstream") == 1
    assert client("husk_connections_active", side="upstream") == 1
    assert client("husk_handshakes_total", side="upstream", result="full") == 1
    assert client("husk_handshake_duration_seconds_count", side="upstream") == 1
    for side, direction, count in [("downstream", "received", 5), ("upstream", "sent", 5),
                                   ("upstream", "received", 3), ("downstream", "sent", 3)]:
        assert client("husk_bytes_total", side=side, direction=direction) == count
    agent.close()
    aggregator.close()
    tunnel.client.wait_for_metric("husk_connections_ended_total", 2, reason="closed")
    assert client("husk_connections_active") == 0
    assert client("husk_certificate_not_after_seconds") > 0
    assert client("husk_certificate_ca_not_after_seconds") > 0


def test_failed_handshakes_are_counted_by_reason(husk, pki):
    tunnel = husk.tunnel(client={"certificate": pki.foreign_client})
    raw.assert_resets(tunnel.client.address)
    tunnel.server.wait_for_metric("husk_handshake_failures_total", 1, reason="certificate_unknown_ca")
    tunnel.client.wait_for_metric("husk_connections_ended_total", 1, side="upstream", reason="tls_rejected")


@pytest.mark.parametrize("path, status", [("/", 404), ("/nothing", 404), ("/metrics/more", 404)])
def test_other_paths_are_not_found(husk, path, status):
    assert husk.client(NOWHERE, protocol="tcp").get(path)[0] == status


@pytest.mark.parametrize("request_text, answer", [
    (b"POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 405"),
    (b"HEAD /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200"),
    (b"not HTTP at all\r\n\r\n", b"HTTP/1.1 400"),
    (b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n", b"HTTP/1.1 4"),
], ids=["POST", "HEAD", "no HTTP", "a head of 1 MiB"])
def test_husk_answers_and_survives_unusual_requests(husk, request_text, answer):
    client = husk.client(NOWHERE, protocol="tcp")
    curious = raw.connect(client.admin)
    try:
        curious.sendall(request_text)
        first = curious.recv(len(answer))
    except ConnectionError:
        first = b""  # husk answered and closed before it had read the whole request
    assert answer.startswith(first)
    assert client.get("/live")[0] == 200


def test_a_page_of_another_name_cannot_read_the_answers(husk):
    client = husk.client(NOWHERE, protocol="tcp", admin_host=["husk.logging.svc", "prometheus-target"])
    port = client.admin[1]
    for own in (f"{raw.HOST}:{port}", "localhost", f"HUSK.logging.svc.:{port}", "prometheus-target", "10.0.0.7", "[::1]"):
        assert client.get("/metrics", headers={"Host": own})[0] == 200, own
    assert not client.problems()
    for other in (f"rebound.example:{port}", "localhost.rebound.example", "husk"):
        status, text = client.get("/metrics", headers={"Host": other})
        assert status == 421 and "--admin-host" in text and "husk_" not in text, other
    assert client.get("/live", headers={"Host": "a b"})[0] == 400


def test_a_unix_socket_serves_any_host(husk, tmp_path):
    client = husk.client(NOWHERE, protocol="tcp", admin=f"unix:{tmp_path}/admin")
    curious = raw.connect(client.admin)
    curious.sendall(b"GET /live HTTP/1.1\r\nHost: any.example\r\n\r\n")
    assert curious.recv(15) == b"HTTP/1.1 200 OK"


SLOTS = 4
SOON = 8  # seconds; less than --admin-request-timeout, which is 10 s


def connect_often(address, seconds):
    """Opens about 1,000 connections per second that say nothing."""
    ends, opened = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        opened.append(raw.connect(address))
        time.sleep(0.001)
    return opened


def ask(count, path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * count


CROWDS = {
    "silent": b"",
    "in the middle of a head": b"GET /live HTT",
    "idle after an answer": ask(1, "/live"),
    "in the middle of a second head": ask(1, "/live") + b"GET /",
    "in the middle of a body": b"POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1234",
    "after a last answer": b"GET /live HTTP/1.0\r\n\r\n",
    "reads no answer": ask(400, "/metrics"),
}


@pytest.mark.parametrize("greeting", CROWDS.values(), ids=CROWDS)
def test_a_crowd_of_clients_does_not_keep_a_probe_out(husk, greeting):
    client = husk.client(NOWHERE, protocol="tcp", admin_max_connections=SLOTS, admin_request_timeout="1h")
    crowd = [raw.connect(client.admin) for _ in range(2 * SLOTS)]
    for one in crowd[-SLOTS:]:
        one.sendall(greeting)
    for _ in range(2 * SLOTS):
        assert client.get("/live", timeout=SOON)[0] == 200


def test_a_storm_of_connections_does_not_keep_a_probe_out(husk):
    client = husk.client(NOWHERE, protocol="tcp")
    with ThreadPoolExecutor(1) as pool:
        storm = pool.submit(connect_often, client.admin, 0.5)
        while not storm.done():
            assert client.get("/live", timeout=SOON)[0] == 200
    assert len(storm.result()) > 32


def test_admin_off_opens_no_listener(husk):
    client = husk.client(NOWHERE, protocol="tcp", admin="off")
    client.stop()
    assert not client.events(message="admin listening")


def test_secrets_appear_nowhere(husk, pki):
    secret = "open-sesame-4711"
    client = husk.client(NOWHERE, protocol="tcp", certificate=pki.locked(pki.client, secret, "pkcs8"),
                         key_passphrase_env="SECRET", env={"SECRET": secret}, log_level="debug")
    raw.assert_resets(client.address)
    pages = "".join(client.get(path)[1] for path in ("/live", "/ready", "/metrics"))
    client.stop()
    assert secret not in pages + "".join(client.lines)
    assert "PRIVATE KEY" not in pages + "".join(client.lines)
