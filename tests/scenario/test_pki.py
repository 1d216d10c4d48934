"""husk pki: the profile modern, its files and its errors."""

import os
import pty
import signal
import stat
import subprocess
import time

import pytest

from support.husk import BINARY
from support.husk_pki import husk_pki, openssl_says, refuse, succeed
from support.pki import expired, openssl

PASSPHRASE = {"CA_PASS": "one two three", "KEY_PASS": "four"}


@pytest.fixture
def made(tmp_path):
    succeed("init", tmp_path / "made")
    return tmp_path / "made"


def files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def verify(directory, name, purpose):
    return openssl_says("verify", "-purpose", purpose, "-CAfile", directory / "ca.crt.pem",
                        "-untrusted", directory / "intermediate.crt.pem", directory / f"{name}.crt.pem")


def text_of(path):
    return openssl_says("x509", "-noout", "-text", "-in", path)


# ---- init --------------------------------------------------------------------------------------------------

def test_init_names_its_files_and_openssl_accepts_them(tmp_path):
    directory = tmp_path / "made"
    printed = succeed("init", directory, "--server-name", "logs.example.com", "--server-name", "10.0.0.1").split()
    assert printed == [f"{directory}/{name}.{kind}.pem" for name in ("ca", "intermediate", "server", "client")
                       for kind in ("key", "crt")]
    assert verify(directory, "server", "sslserver") and verify(directory, "client", "sslclient")
    assert "DNS:logs.example.com, IP Address:10.0.0.1" in text_of(directory / "server.crt.pem")


def test_only_the_owner_can_read_the_files(made):
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    for path in made.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_husk_accepts_the_files(made):
    result = subprocess.run(
        [BINARY, "check", "server", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--allow-cn", "client",
         "--admin", "off", "--cert", made / "server.crt.pem", "--key", made / "server.key.pem", "--ca", made / "ca.crt.pem"],
        capture_output=True, text=True)
    assert result.returncode == 0 and "verdict: all good" in result.stdout, result.stdout


def test_init_changes_nothing_that_exists(made):
    before = files(made)
    assert refuse("init", made) == (f"{made}: has a PKI already: \"husk pki issue\" makes more certificates, and "
                                    "\"husk pki renew\" new ones")
    assert files(made) == before


def test_init_makes_the_ca_only(tmp_path):
    succeed("init", tmp_path / "made", "--ca-only")
    assert not list((tmp_path / "made").glob("*server*")) and not list((tmp_path / "made").glob("*client*"))
    succeed("init", tmp_path / "made")
    assert verify(tmp_path / "made", "server", "sslserver")


def test_a_subject_of_the_ca_stands_in_all_certificates(tmp_path):
    succeed("init", tmp_path / "made", "--subject", "/C=DE/O=Acme/CN=Acme root")
    assert "Issuer: C = DE, O = Acme, CN = Acme root" in text_of(tmp_path / "made/intermediate.crt.pem").replace("C=", "C = ") \
        .replace("O=", "O = ").replace("CN=", "CN = ")
    subject = openssl_says("x509", "-noout", "-subject", "-nameopt", "compat", "-in", tmp_path / "made/client.crt.pem")
    assert subject.split() == "subject=/C=DE/O=Acme/CN=client".split()


def test_keys_are_encrypted_if_a_passphrase_is_given(tmp_path):
    directory = tmp_path / "made"
    options = ("--ca-passphrase-env", "CA_PASS", "--key-passphrase-env", "KEY_PASS")
    succeed("init", directory, *options, env=PASSPHRASE)
    for name, passphrase in {"ca": "one two three", "intermediate": "one two three", "server": "four"}.items():
        key = directory / f"{name}.key.pem"
        assert "ENCRYPTED" in key.read_text()
        openssl("pkey", "-noout", "-in", key, "-passin", f"pass:{passphrase}")
    assert "--ca-passphrase-env or --ca-passphrase-file" in refuse("issue", "client", "a", "--dir", directory)
    assert "does not decrypt" in refuse("issue", "client", "a", "--dir", directory, "--ca-passphrase-env", "KEY_PASS",
                                        env=PASSPHRASE)
    (tmp_path / "file").write_text("one two three\n")
    succeed("issue", "client", "a", "--dir", directory, "--ca-passphrase-file", tmp_path / "file")
    assert verify(directory, "a", "sslclient")


