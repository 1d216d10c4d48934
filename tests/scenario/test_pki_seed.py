"""husk pki --profile seed beside the openssl commands of the seed: the same artefacts, interchangeable step by step."""

import re
import shutil
import subprocess

import pytest

from support import seed_steps
from support.husk_pki import husk_pki, openssl_says, refuse, succeed
from support.pki import SEED_CONFIG, SeedPki, openssl
from support.seed_steps import MIXTURES, SECRETS, SUBJECT, Husk, Openssl, init, issue

@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """The directory that the openssl commands make."""
    directory = tmp_path_factory.mktemp("theirs")
    SeedPki(directory)
    return directory


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """The directory that husk pki makes."""
    directory = tmp_path_factory.mktemp("ours") / "made"
    init(directory)
    issue(directory, "server")
    issue(directory, "client")
    return directory


def copy(directory, to):
    shutil.copytree(directory, to)
    return to


# ---- field by field ----------------------------------------------------------------------------------------

def normal(text):
    """The text of openssl without what differs between any two runs: keys, key identifiers, signatures, times, random
    serial numbers."""
    text = re.sub(r"\b(?:[0-9a-fA-F]{2}:\s*)+[0-9a-fA-F]{2}\b", "HEX", text)
    text = re.sub(r"(?:HEX:?\s*)+", "HEX\n", text)
    text = re.sub(r"(Not (?:Before|After)\s*): .*", r"\1", text)
    return re.sub(r"\n\s*\n", "\n", text)


@pytest.mark.parametrize("name", ["ca", "server", "client"])
def test_certificates_are_equal_field_by_field(ours, theirs, name):
    def text(directory):
        return normal(openssl_says("x509", "-noout", "-text", "-nameopt", "oneline,show_type", "-in",
                                   directory / f"certs/{name}.crt.pem"))
    assert text(ours) == text(theirs)


@pytest.mark.parametrize("name", ["ca", "server", "client"])
def test_extensions_are_equal_byte_by_byte(ours, theirs, name):
    """Their order, whether they are critical, and their values, except key identifiers."""
    def extensions(directory):
        lines = openssl_says("asn1parse", "-in", directory / f"certs/{name}.crt.pem").splitlines()
        start = next(i for i, line in enumerate(lines) if "cont [ 3 ]" in line)
        kept = [re.sub(r"^\s*\d+:d=(\d+)\s+hl=\d+ l=\s*\d+", r"\1", line) for line in lines[start:-2]]
        for i, line in enumerate(kept):
            if "Key Identifier" in line and "[HEX DUMP]" in kept[i + 1]:
                kept[i + 1] = re.sub(r"DUMP\]:.*", "identifier", kept[i + 1])
        return kept
    assert extensions(ours) == extensions(theirs)


@pytest.mark.parametrize("name", ["server", "client"])
def test_requests_are_equal_field_by_field(ours, theirs, name):
    def text(directory):
        return normal(openssl_says("req", "-noout", "-text", "-verify", "-nameopt", "oneline,show_type", "-in",
                                   directory / f"csr/{name}.csr.pem"))
    assert text(ours) == text(theirs)


@pytest.mark.parametrize("name", ["ca", "server", "client"])
def test_keys_are_encrypted_in_the_same_form(ours, theirs, name):
    def form(directory):
        text = openssl_says("asn1parse", "-in", directory / f"private/{name}.key.pem")
        return re.findall(r"OBJECT\s+:(\S+)|INTEGER\s+:(\S+)", text), text.count("\n")

    def size(directory):
        text = openssl_says("pkey", "-noout", "-text", "-in", directory / f"private/{name}.key.pem", "-passin",
                            f"pass:{SeedPki.PASSPHRASES[name]}")
        return text.splitlines()[0], re.search("publicExponent.*", text)[0]
    assert form(ours) == form(theirs) and size(ours) == size(theirs)


