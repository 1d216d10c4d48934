"""Rotation of certificates: each way in which programs replace files is noticed at once, and no set is mixed."""

import collections
import os
import pathlib
import shutil
import ssl
import threading
import time

import pytest

from support import raw
from support.aggregators import CountingAggregator
from support.process import eventually
from support.reloading import Streaming

NO_FILES = {"cert": None, "key": None, "ca": None}
NAMES = ("tls.crt", "tls.key", "ca.crt")
ONLY_INOTIFY = {"reload_interval": "1h"}
ROTATIONS = int(os.environ.get("HUSK_RELOADS", "8"))


def shown_certificate(server, pki):
    return raw.connect_tls(server.address, pki.ca.cert, pki.client).tls.getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(pathlib.Path(certificate.cert).read_text())


class Folder:
    """A directory with the layout kubernetes.io/tls, mounted as kubelet mounts a Secret."""

    def __init__(self, path, files):
        self.path, self._generation = path, 0
        path.mkdir()
        self.swap(files)
        for name in NAMES:
            (path / name).symlink_to(f"..data/{name}")

    def swap(self, files):
        """Replaces ..data with one rename, and removes what it led to before."""
        self._generation += 1
        new, old = self.path / f"..{self._generation}", self.path / f"..{self._generation - 1}"
        new.mkdir()
        for name, source in zip(NAMES, files):
            shutil.copy(source, new / name)
        (self.path / "..next").symlink_to(new.name)
        (self.path / "..next").rename(self.path / "..data")
        shutil.rmtree(old, ignore_errors=True)


def plain(path, files):
    path.mkdir()
    for name, source in zip(NAMES, files):
        shutil.copy(source, path / name)


def by_rename_one(path, source):
    new = path.with_name(f".{path.name}.{threading.get_ident()}")
    shutil.copy(source, new)
    new.rename(path)


def by_rename(path, files):
    for name, source in zip(NAMES, files):
        by_rename_one(path / name, source)


def in_place(path, files):
    for name, source in zip(NAMES, files):
        shutil.copy(source, path / name)


def one_after_another(path, files):
    """As spiffe-helper: husk may look between two files."""
    for name, source in zip(NAMES, files):
        shutil.copy(source, path / name)
        time.sleep(0.03)


def in_parts(path, files):
    """Each file is for a moment half there."""
    for name, source in zip(NAMES, files):
        text = pathlib.Path(source).read_bytes()
        with open(path / name, "wb", buffering=0) as file:
            file.write(text[:100])
            time.sleep(0.03)
            file.write(text[100:])


@pytest.fixture
def upstream():
    return raw.Listener()


@pytest.fixture
def certificates(pki):
    return (*pki.server, pki.ca.cert), (*pki.next_server, pki.ca.cert)


def expect_next(server, pki):
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    server.wait_for_metric("husk_reloads_total", 1, result="success")
    assert not server.problems()


@pytest.mark.parametrize("write", [by_rename, in_place, one_after_another, in_parts])
def test_files_that_are_written_are_noticed_at_once(husk, pki, upstream, tmp_path, certificates, write):
    plain(tmp_path / "tls", certificates[0])
    server = husk.server(upstream, **NO_FILES, **ONLY_INOTIFY, protocol="tcp", credentials=tmp_path / "tls")
    write(tmp_path / "tls", certificates[1])
    expect_next(server, pki)


def test_a_mounted_secret_that_is_swapped_is_noticed_at_once(husk, pki, upstream, tmp_path, certificates):
    folder = Folder(tmp_path / "tls", certificates[0])
    server = husk.server(upstream, **NO_FILES, **ONLY_INOTIFY, protocol="tcp", credentials=folder.path)
    folder.swap(certificates[1])
    expect_next(server, pki)
    folder.swap(certificates[0])
    eventually(lambda: shown_certificate(server, pki) == der(pki.server), "the first certificate is shown again")


def test_a_directory_behind_a_link_that_is_swapped_is_noticed_at_once(husk, pki, upstream, tmp_path, certificates):
    for name, files in zip(("old", "new"), certificates):
        plain(tmp_path / name, files)
    (tmp_path / "current").symlink_to("old")
    server = husk.server(upstream, **NO_FILES, **ONLY_INOTIFY, protocol="tcp", credentials=tmp_path / "current")
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(tmp_path / "current")
    expect_next(server, pki)


