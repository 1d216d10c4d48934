"""husk pki that is killed at each change of a file, that gets no space, or that runs twice at a time."""

import base64
import concurrent.futures
import re
import resource
import shutil
import signal
import ssl
import subprocess

import pytest

from support import raw
from support.husk import BINARY, LIGHT, ROOT
from support.husk_pki import husk_pki, openssl_says, succeed
from support.pki import Certificate, SEED_CONFIG, openssl
from support.process import eventually

SECRETS = {"CA": "1000", "KEY": "1234"}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("kill") / "kill_at.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, ROOT / "tests/support/kill_at.c", "-ldl"],
                   check=True)
    return str(library)


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """A PKI of each profile, with a request for the name "more" beside the seed's."""
    top = tmp_path_factory.mktemp("templates")
    succeed("init", top / "modern")
    seed = top / "seed"
    succeed("init", seed, "--profile", "seed", "--ca-only", "--no-passphrase")
    (seed / "openssl.cnf").write_text(SEED_CONFIG)
    openssl("req", "-config", "openssl.cnf", "-newkey", "rsa:2048", "-nodes", "-keyout", "private/more.key.pem", "-subj",
            "/C=US/ST=CA/O=Your company name/CN=more", "-out", "csr/more.csr.pem", cwd=seed)
    return top


def assert_whole_blocks(path):
    """All of the file is PEM, and each block has one whole DER value. No process is started: there are many files."""
    text = path.read_text()
    blocks = re.findall(r"-----BEGIN ([A-Z0-9 ]+)-----\n([A-Za-z0-9+/=\n]+)-----END \1-----\n", text)
    assert blocks and len(text) == sum(len(body) + 2 * len(label) + 32 for label, body in blocks), path
    for _, body in blocks:
        der = base64.b64decode(body)
        size = der[1] - 0x80 if der[1] >= 0x80 else 0
        length = int.from_bytes(der[2:2 + size], "big") if size else der[1]
        assert der[0] == 0x30 and len(der) == 2 + size + length, path


def assert_whole(directory):
    """Each file that has its final name can be read as what its name says, and only the owner can read it."""
    for path in directory.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        # Those of openssl have the modes that openssl gives.
        assert path.stat().st_mode & 0o777 == 0o600 or path.name in ("openssl.cnf", "more.key.pem", "more.csr.pem"), path
        if path.name.endswith(".pem"):
            assert_whole_blocks(path)
        elif path.name.endswith("index.txt"):
            assert not path.read_text() or path.read_text().endswith("\n")
            assert all(row.count("\t") == 5 for row in path.read_text().splitlines())
        elif path.name == "serial" or path.name.endswith("crlnumber"):
            assert re.fullmatch(r"([0-9A-F]{2})+\n", path.read_text()), path


def assert_journal_is_complete(directory):
    """Each certificate that was signed is in the journal, and no serial number was given twice."""
    serials = [row.split("\t")[3] for row in (directory / "index.txt").read_text().splitlines()]
    issued = [path.stem for folder in ("issued", "certs") for path in (directory / folder).glob("*")
              if re.fullmatch(r"([0-9A-F]{2})+", path.stem)]
    assert sorted(serials) == sorted(issued) and len(set(serials)) == len(serials)
    if (directory / "serial").exists():
        assert int((directory / "serial").read_text(), 16) > max([0xfff, *(int(serial, 16) for serial in serials)])