@pytest.mark.parametrize("name", ["ca", "server", "client"])
def test_lifetimes_are_equal(ours, theirs, name):
    def seconds(directory):
        out = subprocess.run(["openssl", "x509", "-noout", "-dates", "-in", directory / f"certs/{name}.crt.pem"],
                             check=True, capture_output=True, text=True).stdout
        from_, until = (line.split("=")[1] for line in out.splitlines())
        return [int(subprocess.run(["date", "-u", "-d", moment, "+%s"], check=True, capture_output=True,
                                   text=True).stdout) for moment in (from_, until)]
    for directory in (ours, theirs):
        start, end = seconds(directory)
        assert end - start == 365 * 86400
    assert abs(seconds(ours)[0] - seconds(theirs)[0]) < 3600


def test_files_have_the_same_names_and_journals(ours, theirs):
    def names(directory):
        return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    # openssl keeps the files before the last change; husk needs a lock.
    extra = {"index.txt.old", "serial.old", "index.txt.attr", "index.txt.attr.old"}
    assert names(ours) - {".lock"} == names(theirs) - extra
    assert (ours / "serial").read_text() == (theirs / "serial").read_text()

    def rows(directory):
        return [re.sub(r"^V\t\d{12}Z", "V\tTIME", row) for row in (directory / "index.txt").read_text().splitlines()]
    assert rows(ours) == rows(theirs)


def test_the_configuration_is_that_of_the_seed(ours):
    def settings(text):
        lines = [" ".join(line.split()) for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith("#") and line != "emailAddress_default ="]
    assert settings((ours / "openssl.cnf").read_text()) == settings(SEED_CONFIG)


# ---- every step by either program --------------------------------------------------------------------------

def verify(directory, role):
    openssl("verify", "-purpose", "sslserver" if role == "server" else "sslclient", "-CAfile", directory / "certs/ca.crt.pem",
            directory / f"certs/{role}.crt.pem")


@pytest.mark.parametrize("mixture", MIXTURES, ids=map("".join, MIXTURES))
def test_every_mixture_of_steps_works(ours, theirs, tmp_path, mixture):
    directory = seed_steps.make(tmp_path / "mixed", mixture, {"h": ours, "o": theirs})
    for role in ("server", "client"):
        verify(directory, role)
    assert [row.split("\t")[3] for row in (directory / "index.txt").read_text().splitlines()] == ["1000", "1001"]
    assert (directory / "serial").read_text() == "1002\n"


def test_openssl_continues_what_husk_began_and_back(ours, tmp_path):
    directory = copy(ours, tmp_path / "made")
    for name, program in (("one", Openssl), ("two", Husk), ("three", Openssl)):
        openssl("req", "-config", "openssl.cnf", "-newkey", "rsa:2048", "-nodes", "-keyout", f"private/{name}.key.pem",
                "-subj", SUBJECT + name, "-out", f"csr/{name}.csr.pem", cwd=directory)
        if program is Husk:
            succeed("issue", "client", name, "--dir", directory, "--ca-passphrase-env", "CA", env=SECRETS)
        else:
            openssl("ca", "-config", "openssl.cnf", "-batch", "-outdir", "certs", "-cert", "certs/ca.crt.pem", "-keyfile",
                    "private/ca.key.pem", "-passin", f"pass:{SECRETS['CA']}", "-extensions", "client_cert", "-days", 365,
                    "-notext", "-in", f"csr/{name}.csr.pem", "-out", f"certs/{name}.crt.pem", cwd=directory)
        verify(directory, name)
    subjects = [row.split("\t")[5] for row in (directory / "index.txt").read_text().splitlines()]
    assert [subject.split("CN=")[1] for subject in subjects] == ["server", "client", "one", "two", "three"]