# ---- issue -------------------------------------------------------------------------------------------------

def test_issue_puts_all_names_into_the_certificate(made):
    succeed("issue", "server", "logs.example.com", "10.0.0.1", "*.logs.example.com", "--dir", made, "--days", 7,
            "--spiffe-id", "spiffe://example.org/logs")
    text = text_of(made / "logs.example.com.crt.pem")
    assert ("DNS:logs.example.com, IP Address:10.0.0.1, DNS:*.logs.example.com, URI:spiffe://example.org/logs") in text
    assert "TLS Web Server Authentication" in text and "TLS Web Client Authentication" not in text
    assert verify(made, "logs.example.com", "sslserver")
    end = openssl_says("x509", "-noout", "-checkend", 6 * 86400, "-in", made / "logs.example.com.crt.pem")
    assert "will not expire" in end


def test_each_certificate_is_in_the_journal(made):
    succeed("issue", "client", "agent-1", "--dir", made)
    rows = [row.split("\t") for row in (made / "index.txt").read_text().splitlines()]
    assert [row[5] for row in rows] == ["/O=husk/CN=localhost", "/O=husk/CN=client", "/O=husk/CN=agent-1"]
    for row in rows:
        assert row[0] == "V" and (made / "issued" / f"{row[3]}.pem").exists()


def test_a_request_is_signed_and_its_key_stays_elsewhere(made, tmp_path):
    there = tmp_path / "there"
    assert succeed("request", "agent-1", "agent-1.example.com", "--dir", there).split() == [
        f"{there}/agent-1.key.pem", f"{there}/agent-1.csr.pem"]
    succeed("issue", "client", "--csr", there / "agent-1.csr.pem", "--as", "agent-1", "--dir", made)
    assert "DNS:agent-1, DNS:agent-1.example.com" in text_of(made / "agent-1.crt.pem")
    assert not (made / "agent-1.key.pem").exists()
    of_certificate = openssl_says("x509", "-noout", "-pubkey", "-in", made / "agent-1.crt.pem")
    assert of_certificate == openssl_says("pkey", "-pubout", "-in", there / "agent-1.key.pem")


def test_names_of_the_command_replace_those_of_a_request(made, tmp_path):
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "csr",
            "-subj", "/O=Other/CN=root", "-addext", "subjectAltName=DNS:evil.example.com")
    succeed("issue", "server", "good.example.com", "--csr", tmp_path / "csr", "--dir", made)
    text = text_of(made / "good.example.com.crt.pem")
    assert "DNS:good.example.com" in text and "evil" not in text and "Other" not in text


# ---- errors ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, expected", [
    ((), "expected a subcommand: init"),
    (("make",), 'unknown subcommand "make": expected one of init'),
    (("init",), "init needs one directory"),
    (("init", "a", "b"), "init needs one directory"),
    (("init", ""), "init needs one directory"),
    (("init", "a", "--days", "9999"), "--days: "),
    (("init", "a", "--days", "0"), "expected 1 to 3650"),
    (("init", "a", "--days", "-1"), "expected 1 to 3650"),
    (("issue", "server", "a", "--days", "0"), "expected 1 to 3650"),
    (("needs-renewal", "a", "--left", "0"), "expected 1 to 3650"),
    (("init", "a", "--profile", "old"), "--profile: "),
    (("init", "a", "--reason", "superseded"), "--reason: unknown option"),
    (("init", "a", "--server-name", "a b"), 'name "a b": is neither a DNS name nor an IP address'),
    (("init", "a", "--subject", "Acme"), 'subject: "Acme": expected /C=US'),
    (("init", "a", "--no-passphrase", "--key-passphrase-env", "P"), "exclude each other"),
    (("issue", "peer", "a"), '"peer": expected server or client'),
    (("issue", "server"), "issue needs a name"),
    (("request", "a b"), "cannot be the name of files"),
])
def test_wrong_usage_says_what_is_expected(tmp_path, words, expected):
    assert expected in refuse(*words, status=2, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words, expected", [
    (("a/b",), "cannot be the name of files: give a name with --as"),
    (("::1",), "cannot be the name of files: give a name with --as"),
    (("a", "b c"), 'name "b c": is neither'),
    (("a", "--spiffe-id", "https://a"), 'SPIFFE ID "https://a": expected spiffe://trust-domain/path'),
    (("a", "--days", "3000"), "give fewer --days, or renew the CA"),
    (("client",), "client.crt.pem: exists already"),
    (("a", "--profile", "seed"), "is a PKI of the profile modern: give --profile modern"),
    (("a", "--csr", "none"), "none: No such file or directory"),
    (("a", "--key-passphrase-env", "NO_VARIABLE"), "--key-passphrase: environment variable NO_VARIABLE is not set"),
    (("a", "--key-passphrase-file", "ca.crt.pem.none"), "--key-passphrase: no file has this name"),
])
def test_a_wrong_order_changes_nothing(made, words, expected):
    before = files(made)
    assert expected in refuse("issue", "server", *words, "--dir", made)
    assert files(made) == before