CASES = {
    "init": (None, ("init", "{}")),
    "issue": ("modern", ("issue", "client", "more", "--dir", "{}")),
    "renew": ("modern", ("renew", "client", "--dir", "{}")),
    "renew keep": ("modern", ("renew", "client", "--keep-key", "--dir", "{}")),
    "renew intermediate": ("modern", ("renew", "intermediate", "--dir", "{}")),
    "revoke": ("modern", ("revoke", "client", "--dir", "{}")),
    "revoke intermediate": ("modern", ("revoke", "intermediate", "--dir", "{}")),
    "crl": ("modern", ("crl", "--dir", "{}")),
    "crl root": ("modern", ("crl", "--ca", "root", "--dir", "{}")),
    "seed": ("seed", ("issue", "client", "more", "--dir", "{}")),
}


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_leaves_whole_files_and_is_finished_by_the_next(shim, templates, tmp_path, case):
    template, words = CASES[case]

    def begin(name):
        directory = tmp_path / name
        return shutil.copytree(templates / template, directory) if template else directory

    def run(directory, **environment):
        return husk_pki(*(word.format(directory) for word in words), env={"LD_PRELOAD": shim, **environment})

    counted = run(begin("counted"), KILL_COUNT=str(tmp_path / "count"))
    assert counted.returncode == 0, counted
    calls = int((tmp_path / "count").read_text())
    assert calls >= 5
    for at in range(1, calls + 1):
        directory = begin(str(at))
        killed = run(directory, KILL_AT=str(at))
        assert killed.returncode == -signal.SIGKILL, (at, killed)
        if directory.exists():
            assert_whole(directory)
        again = husk_pki(*(word.format(directory) for word in words))
        # The killed run may have done all of its work.
        is_done = re.search("has a PKI already|exists already|is revoked already", again.stderr)
        assert again.returncode == 0 or is_done, (at, again)
        assert_whole(directory)
        assert not list(directory.rglob(".husk-*")), at
        if case != "crl":
            succeed("crl", "--dir", directory)  # enters what the killed run has not entered
        assert_journal_is_complete(directory)
        name = "certs/more" if case == "seed" else "more" if case == "issue" else "client"
        key = directory / (name.replace("certs", "private") + ".key.pem")
        certified = openssl_says("x509", "-noout", "-pubkey", "-in", directory / f"{name}.crt.pem")
        assert certified == openssl_says("pkey", "-pubout", "-in", key), at
        shutil.rmtree(directory)


def fits(directory):
    """Whether key, certificate and request of the server belong together."""
    seed = (directory / "certs").exists()
    cert, key = ("certs/server.crt.pem", "private/server.key.pem") if seed else ("server.crt.pem", "server.key.pem")
    keys = {openssl_says("x509", "-noout", "-pubkey", "-in", directory / cert), openssl_says("pkey", "-pubout", "-in", directory / key)}
    if seed:
        keys.add(openssl_says("req", "-noout", "-pubkey", "-in", directory / "csr/server.csr.pem"))
    return len(keys) == 1


def assert_one_pair(directory):
    """Nothing but the pair in use is left."""
    assert not list(directory.rglob(".husk-*"))
    assert len(list((directory / "pairs").iterdir())) == 2
    for name in ("certs/server.crt.pem", "private/server.key.pem", "server.crt.pem", "server.key.pem"):
        assert (directory / name).is_symlink() or not (directory / name).exists()


def plain(directory):
    pass


def renewed(directory):
    succeed("renew", "server", "--dir", directory)


def half_replaced(directory):
    """A program has put a file in the place of a link."""
    renewed(directory)
    content = (directory / "server.crt.pem").read_bytes()
    (directory / "server.crt.pem").unlink()
    (directory / "server.crt.pem").write_bytes(content)


def issued_anew(directory):
    renewed(directory)
    for kind in ("key", "crt"):
        (directory / f"server.{kind}.pem").unlink()
    succeed("issue", "server", "server", "--dir", directory)


def copied_without_links(directory):
    renewed(directory)
    copy = shutil.copytree(directory, directory.with_name("copy"))
    shutil.rmtree(directory)
    copy.rename(directory)


def guide(directory):
    """The profile seed, whose keys take their time: its calls are sampled."""
    shutil.rmtree(directory)
    succeed("init", directory, "--profile", "seed", "--no-passphrase")


