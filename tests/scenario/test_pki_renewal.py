"""husk pki renew, needs-renewal, revoke and crl."""

import os
import pathlib
import re
import shutil
import ssl
import stat
import subprocess
import time

import pytest

from support import raw
from support.husk_pki import husk_pki, openssl_says, refuse, succeed
from support.pki import Certificate, SeedPki, openssl
from support.process import eventually


@pytest.fixture
def made(tmp_path):
    succeed("init", tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture(scope="module")
def seed_template(tmp_path_factory):
    directory = tmp_path_factory.mktemp("seed")
    SeedPki(directory)
    return directory


@pytest.fixture
def seed(seed_template, tmp_path):
    """A directory that openssl has made."""
    return shutil.copytree(seed_template, tmp_path / "seed")


CA = {"CA": SeedPki.PASSPHRASES["ca"], "KEY": "5678"}
WITH_CA = ("--ca-passphrase-env", "CA")


def verify(directory, path, *more):
    return subprocess.run(["openssl", "verify", *map(str, more), "-CAfile", directory / "ca.crt.pem", "-untrusted",
                           directory / "intermediate.crt.pem", path], capture_output=True, text=True)


def facts(path):
    """Subject, names, use and lifetime; public key; serial number."""
    text = openssl_says("x509", "-noout", "-text", "-in", path)
    kept = re.findall(r"Subject: .*|DNS:.*|TLS Web .*|Netscape .*", text)
    return kept, openssl_says("x509", "-noout", "-pubkey", "-in", path), re.search(r"Serial Number:\s*(.*)", text)[1]


# ---- renew -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("keeps_key", [False, True])
def test_renew_makes_the_same_certificate_anew(made, keeps_key):
    succeed("issue", "server", "a.example.com", "b.example.com", "--dir", made, "--days", 7)
    cert, key = made / "a.example.com.crt.pem", made / "a.example.com.key.pem"
    before, key_before = facts(cert), key.read_text()
    printed = succeed("renew", "a.example.com", "--dir", made, *(["--keep-key"] if keeps_key else []))
    assert printed.split() == ([str(cert)] if keeps_key else [str(key), str(cert)])
    after = facts(cert)
    assert after[0] == before[0] and (after[1] == before[1]) == keeps_key and after[2] != before[2]
    assert (key.read_text() == key_before) == keeps_key
    assert openssl_says("pkey", "-pubout", "-in", key) == after[1]
    assert verify(made, cert, "-purpose", "sslserver").returncode == 0
    assert "will expire" in subprocess.run(["openssl", "x509", "-noout", "-checkend", str(8 * 86400), "-in", cert],
                                           capture_output=True, text=True).stdout


def test_a_key_that_was_encrypted_stays_so(made):
    succeed("issue", "client", "a", "--dir", made, "--key-passphrase-env", "KEY", env=CA)
    assert "a.key.pem: needs a passphrase" in refuse("renew", "a", "--dir", made)
    succeed("renew", "a", "--dir", made, "--key-passphrase-env", "KEY", env=CA)
    assert "ENCRYPTED" in (made / "a.key.pem").read_text()
    succeed("renew", "a", "--dir", made, "--no-passphrase")
    assert "ENCRYPTED" not in (made / "a.key.pem").read_text()


def test_a_certificate_of_openssl_is_renewed_and_openssl_goes_on(seed):
    succeed("renew", "client", "--dir", seed, *WITH_CA, "--key-passphrase-env", "KEY", env=CA)
    openssl("verify", "-purpose", "sslclient", "-CAfile", seed / "certs/ca.crt.pem", seed / "certs/client.crt.pem")
    openssl("pkey", "-noout", "-in", seed / "private/client.key.pem", "-passin", f"pass:{CA['KEY']}")
    of_request = openssl_says("req", "-noout", "-pubkey", "-in", seed / "csr/client.csr.pem")
    assert of_request == facts(seed / "certs/client.crt.pem")[1]
    # Two valid certificates of one subject: openssl ca still reads its journal.
    openssl("req", "-config", "openssl.cnf", "-newkey", "rsa:2048", "-nodes", "-keyout", "private/b.key.pem", "-subj",
            "/C=US/ST=CA/O=Your company name/CN=b", "-out", "csr/b.csr.pem", cwd=seed)
    openssl("ca", "-config", "openssl.cnf", "-batch", "-outdir", "certs", "-cert", "certs/ca.crt.pem", "-keyfile",
            "private/ca.key.pem", "-passin", f"pass:{CA['CA']}", "-extensions", "client_cert", "-notext", "-in",
            "csr/b.csr.pem", "-out", "certs/b.crt.pem", cwd=seed)
    rows = [row.split("\t") for row in (seed / "index.txt").read_text().splitlines()]
    assert [row[3] for row in rows] == ["1000", "1001", "1002", "1003"] and {row[0] for row in rows} == {"V"}


def test_what_cannot_be_renewed_is_named(made, tmp_path):
    assert refuse("renew", "none", "--dir", made) == (
        f'{made}/none.crt.pem: there is no certificate "none": give the name of a file NAME.crt.pem, or make the '
        "certificate with husk pki issue")
    assert refuse("renew", "client", "--days", 3000, "--dir", made).startswith("client: the certificate would be valid longer")
    succeed("init", tmp_path / "other", "--subject", "/O=other")
    shutil.copy(tmp_path / "other/client.crt.pem", made / "foreign.crt.pem")
    assert "was issued by CN=husk intermediate CA,O=other, not by the CA of this directory" in refuse(
        "renew", "foreign", "--dir", made)


@pytest.mark.parametrize("names", [("none", "client", "server"), ("client", "none", "server"), ("client", "server", "none")])
def test_a_name_that_cannot_be_renewed_does_not_stop_the_others(made, names):
    before = [(made / f"{name}.crt.pem").read_text() for name in ("client", "server")]
    result = husk_pki("renew", *names, "none", "--dir", made)
    assert result.returncode == 1 and result.stderr.count('there is no certificate "none"') == result.stderr.count("\n") == 2
    assert all((made / f"{name}.crt.pem").read_text() != old for name, old in zip(("client", "server"), before))


def test_a_wrong_key_of_the_ca_renews_no_name(made):
    shutil.copy(made / "client.key.pem", made / "intermediate.key.pem")
    before = (made / "server.crt.pem").read_text()
    result = husk_pki("renew", "client", "server", "--dir", made)
    assert result.returncode == 1 and result.stderr.count("is not the key of the certificate") == 2
    assert (made / "server.crt.pem").read_text() == before


def fits(cert, key):
    return facts(cert)[1] == openssl_says("pkey", "-pubout", "-in", key)


def pair_files(directory):
    return sorted(str(path.relative_to(directory)) for path in (directory / "pairs").rglob("*"))


def test_renewed_files_are_links_through_one_link_and_one_pair_is_kept(made):
    for slot in ("b", "a", "b"):
        succeed("renew", "client", "--dir", made)
        assert (made / "client.key.pem").readlink() == pathlib.Path("pairs/client/key.pem")
        assert (made / "client.crt.pem").readlink() == pathlib.Path("pairs/client/crt.pem")
        assert pair_files(made) == ["pairs/client", *(f"pairs/client@{slot}{name}" for name in ("", "/crt.pem", "/key.pem"))]
        assert all(stat.S_IMODE(path.stat().st_mode) == (0o711 if path.is_dir() else 0o600)
                   for path in (made / "pairs").rglob("*"))
    before = facts(made / "client.crt.pem")
    succeed("renew", "client", "--keep-key", "--dir", made)
    after = facts(made / "client.crt.pem")
    assert after[1] == before[1] and after[2] != before[2] and (made / "client.crt.pem").is_symlink()
    assert len(pair_files(made)) == 4
    # The directory can be moved, and copied with its links or without them.
    moved = made.rename(made.with_name("moved"))
    for links in (True, False):
        copy = shutil.copytree(moved, made.with_name(f"copy-{links}"), symlinks=links)
        assert fits(copy / "client.crt.pem", copy / "client.key.pem")
        succeed("renew", "client", "--dir", copy)
        assert fits(copy / "client.crt.pem", copy / "client.key.pem") and len(pair_files(copy)) == 4


@pytest.mark.parametrize("options", [(), ("--keep-key",)], ids=["new key", "same key"])
def test_renewed_files_keep_their_rights(made, options):
    """A key that the group of the service may read. The folders in between let the group through."""
    group = 65532 if os.geteuid() == 0 else os.getegid()
    files = [made / "client.crt.pem", made / "client.key.pem"]
    for path, mode in zip(files, (0o644, 0o640)):
        path.chmod(mode)
        os.chown(path, -1, group)
    for _ in range(3):
        succeed("renew", "client", "--dir", made, *options)
        assert [(stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) for path in files] == [(0o644, group), (0o640, group)]
        for path in files:
            parents = list(path.resolve().parents)
            assert all(one.stat().st_mode & 0o011 == 0o011 for one in parents[:parents.index(made.resolve())])


def test_a_renewed_list_keeps_its_rights(made):
    succeed("crl", "--dir", made)
    (made / "crl.pem").chmod(0o644)
    succeed("crl", "--dir", made)
    assert stat.S_IMODE((made / "crl.pem").stat().st_mode) == 0o644


def test_files_that_somebody_puts_in_the_place_of_links_are_renewed_too(made):
    cert, key = made / "client.crt.pem", made / "client.key.pem"
    succeed("renew", "client", "--dir", made)
    content = cert.read_text()
    cert.unlink()
    cert.write_text(content)
    succeed("renew", "client", "--dir", made)
    assert cert.is_symlink() and fits(cert, key) and cert.read_text() != content
    key.unlink()
    cert.unlink()
    succeed("issue", "client", "client", "--dir", made)
    assert not cert.is_symlink()
    succeed("renew", "client", "--dir", made)
    assert cert.is_symlink() and key.is_symlink() and fits(cert, key)


def test_a_running_husk_notices_a_renewal_at_once(made, husk):
    aggregator = raw.Listener()
    server = husk.server(aggregator, cert=None, key=None, ca=None, protocol="tcp", allow_any=True, credentials=made,
                         reload_interval="1h")
    for words in ((), (), ("--keep-key",), ()):
        succeed("renew", "server", *words, "--dir", made)
        own = ssl.PEM_cert_to_DER_cert((made / "server.crt.pem").read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")

        def is_shown(own=own):
            peer = raw.connect_tls(server.address, str(made / "ca.crt.pem"),
                                   Certificate(made / "client.crt.pem", made / "client.key.pem"))
            return peer.tls.getpeercert(binary_form=True) == own
        eventually(is_shown, "the new certificate is shown")
    assert not server.problems()


def test_a_revoked_certificate_is_renewed_only_with_a_new_key(made):
    succeed("revoke", "client", "--dir", made)
    assert "is revoked: take a new key" in refuse("renew", "client", "--keep-key", "--dir", made)
    succeed("renew", "client", "--dir", made)
    succeed("renew", "client", "--keep-key", "--dir", made)


# ---- CAs ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("profile", ["modern", "seed"])
def test_a_renewed_ca_keeps_its_key_and_what_it_has_signed(tmp_path, profile):
    directory = tmp_path / "made"
    succeed("init", directory, "--profile", profile, "--no-passphrase")
    certs = directory / "certs" if profile == "seed" else directory
    names = ["ca"] if profile == "seed" else ["ca", "intermediate"]
    key = (directory / "private" if profile == "seed" else directory) / "ca.key.pem"
    keys, before = key.read_text(), {name: facts(certs / f"{name}.crt.pem") for name in names}
    for name in names:
        succeed("renew", name, "--dir", directory)
    assert key.read_text() == keys
    for name in names:
        after = facts(certs / f"{name}.crt.pem")
        assert after[:2] == before[name][:2] and (after[2] == before[name][2]) == (profile == "seed")
    untrusted = ["-untrusted", certs / "intermediate.crt.pem"] if profile == "modern" else []
    for leaf in ("server", "client"):
        openssl("verify", "-CAfile", certs / "ca.crt.pem", *untrusted, certs / f"{leaf}.crt.pem")
    succeed("renew", "client", *names, "server", "--no-passphrase", "--dir", directory)


def test_a_certificate_ends_before_its_renewed_ca(made):
    for name, days in (("intermediate", 1), ("ca", 2)):
        succeed("renew", name, "--days", days, "--dir", made)
    assert "--days" in refuse("renew", "client", "--dir", made)
    succeed("renew", "ca", "intermediate", "client", "--dir", made)


def test_names_of_cas_are_no_names_of_certificates(made):
    before = {path: path.read_bytes() for path in made.iterdir() if path.is_file()}
    for name in ("ca", "intermediate"):
        for words in (("issue", "client"), ("request",), ("secret",), ("export-p12",)):
            result = husk_pki(*words, name, "--dir", made, "--profile", "modern")
            assert result.returncode in (1, 2) and f'"{name}" is the name of a CA' in result.stderr, result
    assert {path: path.read_bytes() for path in made.iterdir() if path.is_file()} == before


def test_the_root_revokes_the_intermediate_and_its_earlier_certificates(made):
    def verdict():
        return subprocess.run(["openssl", "verify", "-crl_check_all", "-CAfile", made / "ca.crt.pem", "-CRLfile", made / "crl.pem",
                               "-CRLfile", made / "ca.crl.pem", "-untrusted", made / "client.crt.pem", made / "client.crt.pem"],
                              capture_output=True, text=True)
    old = facts(made / "intermediate.crt.pem")[2].replace(":", "").upper()
    succeed("renew", "intermediate", "--dir", made)
    succeed("crl", "--dir", made)
    assert succeed("crl", "--ca", "root", "--dir", made) == f"{made}/ca.crl.pem\n"
    assert verdict().returncode == 0
    succeed("revoke", "intermediate", "--dir", made)
    succeed("crl", "--ca", "root", "--dir", made)
    assert "certificate revoked" in verdict().stderr
    assert old in listed(made / "ca.crl.pem")[0] and len(listed(made / "ca.crl.pem")[0]) == 2
    assert listed(made / "crl.pem")[0] == []
    assert "is revoked: take a new key" in refuse("renew", "intermediate", "--dir", made)
    assert "a root CA cannot be revoked" in refuse("revoke", "ca", "--dir", made)


# ---- needs-renewal -----------------------------------------------------------------------------------------

def needs(*arguments, cwd=None):
    result = husk_pki("needs-renewal", *arguments, cwd=cwd)
    return result.returncode, result.stdout, result.stderr


def test_the_exit_status_says_whether_renewal_is_needed(made):
    assert needs("server", "client", "--dir", made) == (1, "", "")
    assert needs("client", cwd=made) == (1, "", "")
    status, out, err = needs("client", "--left", 100, cwd=made)
    assert (status, err) == (0, "") and re.fullmatch(
        r"\./client\.crt\.pem: certificate CN=client,O=husk needs renewal: (89|90) days left\n", out)
    assert needs(made / "client.crt.pem", "--left", 80) == (1, "", "")


def test_a_third_of_the_life_is_the_limit(made, pki):
    status, out, _ = needs(pki.expired_client.cert)
    assert status == 0 and "needs renewal: -" in out
    # One day of 30 is over.
    assert needs(pki.client.cert) == (1, "", "")


def test_the_end_of_the_intermediate_does_not_renew_the_certificates(made):
    succeed("renew", "intermediate", "--days", 100, "--dir", made)
    succeed("renew", "client", "--days", 80, "--dir", made)
    assert needs("client", "--left", 79, "--dir", made) == (1, "", "")
    assert needs("client", "--left", 99, "--dir", made)[0] == 0
    (made / "client.crt.pem").write_text((made / "client.crt.pem").read_text() + (made / "intermediate.crt.pem").read_text())
    assert needs("intermediate", "--left", 99, "--dir", made)[0] == 1
    assert needs("intermediate", "--left", 101, "--dir", made)[0] == 0
    assert needs(made / "intermediate.crt.pem", "--left", 101)[0] == 0
    assert "intermediate" not in needs("client", "--left", 101, "--dir", made)[1]


def test_a_name_of_the_pki_comes_before_a_file(made, tmp_path):
    (tmp_path / "client").mkdir()
    assert needs("client", "--dir", made, cwd=tmp_path) == (1, "", "")


def test_what_cannot_be_read_has_a_status_of_its_own(made):
    for target, expected in ((made / "none", "none: No such file"), (made / "client.key.pem", "holds no certificate"),
                             (made / "index.txt", "holds nothing in PEM form")):
        status, out, err = needs(made / "client.crt.pem", target)
        assert status == 2 and not out and expected in err


# ---- revoke, crl -------------------------------------------------------------------------------------------

def listed(path):
    text = openssl_says("crl", "-noout", "-text", "-in", path)
    return re.findall(r"Serial Number: (\w+)", text), text


def test_a_revoked_certificate_is_in_the_list(made):
    serial = facts(made / "client.crt.pem")[2].replace(":", "").upper()
    assert succeed("crl", "--dir", made) == f"{made}/crl.pem\n"
    assert listed(made / "crl.pem")[0] == []
    assert verify(made, made / "client.crt.pem", "-crl_check", "-CRLfile", made / "crl.pem").returncode == 0
    succeed("revoke", "client", "--reason", "keyCompromise", "--dir", made)
    succeed("crl", "--dir", made, "--crl-days", 3)
    serials, text = listed(made / "crl.pem")
    assert serials == [serial] and "Key Compromise" in text and "X509v3 Authority Key Identifier" in text
    assert re.search(r"CRL Number: \s*2\s", text)
    result = verify(made, made / "client.crt.pem", "-crl_check", "-CRLfile", made / "crl.pem")
    assert result.returncode and "certificate revoked" in result.stderr
    assert verify(made, made / "server.crt.pem", "-crl_check", "-CRLfile", made / "crl.pem").returncode == 0


def test_husk_refuses_a_revoked_client(husk, made, tmp_path):
    upstream = raw.Listener()
    succeed("revoke", "client", "--dir", made)
    succeed("issue", "client", "other", "--dir", made)
    succeed("crl", "--dir", made)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text((made / "ca.crt.pem").read_text() + (made / "crl.pem").read_text())
    server = husk.server(raw.format_address(upstream.address), protocol="tcp", allow_any=True, ca=bundle,
                         certificate=Certificate(made / "server.crt.pem", made / "server.key.pem"))

    def is_admitted(name):
        client = raw.connect_tls(server.address, str(made / "ca.crt.pem"),
                                 Certificate(made / f"{name}.crt.pem", made / f"{name}.key.pem"), "1.2")
        client.close()
    is_admitted("other")
    with pytest.raises(OSError):
        is_admitted("client")
    server.wait_for_event(reason="certificate_revoked", side="downstream")


def test_serial_numbers_and_files_are_revoked(made, tmp_path):
    succeed("issue", "client", "a", "--dir", made)
    shutil.copy(made / "a.crt.pem", tmp_path / "copy.pem")
    serial = facts(made / "server.crt.pem")[2].replace(":", "")
    succeed("revoke", tmp_path / "copy.pem", serial, "--dir", made)
    rows = [row.split("\t") for row in (made / "index.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == ["R", "V", "R"] and "," not in rows[0][2]
    assert succeed("revoke", "a", "--dir", made) == "a: is revoked already\n"


@pytest.mark.parametrize("words", [("none", "client", "server"), ("client", "server", "none")])
def test_a_word_that_cannot_be_revoked_does_not_stop_the_others(made, words):
    for said in ("", "client: is revoked already\nserver: is revoked already\n"):
        result = husk_pki("revoke", *words, "1234", "--dir", made)
        assert result.returncode == 1 and result.stdout == said
        assert [line.split(" ")[2:4] for line in result.stderr.splitlines()] == [['"none":', "is"], ['"1234":', "is"]]
        assert [row[0] for row in (made / "index.txt").read_text().splitlines()] == ["R", "R"]


def test_a_revoked_intermediate_takes_its_earlier_certificates_along(made):
    succeed("renew", "intermediate", "--dir", made)
    succeed("revoke", made / "intermediate.crt.pem", "--dir", made)
    assert sorted(row[0] for row in (made / "ca.index.txt").read_text().splitlines()) == ["R", "V"]
    assert succeed("revoke", "intermediate", "--dir", made) == "intermediate: is revoked already\n"
    assert [row[0] for row in (made / "ca.index.txt").read_text().splitlines()] == ["R", "R"]


def test_what_cannot_be_revoked_is_named(made, tmp_path, pki):
    assert '"none": is no certificate of' in refuse("revoke", "none", "--dir", made)
    assert '"1234": is no certificate of' in refuse("revoke", "1234", "--dir", made)
    assert "was not issued by the CA of this directory" in refuse("revoke", pki.client.cert, "--dir", made)


def test_a_file_with_the_name_of_our_ca_and_another_signature_revokes_nothing(made, tmp_path):
    """Its issuer, its key identifier and its serial number are those of our certificate."""
    serial = facts(made / "client.crt.pem")[2].replace(":", "")
    text = openssl_says("x509", "-noout", "-ext", "subjectKeyIdentifier", "-in", made / "intermediate.crt.pem")
    (tmp_path / "ca.cnf").write_text(f"subjectKeyIdentifier = {text.split()[-1]}\nbasicConstraints = critical,CA:TRUE\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "ca.key", "-subj", "/O=husk/CN=husk intermediate CA",
            "-out", tmp_path / "other.pem")
    openssl("x509", "-in", tmp_path / "other.pem", "-signkey", tmp_path / "ca.key", "-clrext", "-extfile", tmp_path / "ca.cnf",
            "-out", tmp_path / "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "a.key", "-subj", "/O=husk/CN=a", "-out", tmp_path / "a.csr")
    openssl("x509", "-req", "-in", tmp_path / "a.csr", "-CA", tmp_path / "ca.pem", "-CAkey", tmp_path / "ca.key", "-set_serial",
            "0x" + serial, "-out", tmp_path / "a.pem")
    assert "was not issued by the CA of this directory" in refuse("revoke", tmp_path / "a.pem", "--dir", made)
    assert "\nR\t" not in "\n" + (made / "index.txt").read_text()


def test_a_serial_number_comes_before_a_file(made, tmp_path):
    serial = facts(made / "client.crt.pem")[2].replace(":", "")
    (tmp_path / serial).mkdir()
    succeed("revoke", serial, "--dir", made, cwd=tmp_path)


def test_a_certificate_that_the_journal_does_not_know_is_revoked(made):
    (made / "index.txt").write_text("")
    for path in (made / "issued").iterdir():
        path.unlink()
    succeed("revoke", "client", "--dir", made)
    assert (made / "index.txt").read_text().startswith("R\t")


def test_openssl_and_husk_revoke_in_one_journal(seed):
    openssl("ca", "-config", "openssl.cnf", "-cert", "certs/ca.crt.pem", "-keyfile", "private/ca.key.pem", "-passin",
            f"pass:{CA['CA']}", "-revoke", "certs/client.crt.pem", "-crl_reason", "superseded", cwd=seed)
    succeed("revoke", "server", "--reason", "cessationOfOperation", "--dir", seed)
    succeed("crl", "--dir", seed, *WITH_CA, env=CA)
    serials, text = listed(seed / "crl.pem")
    assert serials == ["1000", "1001"] and "Superseded" in text and "Cessation Of Operation" in text
    # openssl reads the journal that husk has written.
    openssl("ca", "-config", "openssl.cnf", "-cert", "certs/ca.crt.pem", "-keyfile", "private/ca.key.pem", "-passin",
            f"pass:{CA['CA']}", "-gencrl", "-crldays", 30, "-out", "theirs.pem", cwd=seed)
    theirs, their_text = listed(seed / "theirs.pem")
    assert theirs == serials and re.findall(r"Revocation Date.*", text) == re.findall(r"Revocation Date.*", their_text)


def test_a_large_journal_is_quick(made):
    """100,000 rows, all of them revoked."""
    row = "R\t991231235959Z\t260101000000Z,superseded\t{:032X}\tunknown\t/O=husk/CN=agent-{}\n"
    (made / "index.txt").write_text("".join(row.format((1 << 120) + i, i) for i in range(100000)))
    begun = time.monotonic()
    succeed("crl", "--dir", made)
    assert len(listed(made / "crl.pem")[0]) == 100000
    assert time.monotonic() - begun < 300  # generous: the machine may be busy; a square would take hours
