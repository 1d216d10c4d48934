"""Where certificate, key and CAs come from: a directory (--credentials), a PKCS#12 file (--keystore), the system."""

import base64
import os
import shutil
import subprocess

import pytest
import yaml

from support import config_file, raw
from support.forward import Agent, Aggregator, carry_acked, event
from support.husk import BINARY, flags, run
from support.husk_pki import succeed
from support.pki import openssl

NO_FILES = {"cert": None, "key": None, "ca": None}
PASSPHRASE = "öffne mich"
# certificate, key and CAs; * is the role
LAYOUTS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key", "ca.crt"),
    "spiffe-helper": ("svid.pem", "svid_key.pem", "svid_bundle.pem"),
    "husk pki": ("*.crt.pem", "*.key.pem", "ca.crt.pem"),
    "husk pki --profile seed": ("certs/*.crt.pem", "private/*.key.pem", "certs/ca.crt.pem"),
}


@pytest.fixture
def fill(tmp_path, pki):
    """Makes a directory with the files of a layout for a role."""
    def make(layout, role, certificate=None):
        directory = tmp_path / role
        for name, source in zip(LAYOUTS[layout], (*(certificate or getattr(pki, role)), pki.ca.cert)):
            path = directory / name.replace("*", role)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path)
        return directory
    return make


@pytest.fixture
def store(tmp_path, pki):
    """Makes a PKCS#12 file of a role with these options of openssl. It has no CA."""
    def make(role, *options, passphrase=PASSPHRASE):
        certificate, path = getattr(pki, role), tmp_path / f"{role}.p12"
        openssl("pkcs12", "-export", "-in", certificate.cert, "-inkey", certificate.key, "-out", path, "-passout",
                "env:PASSPHRASE", *options, env={"PASSPHRASE": passphrase})
        return path
    return make


@pytest.fixture
def secret(tmp_path):
    """A file with the passphrase."""
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def joined(husk):
    """Sends a message through husk client and husk server with these options of each."""
    def carry(client, server):
        aggregator = Aggregator()
        far = husk.server(aggregator, **{**NO_FILES, **server})
        near = husk.client(far, **{**NO_FILES, **client})
        carry_acked(Agent(raw.connect(near.address)), 1, "chunk")
        assert not near.problems() and not far.problems()
        return near, far
    return carry


def start_fault(husk, mode, env=None, **options):
    """The one line of a start that fails."""
    given = {"log_format": None, **options}
    words = husk.options("localhost:1", husk.pki.client, **{**NO_FILES, **given})
    if mode == "server":
        words["allow_any"] = True
    result = run(mode, *flags(**words), env=env)
    assert result.returncode in (1, 2) and not result.stdout, result
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


# ---- a directory ----

@pytest.mark.parametrize("layout", LAYOUTS)
def test_husk_takes_the_files_of_each_layout_and_says_which(joined, fill, layout):
    client, server = joined({"credentials": fill(layout, "client")}, {"credentials": fill(layout, "server")})
    for husk in (client, server):
        assert husk.wait_for_event(message="credentials of a directory")["layout"] == layout


def test_what_husk_pki_makes_is_a_directory_for_both_roles(joined, tmp_path):
    succeed("init", tmp_path / "pki")
    joined({"credentials": tmp_path / "pki"}, {"credentials": tmp_path / "pki", "allow_cn": "client"})


@pytest.mark.parametrize("layout", ["seed", "tls"])
def test_a_mounted_secret_of_husk_pki_is_a_directory(joined, tmp_path, layout):
    """The encrypted key of the layout seed has its passphrase beside it, for the client, too, as server.key.passphrase."""
    environment = {"KEY": "1234", "SHARED": "shared"}
    succeed("init", tmp_path / "pki", "--key-passphrase-env", "KEY", env=environment)
    for name in ("client", "server"):
        (tmp_path / name).mkdir()
        manifest = succeed("secret", name, "--dir", tmp_path / "pki", "--layout", layout, "--key-passphrase-env", "KEY",
                           *(("--shared-key-env", "SHARED") if layout == "seed" else ()), env=environment)
        for file, value in yaml.safe_load(manifest)["data"].items():
            path = tmp_path / name / file
            path.write_bytes(base64.b64decode(value))
            path.chmod(0o600)
    joined({"credentials": tmp_path / "client"}, {"credentials": tmp_path / "server"})