STATES = {plain: 1, renewed: 1, half_replaced: 1, issued_anew: 1, copied_without_links: 1, guide: 20}


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_after_a_killed_renewal_a_key_fits_its_certificate(shim, templates, tmp_path, state):
    """Also for programs that read the files before the next run: openssl, and a husk that starts."""
    template = shutil.copytree(templates / "modern", tmp_path / "template")
    state(template)
    words = ("renew", "server", "--no-passphrase", "--dir")
    directory = shutil.copytree(template, tmp_path / "counted", symlinks=True)
    assert husk_pki(*words, directory, env={"LD_PRELOAD": shim, "KILL_COUNT": str(tmp_path / "count")}).returncode == 0
    assert fits(directory)
    assert_one_pair(directory)
    for at in range(1, int((tmp_path / "count").read_text()) + 1, STATES[state]):
        directory = shutil.copytree(template, tmp_path / str(at), symlinks=True)
        killed = husk_pki(*words, directory, env={"LD_PRELOAD": shim, "KILL_AT": str(at)})
        assert killed.returncode == -signal.SIGKILL, (at, killed)
        assert fits(directory), at
        # husk loads the pair, and has nothing else to say.
        checked = subprocess.run([BINARY, "check", "server", "--credentials", directory, "--allow-any", "--upstream",
                                  "127.0.0.1:1", "--listen", "127.0.0.1:0"], capture_output=True, text=True)
        assert checked.returncode == 0, (at, checked)
        succeed(*words, directory)
        assert_one_pair(directory)
        shutil.rmtree(directory)


@pytest.mark.skipif(LIGHT, reason="a sanitizer must be the first library that is loaded")
def test_a_running_husk_takes_what_killed_renewals_leave(husk, shim, templates, tmp_path):
    """In one directory, one renewal after the other is killed, each one call later."""
    directory = shutil.copytree(templates / "modern", tmp_path / "made")
    server = husk.server(raw.Listener(), cert=None, key=None, ca=None, protocol="tcp", allow_any=True, credentials=directory,
                         reload_interval="50ms")

    def shown():
        peer = raw.connect_tls(server.address, str(directory / "ca.crt.pem"),
                               Certificate(directory / "client.crt.pem", directory / "client.key.pem"))
        return peer.tls.getpeercert(binary_form=True)

    def in_directory():
        first = (directory / "server.crt.pem").read_text().partition("-----END CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(first[0] + first[1] + "\n")
    at, killed = 0, True
    while killed:
        at += 1
        killed = husk_pki("renew", "server", "--dir", directory, env={"LD_PRELOAD": shim, "KILL_AT": str(at)}).returncode
        loaded = server.metric("husk_reloads_total", result="success")
        server.signal(signal.SIGHUP)
        eventually(lambda: server.metric("husk_reloads_total", result="success") > loaded, f"husk loads what is left at {at}")
        eventually(lambda: shown() == in_directory(), "husk shows the certificate of the directory")
    assert at > 30 and not server.problems()
    assert_one_pair(directory)


@pytest.mark.parametrize("case", ["init", "issue", "renew", "revoke", "renew intermediate"])
def test_a_run_without_space_leaves_whole_files(templates, tmp_path, case):
    template, words = CASES[case]

    def limit(size):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    for size in (0, 100, 600, 1000):
        directory = tmp_path / str(size)
        if template:
            shutil.copytree(templates / template, directory)
        result = subprocess.run([BINARY, "pki", *(word.format(directory) for word in words)], capture_output=True, text=True,
                                preexec_fn=lambda size=size: limit(size))
        assert (result.returncode == 1 and "File too large" in result.stderr and str(directory) in result.stderr) or (
            size >= 600 and result.returncode == 0), result
        assert_whole(directory)
        assert not list(directory.rglob(".husk-*"))


def test_runs_at_the_same_time_wait_for_each_other(templates, tmp_path):
    directory = shutil.copytree(templates / "modern", tmp_path / "made")
    names = [f"agent-{i}" for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda name: husk_pki("issue", "client", name, "--dir", directory), names))
    assert {result.returncode for result in results} == {0}
    assert_journal_is_complete(directory)
    subjects = {row.split("\t")[5] for row in (directory / "index.txt").read_text().splitlines()}
    assert {f"/O=husk/CN={name}" for name in names} < subjects


def test_two_runs_of_init_make_one_pki(tmp_path):
    directory = tmp_path / "made"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: husk_pki("init", directory), range(4)))
    assert sorted(result.returncode for result in results) == [0, 1, 1, 1]
    for name in ("server", "client"):
        openssl("verify", "-CAfile", directory / "ca.crt.pem", "-untrusted", directory / "intermediate.crt.pem",
                directory / f"{name}.crt.pem")