def test_a_short_passphrase_is_refused(made):
    assert "shorter than 4 bytes" in refuse("issue", "client", "a", "--dir", made, "--key-passphrase-env", "P",
                                            env={"P": "abc"})


def test_a_weak_request_is_refused(made, tmp_path):
    openssl("req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "csr",
            "-subj", "/CN=a")
    assert "has an RSA key of 1024 bits: use RSA of at least 2048 bits" in refuse(
        "issue", "client", "a", "--csr", tmp_path / "csr", "--dir", made)


def test_a_damaged_request_is_refused(made, tmp_path):
    (tmp_path / "csr").write_text((made / "ca.crt.pem").read_text())
    assert "is no certificate request in PEM form" in refuse("issue", "client", "a", "--csr", tmp_path / "csr",
                                                             "--dir", made)
    succeed("request", "b", "--dir", tmp_path / "there")
    lines = (tmp_path / "there/b.csr.pem").read_text().splitlines()
    lines[-2] = "A" * (len(lines[-2]) - 1) + "="
    (tmp_path / "csr").write_text("\n".join(lines) + "\n")
    assert str(tmp_path / "csr") in refuse("issue", "client", "a", "--csr", tmp_path / "csr", "--dir", made)


def test_a_request_without_names_needs_names(made, tmp_path):
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "csr",
            "-subj", "/CN=a")
    assert "asks for no DNS name and no IP address: give the names" in refuse(
        "issue", "client", "--as", "a", "--csr", tmp_path / "csr", "--dir", made)


def test_a_directory_without_a_ca_is_named(tmp_path):
    assert refuse("issue", "client", "a", "--dir", tmp_path).startswith(f"{tmp_path}: has no CA, neither")
    assert refuse("issue", "client", "a", "--dir", tmp_path / "none").startswith(
        f"{tmp_path}/none: No such file or directory: name another directory with --dir")


def test_a_key_of_a_ca_that_is_elsewhere_is_named(made, tmp_path):
    (made / "intermediate.key.pem").rename(tmp_path / "elsewhere")
    assert refuse("issue", "client", "a", "--dir", made) == (
        f"{made}/intermediate.key.pem: the key of the CA is not here: copy it to this directory while you need it")
    (made / "intermediate.key.pem").write_text((made / "client.key.pem").read_text())
    assert "intermediate.key.pem: is not the key of the certificate" in refuse("issue", "client", "a", "--dir", made)


@pytest.mark.parametrize("which", ["intermediate", "ca"])
def test_a_ca_that_has_expired_is_named_and_made_anew(made, tmp_path, which):
    (tmp_path / "extensions").write_text("basicConstraints=critical,CA:true\n")
    openssl("req", "-new", "-key", made / f"{which}.key.pem", "-subj", "/CN=old", "-out", tmp_path / "csr")
    openssl("x509", "-req", "-in", tmp_path / "csr", "-signkey", made / f"{which}.key.pem", *expired(), "-extfile",
            tmp_path / "extensions", "-out", made / f"{which}.crt.pem")
    if which == "ca":  # the root is needed for a new intermediate
        (made / "intermediate.crt.pem").rename(tmp_path / "intermediate")
    command = ("init", made) if which == "ca" else ("issue", "client", "a", "--dir", made)
    error = refuse(*command)
    assert error.startswith(f"{made}/{which}.crt.pem: the CA CN=old expired at ")
    assert f"\"husk pki renew {which}\" makes a new certificate for its key" in error
    succeed("renew", which, "--dir", made)
    if which == "ca":
        succeed("init", made)
    succeed("issue", "client", "a", "--dir", made)
    assert verify(made, "a", "sslclient")


