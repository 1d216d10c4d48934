"""New certificates, keys and shared keys: loaded as one set, and tried again after a failure."""

import os
import pathlib
import shutil
import signal
import ssl

import pytest

from support import raw
from support.forward import Agent, Aggregator, carry_acked, event
from support.process import eventually

# husk looks at no file by itself; only a retry after a failure can find the new files.
RETRIES = {"protocol": "tcp", "reload_interval": "off", "reload_retry_max": "50ms"}


# ---- certificates ----

def shown_certificate(server, pki):
    peer = raw.connect_tls(server.address, pki.ca.cert, pki.client)
    return peer.tls.getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(open(certificate.cert).read())


def test_sighup_replaces_the_certificate_and_keeps_connections_open(husk, pki, mounted):
    upstream = raw.Listener()
    server = husk.server(upstream, protocol="tcp", certificate=mounted(pki.server))
    agent = raw.connect_tls(server.address, pki.ca.cert, pki.client)
    aggregator = upstream.accept()
    mounted(pki.next_server)
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    raw.carry_both_ways(agent, aggregator)
    assert not server.problems()


def test_sighup_replaces_the_certificate_of_husk_client_too(husk, pki, mounted):
    tunnel = husk.tunnel(client={"certificate": mounted(pki.foreign_client)})
    raw.assert_reset(raw.connect(tunnel.client.address))
    mounted(pki.client)
    tunnel.client.signal(signal.SIGHUP)
    tunnel.client.wait_for_metric("husk_reloads_total", 1, result="success")
    raw.carry_both_ways(*tunnel.open())


def test_a_replaced_secret_is_noticed_and_loaded_as_a_whole(husk, pki, tmp_path):
    """kubelet makes each file a link through ..data and replaces ..data with one rename."""
    for name, certificate in (("old", pki.server), ("new", pki.next_server)):
        (tmp_path / name).mkdir()
        for i, path in enumerate(certificate):
            shutil.copy(path, tmp_path / name / f"tls{i}.pem")
    (tmp_path / "..data").symlink_to("old")
    links = [tmp_path / f"tls{i}.pem" for i in range(len(pki.server))]
    for link in links:
        link.symlink_to(f"..data/{link.name}")
    server = husk.server(raw.Listener(), protocol="tcp", certificate=type(pki.server)(*map(str, links)),
                         reload_interval="50ms")
    assert shown_certificate(server, pki) == der(pki.server)
    (tmp_path / "..next").symlink_to("new")
    (tmp_path / "..next").rename(tmp_path / "..data")
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    assert not server.problems()


@pytest.mark.parametrize("fault", ["junk", "expired", "key of another", "missing"])
def test_a_failed_reload_keeps_the_old_credentials_and_logs_one_line(husk, pki, mounted, fault):
    certificate, upstream = mounted(pki.server), raw.Listener()
    server = husk.server(upstream, protocol="tcp", certificate=certificate)
    if fault == "junk":
        open(certificate.cert, "w").write("junk\n")
    elif fault == "expired":
        mounted(pki.expired_server)
    elif fault == "key of another":
        shutil.copy(pki.next_server.key, certificate.key)
    else:
        shutil.move(certificate.key, certificate.key + ".gone")
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reloads_total", 1, result="failure")
    assert shown_certificate(server, pki) == der(pki.server)
    server.stop()
    assert len(server.problems()) == 1
    assert any(path in str(server.problems()[0]) for path in certificate)


# ---- retries ----

def junk(files):
    pathlib.Path(files.cert).write_text("junk\n")
    return lambda: None


def half_of_a_pair(files):
    return lambda: None


def no_file(files):
    os.unlink(files.key)
    return lambda: None


def no_folder(files):
    folder = pathlib.Path(files.cert).parent
    folder.rename(folder.with_name("away"))
    return lambda: folder.with_name("away").rename(folder)


@pytest.mark.parametrize("spoil", [junk, half_of_a_pair, no_file, no_folder])
def test_a_failed_reload_is_tried_again_until_it_succeeds(husk, pki, tmp_path, spoil):
    (tmp_path / "tls").mkdir()
    files = type(pki.server)(*(shutil.copy(path, tmp_path / "tls") for path in pki.server))
    server = husk.server(raw.Listener(), certificate=files, **RETRIES)
    shutil.copy(pki.next_server.cert, files.cert)
    mend = spoil(files)
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reload_pending", 1)
    assert shown_certificate(server, pki) == der(pki.server)
    mend()
    shutil.copy(pki.next_server.cert, files.cert)
    shutil.copy(pki.next_server.key, files.key)
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    assert server.metric("husk_reload_pending") == 0
    assert 1 <= len(server.problems()) == server.metric("husk_reloads_total", result="failure") <= 3