def test_each_side_of_a_file_has_its_directory(husk, fill, tmp_path, pki):
    aggregator = Aggregator()
    far = husk.server(aggregator, **NO_FILES, credentials=fill("kubernetes.io/tls", "server"))
    shutil.copytree(tmp_path / "server", tmp_path / "near")
    config_file.write(tmp_path / "husk.yaml", {
        "name": "both", "listen": "127.0.0.1:0", "upstreams": raw.format_address(far.address),
        "tls": {"downstream": {"credentials": str(tmp_path / "near")},
                "upstream": {"credentials": str(fill("spiffe-helper", "client"))}}, "allow": {"cn": "client"}})
    both = husk.run(tmp_path / "husk.yaml")
    agent = Agent(raw.connect_tls(config_file.address_of(both, "both"), pki.ca.cert, pki.client))
    carry_acked(agent, 1, "chunk")


def test_a_symbolic_link_to_nothing_is_named(husk, fill):
    directory = fill("kubernetes.io/tls", "client")
    (directory / "tls.key").unlink()
    (directory / "tls.key").symlink_to("..data/tls.key")
    line = start_fault(husk, "client", credentials=directory)
    assert f"{directory}/tls.key: a symbolic link to a file that does not exist" in line


def run_with_rights_of_files(*command, **options):
    """Runs husk so that it obeys the mode of a file, even if root runs the test."""
    setpriv = shutil.which("setpriv")
    if os.getuid() == 0 and not setpriv:
        pytest.skip("root may read everything")
    rights = "-dac_override,-dac_read_search"
    without = [setpriv, f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.getuid() == 0 else []
    return subprocess.run([*without, BINARY, *command, *flags(listen="127.0.0.1:0", upstream="localhost:1", **options)],
                          capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("mode, lacks, words", [
    (0o000, None, "Permission denied"),
    (0o100, "ca.crt", "lacks ca.crt of the layout kubernetes.io/tls (--ca can name another file); the directory has: Permission denied")])
def test_a_directory_without_rights_is_told(husk, fill, mode, lacks, words):
    directory = fill("kubernetes.io/tls", "client")
    if lacks:
        (directory / lacks).unlink()
    directory.chmod(mode)
    try:
        result = run_with_rights_of_files("client", credentials=directory)
    finally:
        directory.chmod(0o700)
    assert result.returncode == 1 and f"{directory}: {words}" in result.stderr, result


@pytest.mark.parametrize("command", [("client",), ("check", "client")])
@pytest.mark.parametrize("file", ["tls.crt", "tls.key", "ca.crt"])
def test_a_file_without_rights_is_told_with_the_rights_and_the_user_of_husk(fill, command, file):
    directory = fill("kubernetes.io/tls", "client")
    (directory / file).chmod(0o040)
    result = run_with_rights_of_files(*command, credentials=directory)
    user, group = os.getuid(), os.getgid()
    assert result.returncode == 1 and (
        f"{directory}/{file}: Permission denied: husk runs as user {user} and group {group}, the file is of user {user} and "
        f"group {group} with mode 0040: let a group of husk read the file") in " ".join((result.stdout + result.stderr).split()), result


def test_a_directory_that_husk_may_not_enter_is_told_with_the_user_of_husk(fill):
    directory = fill("kubernetes.io/tls", "client")
    directory.chmod(0o600)
    try:
        result = run_with_rights_of_files("client", cert=directory / "tls.crt", key=directory / "tls.key", ca=directory / "ca.crt")
    finally:
        directory.chmod(0o700)
    assert result.returncode == 1 and (
        f"Permission denied: husk runs as user {os.getuid()} and group {os.getgid()}: let a group of husk enter each directory of "
        "the path") in result.stderr, result


@pytest.mark.parametrize("files, words", [
    ((), ("holds no certificate under a known name", "the directory has: nothing")),
    (("tls.crt", "ca.crt"), ("lacks tls.key of the layout kubernetes.io/tls", "the directory has: ca.crt, tls.crt")),
    (("tls.crt", "tls.key"), ("lacks ca.crt", "--ca can name another file")),
    (("tls.crt", "tls.key", "ca.crt", "svid.pem"), ("files of two kinds, tls.crt and svid.pem",)),
])
def test_a_directory_that_cannot_be_used_has_one_line(husk, tmp_path, files, words):
    directory = tmp_path / "directory"
    directory.mkdir()
    for file in files:
        (directory / file).touch()
    line = start_fault(husk, "client", credentials=directory)
    assert str(directory) in line and all(word in line for word in words), line


@pytest.mark.parametrize("options, words", [
    ({"cert": "c"}, "--cert: cannot be combined with --credentials"),
    ({"key": "k"}, "--key: cannot be combined with --credentials"),
    ({"keystore": "p"}, "--keystore: cannot be combined with --credentials"),
    ({"credentials": None, "keystore": "p", "cert": "c", "ca": "a"}, "--cert: cannot be combined with --keystore"),
    ({"credentials": None, "keystore": "p"}, "--ca: is required"),
    ({"credentials": ""}, "--credentials"),
])
@pytest.mark.parametrize("mode", ["client", "server"])
def test_settings_that_contradict_each_other_have_one_line(husk, mode, options, words):
    assert words in start_fault(husk, mode, **{"credentials": "d", **options})


def test_other_settings_replace_the_cas_and_the_passphrase(joined, fill, pki, tmp_path, secret):
    locked = pki.locked(pki.client, PASSPHRASE, "pkcs8")
    client = fill("husk pki", "client", locked)
    (client / "client.key.passphrase").write_text("wrong")
    (client / "ca.crt.pem").unlink()
    joined({"credentials": client, "ca": pki.ca.cert, "key_passphrase_file": secret},
           {"credentials": fill("kubernetes.io/tls", "server")})


# ---- PKCS#12 ----

@pytest.mark.parametrize("options", [
    (),  # OpenSSL 3: PBES2 with AES-256-CBC, MAC with SHA-256
    ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"),  # what older programs write
    ("-keypbe", "AES-128-CBC", "-certpbe", "NONE"),
    ("-name", "a friendly name", "-caname", "another"),
], ids=["modern", "old", "mixed", "named"])
def test_a_pkcs12_file_is_certificate_and_key(joined, store, pki, secret, options):
    joined({"keystore": store("client", *options), "ca": pki.ca.cert, "key_passphrase_file": secret},
           {"keystore": store("server", *options), "ca": pki.ca.cert, "key_passphrase_file": secret})


def test_a_pkcs12_file_with_the_empty_password_needs_no_passphrase(joined, store, pki):
    joined({"keystore": store("client", passphrase=""), "ca": pki.ca.cert},
           {"keystore": store("server", passphrase=""), "ca": pki.ca.cert})


def test_the_intermediates_of_a_pkcs12_file_are_shown_in_their_order(joined, tmp_path, secret):
    """husk pki export-p12 puts the root into the file, too."""
    succeed("init", tmp_path / "pki")
    for name in ("client", "server"):
        succeed("export-p12", name, "--dir", tmp_path / "pki", "--p12-passphrase-file", secret, "--out",
                tmp_path / f"{name}.p12")
    joined(*({"keystore": tmp_path / f"{name}.p12", "ca": tmp_path / "pki" / "ca.crt.pem", "key_passphrase_file": secret}
             for name in ("client", "server")))


def test_a_pkcs12_file_that_cannot_be_used_has_one_line(husk, store, pki, tmp_path, secret):
    path = store("client")
    secret.write_text("wrong")
    ca = {"ca": pki.ca.cert}
    assert "client.p12: the passphrase does not open the PKCS#12 file" in start_fault(
        husk, "client", keystore=path, key_passphrase_file=secret, **ca)
    assert "client.p12: the PKCS#12 file has a password: give it with" in start_fault(
        husk, "client", keystore=path, **ca)
    assert "is PEM, not PKCS#12: give it with --cert and --key" in start_fault(
        husk, "client", keystore=pki.client.cert, **ca)
    assert "none.p12: No such file or directory" in start_fault(husk, "client", keystore=tmp_path / "none.p12", **ca)


# ---- keys in other forms: the line has the command that converts ----

def command_of(line, program):
    """The command in the line, up to the name of the new file."""
    words = line[line.index(program + " "):].split()
    return words[:next(i for i, word in enumerate(words) if word.startswith("NEW")) + 1 if "NEW" in line else len(words)]


def answer(words, directory, prompts=()):
    """Runs the command as a user does, who types the passphrase at each prompt."""
    given = []
    if words[1] == "pkcs8":
        given = ["-passin", f"pass:{PASSPHRASE}", "-passout", f"pass:{PASSPHRASE}"]
    elif words[1] == "pkcs12" and "-nokeys" in words:
        given = ["-passin", f"pass:{PASSPHRASE}"]
    elif words[1] == "pkcs12" and "-twopass" not in words:
        given = ["-passin", f"pass:{PASSPHRASE}", "-passout", f"pass:{PASSPHRASE}"]
    words = [str(word).rstrip(",;") for word in words]
    subprocess.run([*words, *given], cwd=directory, check=True, capture_output=True, text=True, start_new_session=True,
                   input="".join(f"{each}\n" for each in prompts))


@pytest.mark.parametrize("form", [("-scrypt",), ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"),
                                  ("-v2", "camellia-256-cbc")], ids=["scrypt", "sha512", "camellia"])
def test_the_command_in_the_line_converts_an_encrypted_key(husk, pki, tmp_path, secret, form):
    openssl("pkcs8", "-topk8", *form, "-in", pki.client.key, "-passout", f"pass:{PASSPHRASE}", "-out",
            tmp_path / "strange.pem")
    options = {"cert": pki.client.cert, "ca": pki.ca.cert, "key_passphrase_file": secret}
    answer(command_of(start_fault(husk, "client", key=tmp_path / "strange.pem", **options), "openssl"), tmp_path)
    husk.client("localhost:1", **{**options, "key": tmp_path / "NEW.key.pem"})


def test_the_command_in_the_line_converts_a_key_in_der(husk, pki, tmp_path):
    openssl("pkey", "-in", pki.client.key, "-outform", "DER", "-out", tmp_path / "key.der")
    options = {"cert": pki.client.cert, "ca": pki.ca.cert}
    answer(command_of(start_fault(husk, "client", key=tmp_path / "key.der", **options), "openssl"), tmp_path)
    husk.client("localhost:1", **{**options, "key": tmp_path / "NEW.key.pem"})


@pytest.mark.parametrize("form", [("-keypbe", "CAMELLIA-256-CBC", "-certpbe", "CAMELLIA-256-CBC"), ("-nomac",),
                                  ("-keypbe", "CAMELLIA-128-CBC", "-certpbe", "NONE")], ids=["camellia", "no MAC", "key"])
def test_the_command_in_the_line_converts_a_pkcs12_file(husk, store, pki, tmp_path, secret, form):
    path = store("client", *form)
    options = {"ca": pki.ca.cert, "key_passphrase_file": secret}
    answer(command_of(start_fault(husk, "client", keystore=path, **options), "openssl"), tmp_path)
    husk.client("localhost:1", **{**NO_FILES, **options, "cert": tmp_path / "NEW.pem", "key": tmp_path / "NEW.pem"})


def test_the_command_in_the_line_converts_a_pkcs12_file_with_two_passwords(husk, pki, tmp_path, secret):
    """Java may encrypt the key with a password that is not the one of the file."""
    path, options = tmp_path / "client.p12", {"ca": pki.ca.cert, "key_passphrase_file": secret}

    def written():
        answer(["openssl", "pkcs12", "-export", "-twopass", "-in", pki.client.cert, "-inkey", pki.client.key, "-out", path],
               tmp_path, [PASSPHRASE, PASSPHRASE, "other", "other"])
        return start_fault(husk, "client", keystore=path, **options)
    # To one wrong password in 256 what is inside looks damaged: its padding is right by chance.
    line = next(line for line in (written() for _ in range(5)) if "a damaged one" not in line)
    assert "the password of the PKCS#12 file does not decrypt what is inside, which has another password" in line
    answer(command_of(line, "openssl"), tmp_path, [PASSPHRASE, "other", PASSPHRASE, PASSPHRASE])
    husk.client("localhost:1", **{**NO_FILES, **options, "cert": tmp_path / "NEW.pem", "key": tmp_path / "NEW.pem"})


@pytest.mark.parametrize("setting", ["keystore", "ca"])
def test_the_command_in_the_line_takes_the_cas_of_a_truststore(husk, store, pki, tmp_path, secret, setting):
    path = tmp_path / "trust.p12"
    openssl("pkcs12", "-export", "-nokeys", "-in", pki.ca.cert, "-out", path, "-passout", f"pass:{PASSPHRASE}")
    options = {"keystore": store("client"), "ca": pki.ca.cert, "key_passphrase_file": secret}
    line = start_fault(husk, "client", **{**options, setting: path})
    assert (["as a truststore does", "it looks like DER"][setting == "ca"]) in line
    answer(command_of(line[line.index("openssl pkcs12"):], "openssl"), tmp_path)
    husk.client("localhost:1", **{**NO_FILES, **options, "ca": tmp_path / "NEW.pem"})


def test_the_command_in_the_line_converts_a_certificate_in_der(husk, pki, tmp_path):
    openssl("x509", "-in", pki.client.cert, "-outform", "DER", "-out", tmp_path / "cert.der")
    options = {"key": pki.client.key, "ca": pki.ca.cert}
    answer(command_of(start_fault(husk, "client", cert=tmp_path / "cert.der", **options), "openssl"), tmp_path)
    husk.client("localhost:1", **{**options, "cert": tmp_path / "NEW.pem"})


@pytest.mark.parametrize("kind, reason", [
    (["-algorithm", "ed448"], "UNSUPPORTED_ALGORITHM"),
    (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "UNKNOWN_GROUP"),
])
def test_a_key_of_an_unknown_type_or_curve_is_told(husk, pki, tmp_path, secret, kind, reason):
    key, cert, path = tmp_path / "odd.key", tmp_path / "odd.pem", tmp_path / "odd.p12"
    openssl("genpkey", *kind, "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=client", "-out", cert)
    openssl("pkcs12", "-export", "-in", cert, "-inkey", key, "-out", path, "-passout", f"pass:{PASSPHRASE}")
    store_fault = start_fault(husk, "client", keystore=path, ca=pki.ca.cert, key_passphrase_file=secret)
    key_fault = start_fault(husk, "client", cert=cert, key=key, ca=pki.ca.cert)
    assert f"odd.p12: the private key cannot be read: {reason}: it is of a kind or curve that husk" in store_fault
    assert f"odd.key: line 1: the private key cannot be read: {reason}: it is damaged, or of a kind or curve that" in key_fault
    for line in (store_fault, key_fault):
        answer(command_of(line, "openssl"), tmp_path)
    openssl("req", "-x509", "-new", "-key", tmp_path / "NEW.key.pem", "-subj", "/CN=client", "-out", cert)
    husk.client("localhost:1", cert=cert, key=tmp_path / "NEW.key.pem", ca=pki.ca.cert)


def test_a_pkcs12_file_whose_key_fits_no_signature_algorithm_is_named(husk, store, pki, secret):
    line = start_fault(husk, "client", keystore=store("client"), ca=pki.ca.cert, key_passphrase_file=secret,
                       tls_signature_algorithms="ed25519")
    assert "client.p12: no signature algorithm of --tls-signature-algorithms is for a key of this type" in line


def test_a_key_of_openssh_has_the_command_that_converts_it(husk, pki, tmp_path):
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n")
    line = start_fault(husk, "client", key=tmp_path / "key", cert=pki.client.cert, ca=pki.ca.cert)
    assert f"ssh-keygen -p -m PKCS8 -f {tmp_path / 'key'}" in line


# ---- the CAs of the system ----

def test_the_cas_of_the_system_verify_servers(husk, pki):
    aggregator = Aggregator()
    client = husk.client(husk.server(aggregator), ca="system", env={"SSL_CERT_FILE": pki.ca.cert})
    carry_acked(Agent(raw.connect(client.address)), 1, "chunk")
    assert not client.problems()


def test_a_server_of_a_private_ca_is_no_server_of_the_system(husk, pki):
    client = husk.client(husk.server(Aggregator()), ca="system", env={"SSL_CERT_FILE": pki.other_ca.cert})
    Agent(raw.connect(client.address)).send(event(1))
    client.wait_for_event(reason="certificate_unknown_ca")


def test_a_server_warns_of_the_cas_of_the_system(husk, pki):
    server = husk.server(raw.Listener(), ca="system", env={"SSL_CERT_FILE": pki.ca.cert})
    assert "--ca system: every public CA can issue certificates of clients" in server.problem()["message"]


def test_a_file_of_the_system_that_is_missing_is_named(husk, pki):
    line = start_fault(husk, "client", env={"SSL_CERT_FILE": "/none/ca.pem"}, cert=pki.client.cert, key=pki.client.key,
                       ca="system")
    assert "/none/ca.pem: No such file or directory" in line


# ---- husk check, husk config ----

def test_check_judges_the_files_of_a_directory(check, fill):
    directory = fill("kubernetes.io/tls", "client")
    (directory / "fluent.shared.key").write_text("key")
    done = check("client", **NO_FILES, credentials=directory)
    done.expect_good()
    done.expect("ok", f"--credentials {directory}", "the layout is kubernetes.io/tls: husk takes tls.crt, tls.key, ca.crt")
    done.expect("ok", f"--credentials {directory}/tls.key", "the key belongs to the certificate")
    done.expect("note", "the directory has a shared key", "--shared-key-file")


def test_check_names_what_a_directory_lacks(check, fill):
    directory = fill("husk pki", "server")
    (directory / "server.key.pem").unlink()
    check("server", **NO_FILES, credentials=directory).expect_only("problem", f"--credentials {directory}", "lacks server.key.pem")


def test_check_tests_the_handshake_of_a_server_with_a_directory(check, fill, pki):
    done = check("server", **NO_FILES, credentials=fill("spiffe-helper", "server"), client_cert=pki.client.cert,
                 client_key=pki.client.key)
    done.expect_good()


def test_check_judges_a_pkcs12_file(check, store, pki, secret):
    path = store("client")
    options = {**NO_FILES, "keystore": path, "ca": pki.ca.cert}
    done = check("client", **options, key_passphrase_file=secret)
    done.expect_good()
    done.expect("ok", f"--keystore {path}", "the key belongs to the certificate")
    check("client", **options).expect_only(
        "problem", "has a password", f"the file {secret} beside the key has its passphrase")


def test_check_warns_of_the_cas_of_the_system_at_a_server(check, pki, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", pki.ca.cert)
    check("client", ca="system").expect_good()
    check("server", ca="system").expect_only("warning", f"--ca {pki.ca.cert}", "every public CA can issue")


def test_the_effective_configuration_has_the_settings(tmp_path):
    path = config_file.write(tmp_path / "husk.yaml", {
        "name": "a", "listen": "127.0.0.1:1", "upstreams": "b:2",
        "tls": {"upstream": {"credentials": "/etc/tls"}, "downstream": {"keystore": "/etc/a.p12", "ca": "system"}},
        "allow": {"any": True}})
    result = run("config", "--effective", "--config", path)
    assert result.returncode == 0, result
    tls = yaml.safe_load(result.stdout)["routes"][0]["tls"]
    assert tls["upstream"]["credentials"] == "/etc/tls"
    assert tls["downstream"]["keystore"] == "/etc/a.p12" and tls["downstream"]["ca"] == "system"