# ---- the policy --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("subject, part", [
    ("/C=US/ST=CA/O=Other/CN=a", "organizationName"), ("/C=DE/ST=CA/O=Your company name/CN=a", "countryName"),
    ("/C=US/O=Your company name/CN=a", "stateOrProvinceName"), ("/C=US/ST=CA/O=Your company name", "commonName"),
])
def test_both_refuse_the_same_requests(ours, tmp_path, subject, part):
    directory = copy(ours, tmp_path / "made")
    openssl("req", "-config", "openssl.cnf", "-newkey", "rsa:2048", "-nodes", "-keyout", "private/a.key.pem", "-subj",
            subject, "-out", "csr/a.csr.pem", cwd=directory)
    assert part in refuse("issue", "client", "a", "--dir", directory, "--ca-passphrase-env", "CA", env=SECRETS)
    with pytest.raises(subprocess.CalledProcessError):
        openssl("ca", "-config", "openssl.cnf", "-batch", "-outdir", "certs", "-cert", "certs/ca.crt.pem", "-keyfile",
                "private/ca.key.pem", "-passin", f"pass:{SECRETS['CA']}", "-extensions", "client_cert", "-notext", "-in",
                "csr/a.csr.pem", "-out", "certs/a.crt.pem", cwd=directory)


def test_the_subject_is_that_of_openssl_for_a_request_with_more_parts(ours, tmp_path):
    subject = "/CN=a ä/O=Your company name/L=Town/OU=unit/ST=CA/C=US/emailAddress=a@example.com"
    made = {}
    for program in ("husk", "openssl"):
        directory = copy(ours, tmp_path / program)
        openssl("req", "-config", "openssl.cnf", "-utf8", "-newkey", "rsa:2048", "-nodes", "-keyout", "private/a.key.pem",
                "-subj", subject, "-out", "csr/a.csr.pem", cwd=directory)
        if program == "husk":
            succeed("issue", "client", "a", "--dir", directory, "--ca-passphrase-env", "CA", env=SECRETS)
        else:
            openssl("ca", "-config", "openssl.cnf", "-batch", "-outdir", "certs", "-cert", "certs/ca.crt.pem", "-keyfile",
                    "private/ca.key.pem", "-passin", f"pass:{SECRETS['CA']}", "-extensions", "client_cert", "-notext", "-in",
                    "csr/a.csr.pem", "-out", "certs/a.crt.pem", cwd=directory)
        made[program] = openssl_says("x509", "-noout", "-subject", "-nameopt", "oneline,show_type", "-in",
                                     directory / "certs/a.crt.pem"), (directory / "index.txt").read_text().split("\t")[-1]
    assert made["husk"] == made["openssl"]


def test_a_second_valid_certificate_of_a_subject_is_refused_as_by_openssl(ours, tmp_path):
    directory = copy(ours, tmp_path / "made")
    (directory / "certs/server.crt.pem").rename(directory / "certs/old.crt.pem")
    (directory / "csr/server.csr.pem").unlink()
    (directory / "private/server.key.pem").unlink()
    assert "there is a valid certificate of /C=US/ST=CA/O=Your company name/CN=server, with serial number 1000" in \
        refuse_after_files("issue", "server", "server", "--no-passphrase", "--dir", directory, "--ca-passphrase-env", "CA")


def refuse_after_files(*arguments):
    """The error of a command that has printed the names of some files before."""
    result = husk_pki(*arguments, env=SECRETS)
    assert result.returncode == 1
    return result.stderr


def test_an_interrupted_signature_is_taken_over(ours, tmp_path):
    """The certificate was signed and entered, and was not copied to its name."""
    directory = copy(ours, tmp_path / "made")
    before = (directory / "certs/server.crt.pem").read_text()
    (directory / "certs/server.crt.pem").unlink()
    issue(directory, "server")
    assert (directory / "certs/server.crt.pem").read_text() == before
    assert (directory / "serial").read_text() == "1002\n"


def test_the_seed_has_one_name(tmp_path):
    for words in (("a", "b"), ("a", "--spiffe-id", "spiffe://a")):
        assert "puts one name into the CN" in refuse("request", *words, "--profile", "seed", "--dir", tmp_path, status=2)
