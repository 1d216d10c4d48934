"""Connections do not outlive the trust that admitted them: after a reload each peer is judged again, and a connection
whose peer the new credentials do not admit ends between two messages."""

import pathlib
import shutil
import signal
import ssl

import pytest

from support import link, raw
from support.forward import Agent, Aggregator, ack, carry_acked, event
from support.husk import LIGHT
from support.pki import Authority, Certificate, NEW_KEY, openssl
from support.process import eventually


class Bundle:
    """The file of --ca, which a test replaces."""

    def __init__(self, path, *certificates):
        self.path = path
        self.write(*certificates)

    def __str__(self):
        return str(self.path)

    def write(self, *certificates):
        """Paths of certificates, or texts of revocation lists."""
        self.path.write_text("".join(one if "-----" in one else pathlib.Path(one).read_text() for one in certificates))


@pytest.fixture(name="bundle")
def _bundle(tmp_path, pki):
    """Has both CAs."""
    return Bundle(tmp_path / "bundle.pem", pki.ca.cert, pki.other_ca.cert)


def reload(husk):
    before = husk.metric("husk_reloads_total", result="success")
    husk.signal(signal.SIGHUP)
    husk.wait_for_metric("husk_reloads_total", before + 1, result="success")


def distrusted(husk, side="downstream"):
    return husk.metric("husk_connections_ended_total", side=side, reason="distrusted")


def wait_for_distrusted(husk, count=1, side="downstream"):
    husk.wait_for_metric("husk_connections_ended_total", count, side=side, reason="distrusted")


def connect(server, pki, certificate=None, version=None):
    return Agent(raw.connect_tls(server.address, pki.ca.cert, certificate or pki.client, version))


def expect_end(agent):
    """The connection ends with close_notify, and without another byte."""
    assert agent.sock.recv(1) == b""


# ---- who stays and who goes ----

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_agent_whose_ca_was_removed_ends_and_others_stay(husk, pki, bundle, version):
    aggregator = Aggregator()
    server = husk.server(aggregator, ca=bundle)
    agent, stranger = connect(server, pki, None, version), connect(server, pki, pki.foreign_client, version)
    carry_acked(agent, 1, "a1")
    carry_acked(stranger, 2, "s2")
    bundle.write(pki.ca.cert)
    reload(server)
    expect_end(stranger)
    carry_acked(agent, 3, "a3")
    line, = server.events(reason="distrusted")
    assert line["level"] == "warn" and line["side"] == "downstream" and line["identity"] and line["peer"]
    assert "CA theirs, which is not in our CA file" in line["detail"]
    assert distrusted(server) == 1 and server.problems() == [line]