def test_a_key_that_others_can_read_is_named(made):
    (made / "intermediate.key.pem").chmod(0o644)
    result = husk_pki("issue", "client", "a", "--dir", made)
    assert result.returncode == 0 and result.stderr == (
        f"husk pki: warning: {made}/intermediate.key.pem: others than its owner can read it (mode 0644): "
        f"run chmod 600 {made}/intermediate.key.pem\n")


def test_a_ca_that_is_no_ca_is_named(made):
    (made / "intermediate.crt.pem").write_text((made / "client.crt.pem").read_text())
    assert f"{made}/intermediate.crt.pem: certificate CN=client,O=husk is not a CA certificate" in refuse(
        "issue", "client", "a", "--dir", made)


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="root without setpriv")
def test_a_directory_without_permission_is_named(made):
    if os.geteuid() == 0:
        made.chmod(0o755)
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    else:
        made.chmod(0o500)
        prefix = ()
    error = refuse("issue", "client", "a", "--dir", made, prefix=prefix)
    made.chmod(0o700)
    assert "Permission denied" in error and str(made) in error


def test_a_journal_that_is_damaged_is_named(made):
    (made / "index.txt").write_text("nonsense\n")
    assert "index.txt: line 1: is no line of a journal" in refuse("issue", "client", "a", "--dir", made)


# ---- the terminal ------------------------------------------------------------------------------------------

class Terminal:
    """husk pki in a terminal of its own."""

    def __init__(self, *words):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for what it runs in the background
            os.execv(BINARY, [str(BINARY), "pki", *map(str, words)])
        self.output = b""

    def expect(self, text):
        while text.encode() not in self.output:
            got = os.read(self.fd, 4096)
            assert got, self.output
            self.output += got

    def answer(self, question, line):
        self.expect(question)
        self.output = b""
        os.write(self.fd, line.encode() + b"\n")

    def wait(self):
        try:
            while got := os.read(self.fd, 4096):
                self.output += got
        except OSError:
            pass
        return os.waitpid(self.pid, 0)[1]


def test_a_passphrase_is_asked_for_at_the_terminal(made):
    succeed("init", made.parent / "locked", "--ca-only", "--ca-passphrase-env", "CA_PASS", env=PASSPHRASE)
    terminal = Terminal("issue", "client", "a", "--dir", made.parent / "locked")
    terminal.answer("intermediate.key.pem: ", PASSPHRASE["CA_PASS"])
    assert terminal.wait() == 0
    assert b"one two three" not in terminal.output and b"a.crt.pem" in terminal.output


def test_a_new_passphrase_is_asked_for_twice(tmp_path):
    for second, status in (("secret", 0), ("other", 1)):
        directory = tmp_path / second
        terminal = Terminal("request", "a", "--profile", "seed", "--dir", directory)
        terminal.answer("New passphrase of", "secret")
        terminal.answer("again: ", second)
        assert os.waitstatus_to_exitcode(terminal.wait()) == status
        assert (directory / "private/a.key.pem").exists() == (status == 0)
    assert b"the two passphrases differ" in terminal.output


def test_a_signal_at_the_question_restores_the_terminal(made):
    import termios
    succeed("init", made.parent / "locked", "--ca-only", "--ca-passphrase-env", "CA_PASS", env=PASSPHRASE)
    terminal = Terminal("issue", "client", "a", "--dir", made.parent / "locked")
    terminal.expect("intermediate.key.pem: ")
    assert not termios.tcgetattr(terminal.fd)[3] & termios.ECHO
    os.write(terminal.fd, b"\x03")
    deadline = time.monotonic() + 30
    while not termios.tcgetattr(terminal.fd)[3] & termios.ECHO and time.monotonic() < deadline:
        time.sleep(0.01)
    assert termios.tcgetattr(terminal.fd)[3] & termios.ECHO
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == -2


def test_without_a_terminal_the_options_are_named(tmp_path):
    result = husk_pki("init", tmp_path / "made", "--profile", "seed")
    assert result.returncode == 1
    assert "ca.key.pem: needs a passphrase: give it with --ca-passphrase-env or --ca-passphrase-file, or at a terminal" \
        in result.stderr