def test_files_behind_links_that_are_written_in_place_are_noticed_at_once(husk, pki, upstream, tmp_path, certificates):
    plain(tmp_path / "store", certificates[0])
    (tmp_path / "tls").mkdir()
    for name in NAMES:
        (tmp_path / "tls" / name).symlink_to(tmp_path / "store" / name)
    server = husk.server(upstream, **NO_FILES, **ONLY_INOTIFY, protocol="tcp", credentials=tmp_path / "tls")
    in_place(tmp_path / "store", certificates[1])
    expect_next(server, pki)


def test_files_that_never_rest_are_loaded_after_the_timeout(husk, pki, upstream, tmp_path, certificates):
    """The file of the CA is replaced again and again, by one that differs in nothing but its time."""
    plain(tmp_path / "tls", certificates[0])
    has_ended = threading.Event()

    def replace_again_and_again():
        while not has_ended.wait(0.01):
            by_rename_one(tmp_path / "tls" / "ca.crt", certificates[1][2])

    writer = threading.Thread(target=replace_again_and_again)
    server = husk.server(upstream, **NO_FILES, **ONLY_INOTIFY, protocol="tcp", credentials=tmp_path / "tls",
                         reload_settle_timeout="500ms")
    writer.start()
    try:
        by_rename(tmp_path / "tls", certificates[1])
        eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")
    finally:
        has_ended.set()
        writer.join()
    assert not server.problems()


def test_single_files_are_noticed_at_once(husk, pki, upstream, mounted):
    server = husk.server(upstream, **ONLY_INOTIFY, protocol="tcp", certificate=mounted(pki.server))
    mounted(pki.next_server)
    expect_next(server, pki)


def test_a_half_written_pair_is_not_used_until_it_is_whole(husk, pki, upstream, tmp_path, certificates):
    plain(tmp_path / "tls", certificates[0])
    server = husk.server(upstream, **NO_FILES, **ONLY_INOTIFY, protocol="tcp", credentials=tmp_path / "tls",
                         reload_retry_max="50ms")
    shutil.copy(pki.next_server.cert, tmp_path / "tls" / "tls.crt")
    server.wait_for_metric("husk_reload_pending", 1)
    assert shown_certificate(server, pki) == der(pki.server)
    assert "does not match" in server.problem()["message"]
    shutil.copy(pki.next_server.key, tmp_path / "tls" / "tls.key")
    eventually(lambda: shown_certificate(server, pki) == der(pki.next_server), "the new certificate is shown")


def test_rotation_under_traffic_loses_nothing_and_mixes_nothing(husk, pki, tmp_path):
    """HUSK_RELOADS: how often. The CAs of both sides are in both sets; only the pair changes."""
    (tmp_path / "cas.pem").write_text("".join(pathlib.Path(ca.cert).read_text() for ca in (pki.ca, pki.other_ca)))
    sets = {role: [(*getattr(pki, name), tmp_path / "cas.pem") for name in (role, f"foreign_{role}")]
            for role in ("client", "server")}
    folders = {role: Folder(tmp_path / role, sets[role][0]) for role in sets}
    aggregator = CountingAggregator()
    server = husk.server(aggregator, **NO_FILES, **ONLY_INOTIFY, credentials=folders["server"].path)
    client = husk.client(server, **NO_FILES, **ONLY_INOTIFY, credentials=folders["client"].path)
    agent = Streaming(client.address, 1)
    for i in range(1, ROTATIONS + 1):
        for role, folder in folders.items():
            folder.swap(sets[role][i % 2])
        acked = agent.acked_count
        time.sleep(0.2)  # the rhythm of the rotation
        eventually(lambda: agent.acked_count > acked, "messages are acknowledged")
    numbers = agent.finish()
    assert agent.ends == 0
    assert aggregator.stored == collections.Counter(numbers)
    for one in (client, server):
        assert one.metric("husk_reloads_total", result="success") >= 1
        assert not one.metric("husk_reloads_total", result="failure") and not one.problems()