def test_each_kind_of_failure_is_logged_and_counted_once(husk, pki, mounted):
    files = mounted(pki.server)
    server = husk.server(raw.Listener(), certificate=files, **RETRIES)
    for count, spoil in enumerate([lambda: pathlib.Path(files.cert).write_text("junk"), lambda: os.unlink(files.cert)], 1):
        spoil()
        for _ in range(3):  # asking again does not make it another kind
            server.signal(signal.SIGHUP)
        server.wait_for_metric("husk_reloads_total", count, result="failure")
    assert len(server.problems()) == server.metric("husk_reloads_total", result="failure") == 2


def test_without_free_descriptors_a_reload_is_tried_again(husk, pki, mounted):
    server = husk.server(raw.Listener(), certificate=mounted(pki.server), prefix=("prlimit", "--nofile=40"), **RETRIES)
    descriptors = server.descriptors()
    held = raw.connect_many([server.address] * 40)
    server.wait_for_event(level="warn", message="accepting paused: Too many open files")

    def fails():
        """A file that husk read when it ran out of descriptors leaves one free for a moment: then the reload succeeds."""
        mounted(pki.server)
        mounted(pki.next_server)
        server.signal(signal.SIGHUP)
        return any("reload failed" in problem["message"] for problem in server.problems())
    eventually(fails, "the reload fails")
    for peer in held:
        peer.close()
    eventually(lambda: server.descriptors() <= descriptors, "the descriptors are closed")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")


# ---- shared keys ----

@pytest.fixture
def keyed(husk, tmp_path):
    """A husk client and a husk server; each has the file of a shared key."""
    class Keyed:
        aggregator = Aggregator()
        files = {"client": tmp_path / "client.key", "server": tmp_path / "server.key"}

        def start(self, client, server, **options):
            self.write("client", client)
            self.write("server", server)
            self.server = husk.server(self.aggregator, accept_key_file=self.files["server"], self_hostname="server",
                                      reload_retry_max="50ms", **options)
            self.client = husk.client(self.server, shared_key_file=self.files["client"], eject_time="50ms",
                                      eject_time_max="50ms", reload_retry_max="50ms", **options)
            return self

        def write(self, side, key):
            self.files[side].write_text(key)

        def agent(self):
            return Agent(raw.connect(self.client.address))
    return Keyed()


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("how", ["sighup", "look"])
def test_a_new_shared_key_is_used_by_the_next_connection(keyed, side, how):
    keyed.start(client="one\n", server="two\n", reload_interval="off" if how == "sighup" else "50ms")
    agent = keyed.agent()
    agent.send(event(1, "one"))
    keyed.client.wait_for_event(level="warn", reason="key_rejected")
    keyed.write(side, "two\n" if side == "client" else "one\n")
    if how == "sighup":
        getattr(keyed, side).signal(signal.SIGHUP)
    agent.expect_ack("one")


def test_connections_stay_when_the_shared_key_changes(keyed):
    keyed.start(client="one", server="one")
    agent = keyed.agent()
    carry_acked(agent, 1, "before")
    keyed.write("server", "two")
    keyed.server.signal(signal.SIGHUP)
    keyed.server.wait_for_metric("husk_reloads_total", 1, result="success")
    carry_acked(agent, 2, "after")
    assert not keyed.client.problems() and not keyed.server.problems()


@pytest.mark.parametrize("key", ["", "\nsecond line", "x" * 1025, "\0abc", "long\0rest", "k\0e\0y\0", None],
                         ids=["empty", "empty-line", "long", "nul-first", "nul", "utf-16", "missing"])
def test_a_shared_key_that_cannot_be_loaded_fails_the_whole_set(husk, pki, mounted, tmp_path, key):
    path = tmp_path / "key"
    path.write_text("key")
    server = husk.server(raw.Listener(), certificate=mounted(pki.server), accept_key_file=path, reload_retry_max="50ms",
                         reload_interval="off")
    mounted(pki.next_server)
    path.unlink() if key is None else path.write_text(key)
    server.signal(signal.SIGHUP)
    server.wait_for_metric("husk_reload_pending", 1)
    assert shown_certificate(server, pki) == der(pki.server), "the certificate belongs to the same set"
    problem = server.problem()
    assert "--accept-key" in problem["message"] and "key" in problem["message"]
    path.write_text("key")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the whole set is loaded")
