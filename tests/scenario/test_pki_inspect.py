"""husk pki inspect: files, directories, bundles, servers; text and JSON."""

import json
import subprocess

import pytest

from support import raw
from support.husk import BINARY
from support.husk_pki import husk_pki, openssl_says, refuse, succeed
from support.pki import openssl


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("inspect") / "made"
    succeed("init", directory)
    return directory


def items(*targets):
    return {source["source"]: source["items"] for source in json.loads(succeed("inspect", "--json", *targets))}


def test_a_certificate_is_described_in_short(made):
    text = succeed("inspect", made / "server.crt.pem")
    assert text.startswith(f"{made}/server.crt.pem\n  certificate CN=localhost,O=husk\n"
                           "    names      DNS:localhost, IP:127.0.0.1, IP:::1\n"
                           "    issuer     CN=husk intermediate CA,O=husk\n    valid      ")
    assert " days left" in text and "digitalSignature; serverAuth" in text and "ECDSA P-256, signed with" in text
    assert "  certificate CN=husk intermediate CA,O=husk, a CA\n" in text


def test_json_has_the_facts_that_openssl_prints(made):
    (leaf, intermediate), = items(made / "server.crt.pem").values()
    said = openssl_says("x509", "-noout", "-fingerprint", "-sha256", "-serial", "-in", made / "server.crt.pem")
    assert leaf["sha256"] == said.split("ngerprint=")[1].split()[0].replace(":", "").lower()
    assert leaf["serial"] == said.split("serial=")[1].split()[0]
    assert leaf["kind"] == "certificate" and leaf["line"] == 1 and leaf["days_left"] in (89, 90)
    assert leaf["fits_server"] and not leaf["fits_client"] and not leaf["is_ca"] and not leaf["is_self_issued"]
    assert leaf["key"] == "ECDSA P-256" and leaf["signature"] == "ecdsa-with-SHA256"
    assert intermediate["is_ca"] and "names" not in intermediate


def test_a_directory_shows_which_key_belongs_to_which_certificate(made):
    found = items(made)
    spki = {source.removeprefix(f"{made}/"): of[0]["spki"] for source, of in found.items() if "spki" in of[0]}
    for name in ("ca", "intermediate", "server", "client"):
        assert spki[f"{name}.crt.pem"] == spki[f"{name}.key.pem"]
    assert len(set(spki.values())) == 4 and not any("issued" in source for source in found)


def test_kinds_of_blocks_are_named(made, tmp_path):
    openssl("pkey", "-in", made / "client.key.pem", "-aes256", "-passout", "pass:secret", "-out", tmp_path / "locked")
    openssl("ecparam", "-name", "prime256v1", "-out", tmp_path / "parameters")
    succeed("request", "a", "--dir", tmp_path)
    bundle = tmp_path / "bundle"
    bundle.write_text("text\n" + "".join(path.read_text() for path in (
        made / "ca.crt.pem", tmp_path / "locked", tmp_path / "a.csr.pem", tmp_path / "parameters")))
    (found,) = items(bundle).values()
    assert [item["kind"] for item in found] == ["certificate", "private key", "request", "other"]
    assert found[1]["is_encrypted"] and "spki" not in found[1]
    assert found[2]["subject"] == "CN=a,O=husk" and found[2]["names"] == "DNS:a"
    assert found[3]["label"] == "EC PARAMETERS"
    text = succeed("inspect", bundle)
    assert "private key, encrypted" in text and "request for CN=a,O=husk" in text


def test_der_is_read(made, tmp_path):
    openssl("x509", "-in", made / "client.crt.pem", "-outform", "DER", "-out", tmp_path / "der")
    ((item,),) = items(tmp_path / "der").values()
    assert item["subject"] == "CN=client,O=husk" and "line" not in item


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_printed(made, tmp_path):
    (tmp_path / "empty").write_text("nothing\n")
    (tmp_path / "damaged").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    result = husk_pki("inspect", tmp_path / "none", tmp_path / "empty", tmp_path / "damaged", made / "ca.crt.pem")
    assert result.returncode == 1 and "husk root CA" in result.stdout
    errors = result.stderr.splitlines()
    assert errors[0] == f"husk pki: {tmp_path}/none: No such file or directory"
    assert errors[1].startswith(f"husk pki: {tmp_path}/empty: holds nothing in PEM form")
    assert errors[2].startswith(f"husk pki: {tmp_path}/damaged: line 1: the block \"CERTIFICATE\" cannot be read: ")


def test_a_directory_without_certificates_is_named(tmp_path):
    (tmp_path / "text").write_text("nothing\n")
    assert refuse("inspect", tmp_path) == (
        f"{tmp_path}: has no file with a certificate, key, request or revocation list")


def test_a_server_is_asked_for_its_certificates(husk, pki):
    server = husk.server("127.0.0.1:1", allow_any=True)
    ((item, *_),) = items(f"127.0.0.1:{server.address[1]}").values()
    assert item["names"] == "DNS:localhost, IP:127.0.0.1, IP:::1" and item["fits_server"]
    said = openssl_says("x509", "-noout", "-fingerprint", "-sha256", "-in", pki.server.cert)
    assert item["sha256"] == said.split("=")[1].strip().replace(":", "").lower()


def test_a_server_that_does_not_answer_is_named():
    listener = raw.Listener()
    address = raw.format_address(listener.address)
    assert refuse("inspect", address, "--timeout", "100ms") == f"{address}: no TLS answer in time"
    listener.close()
    assert refuse("inspect", address).startswith(address)


@pytest.mark.parametrize("target", ["localhost", "https://localhost:443"])
def test_a_server_without_a_port_or_with_a_scheme_is_told_the_form(target, tmp_path):
    assert refuse("inspect", target, cwd=tmp_path) == f"{target}: no file has this name; a server is written host:port"


def test_a_port_without_tls_is_named():
    listener = raw.Listener()
    address = raw.format_address(listener.address)
    with subprocess.Popen([BINARY, "pki", "inspect", address], stderr=subprocess.PIPE, text=True) as process:
        peer = listener.accept()
        assert peer.recv(65536)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert process.communicate()[1] == f"husk pki: {address}: the TLS handshake failed: the port does not speak TLS\n"


def test_names_of_others_do_not_write_to_the_terminal(tmp_path):
    """Escape sequences, a line end, a NUL byte and a character that turns the direction of the text."""
    name = b"a\x1b[31m\nb\0c"
    san = bytes([0x30, len(name) + 2, 0x82, len(name)]) + name
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-utf8", "-subj", "/CN=x\u202ey\u009b1m",
            "-addext", f"subjectAltName=DER:{san.hex()}", "-out", tmp_path / "a.pem")
    text = succeed("inspect", tmp_path / "a.pem")
    assert "  certificate CN=x?y?1m" in text and "    names      DNS:a?[31m?b?c\n" in text
    ((item,),) = items(tmp_path / "a.pem").values()
    assert item["subject"] == "CN=x?y?1m" and item["names"] == "DNS:a?[31m?b?c"
    succeed("init", tmp_path / "made")
    error = refuse("revoke", tmp_path / "a.pem", "--dir", tmp_path / "made")
    assert "\x1b" not in error and "\u202e" not in error


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_output_that_cannot_be_written_is_a_failure(made, options):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([BINARY, "pki", "inspect", made, *options], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and result.stderr == "husk pki: the output cannot be written\n"
