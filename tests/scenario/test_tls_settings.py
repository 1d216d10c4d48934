"""Ciphers, groups, signature algorithms and SNI: what husk offers and accepts."""

import pytest

from support import client_hello, raw
from support.config_file import address_of, route, tls
from support.husk import flags, run

AES128, AES256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
GROUPS = {"X25519": 29, "P-256": 23, "P-384": 24, "P-521": 25}


def hello(husk, **options):
    """What husk client offers with these options."""
    listener = raw.Listener()
    client = husk.client(listener, protocol="tcp", **options)
    with raw.connect(client.address):
        return client_hello.of(listener)


# ---- what a client offers ----

def test_the_default_offers_no_weak_cipher_group_or_signature(husk):
    offered = hello(husk)
    assert set(offered.ciphers) >= {0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x1301, 0x1302, 0x1303}
    assert len(offered.ciphers) in (9, 10)  # perhaps with a value of GREASE
    assert [group for group in offered.groups if group in GROUPS.values()] == list(GROUPS.values())
    assert offered.signatures == [0x0403, 0x0807, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0603]
    assert offered.server_name is None  # 127.0.0.1 is no DNS name


@pytest.mark.parametrize("names", [f"{AES256},{AES128}", f"{AES256}:{AES128}", f"{AES256.lower()}, {AES128}",
                                   "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"])
def test_ciphers_have_the_names_of_openssl_and_of_iana(husk, names):
    assert hello(husk, tls_ciphers=names, tls_max="1.2").ciphers[:2] == [0xc02c, 0xc02b]


def test_groups_are_offered_in_the_order_of_the_setting(husk):
    assert hello(husk, tls_groups="secp384r1,P-256,X25519").groups == [24, 23, 29]


def test_signature_algorithms_are_offered_in_the_order_of_the_setting(husk):
    offered = hello(husk, tls_signature_algorithms="RSA-PSS+SHA384,ecdsa_secp256r1_sha256")
    assert offered.signatures == [0x0805, 0x0403]


@pytest.mark.parametrize("options, name", [
    ({"server_name": "logs.example"}, "logs.example"),
    ({"server_name": "logs.example", "sni": "router.example"}, "router.example"),
    ({"sni": "router.example."}, "router.example"),
    ({"server_name": "logs.example", "sni": "off"}, None)])
def test_the_sni_is_the_server_name_or_that_of_the_setting(husk, options, name):
    assert hello(husk, **options).server_name == name


def test_the_sni_does_not_change_which_name_the_certificate_must_carry(husk, pki):
    tunnel = husk.tunnel(client={"sni": "router.example", "server_name": "localhost"})
    raw.carry_both_ways(*tunnel.open())
    other = husk.client(tunnel.server, protocol="tcp", sni="localhost", server_name="elsewhere.example")
    raw.assert_reset(raw.connect(other.address))
    other.wait_for_event(reason="certificate_name", side="upstream")


# ---- what a server accepts ----

def test_the_cipher_that_both_sides_have_is_used(husk):
    tunnel = husk.tunnel(client={"tls_max": "1.2"}, server={"tls_ciphers": AES256})
    raw.carry_both_ways(*tunnel.open())
    assert tunnel.server.metric("husk_tls_ciphers_total", side="downstream", cipher="AES_256_GCM") == 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384", "P-521"])
def test_both_sides_count_the_group_of_the_key_exchange(husk, group, version):
    tunnel = husk.tunnel(client={"tls_min": version, "tls_max": version}, server={"tls_groups": group})
    raw.carry_both_ways(*tunnel.open())
    for one, side in (tunnel.client, "upstream"), (tunnel.server, "downstream"):
        one.wait_for_metric("husk_tls_groups_total", 1, side=side, group=group)
        assert one.metric("husk_tls_groups_total", side=side) == 1


@pytest.mark.parametrize("client, server", [
    ({"tls_ciphers": AES128, "tls_max": "1.2"}, {"tls_ciphers": AES256}),
    ({"tls_groups": "X25519"}, {"tls_groups": "P-256,P-384"}),
    ({"tls_signature_algorithms": "ecdsa_secp384r1_sha384,ecdsa_secp256r1_sha256"},
     {"tls_signature_algorithms": "ecdsa_secp521r1_sha512"})])
def test_two_sides_without_a_common_choice_do_not_connect(husk, pki, client, server):
    if "tls_signature_algorithms" in server:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-nodes")
        server["certificate"] = pki.ca.issue("p521", "server", "serverAuth", "IP:127.0.0.1", new_key=key)
    tunnel = husk.tunnel(client=client, server=server)
    raw.assert_reset(raw.connect(tunnel.client.address))
    tunnel.server.wait_for_event(reason="tls_protocol", side="downstream", level="warn")
    assert not tunnel.upstream.was_dialled()


def test_another_group_of_the_server_is_found_with_a_second_hello(husk):
    """A client sends key shares for its best groups only; the server asks for another one (RFC 8446, 4.1.4)."""
    tunnel = husk.tunnel(client={"tls_groups": "X25519,P-384"}, server={"tls_groups": "P-384"})
    raw.carry_both_ways(*tunnel.open())


# ---- settings that fit nothing ----

def refused(husk, pki, **options):
    """husk client does not start with these options. Returns the exit status and the one line that it says."""
    ended = run("client", *flags(**husk.options("127.0.0.1:1", pki.client, log_format=None, **options)))
    [line] = ended.stderr.splitlines()
    return ended.returncode, line


def test_a_key_that_fits_no_signature_algorithm_is_refused_at_start(husk, pki):
    status, line = refused(husk, pki, tls_signature_algorithms="rsa_pss_rsae_sha256,ed25519")
    assert status == 1 and f"{pki.client.key}: no signature algorithm of --tls-signature-algorithms is for" in line


def test_a_key_on_a_curve_without_signature_algorithm_is_refused_at_start(husk, pki):
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-224", "-nodes")
    for role, usage in (("client", "clientAuth"), ("server", "serverAuth")):
        own = pki.ca.issue(f"p224-{role}", role, usage, "IP:127.0.0.1", new_key=key)
        ended = run(role, *flags(**husk.options("127.0.0.1:1", own, log_format=None)), *["--allow-any"] * (role == "server"))
        assert ended.returncode == 1
        assert f"{own.key}: the certificate has a key on the curve secp224r1, for which TLS has no signature" in ended.stderr


@pytest.mark.parametrize("option, value", [
    ("tls_ciphers", "AES128-SHA"), ("tls_ciphers", "TLS_AES_256_GCM_SHA384"), ("tls_ciphers", "!aNULL"),
    ("tls_groups", "P-224"), ("tls_groups", "X25519:X25519"), ("tls_signature_algorithms", "RSA+SHA1"),
    ("sni", "127.0.0.1"), ("sni", "")])
def test_what_is_weak_or_unknown_is_refused(husk, pki, option, value):
    status, line = refused(husk, pki, **{option: value})
    assert status == 2 and f"--{option.replace('_', '-')}: " in line


@pytest.mark.parametrize("options, words", [
    ({}, "husk speaks TLS 1.2 and TLS 1.3 with the groups "), ({}, "X25519, P-256, P-384, P-521"),
    ({"tls_groups": "secp384r1:X25519", "tls_min": "1.3"}, "husk speaks TLS 1.3 with the groups P-384, X25519")])
def test_the_check_says_what_is_in_force(husk, pki, options, words):
    checked = run("check", "client", *flags(**husk.options("127.0.0.1:1", pki.client, log_format=None, **options)))
    [line] = [line for line in checked.stdout.splitlines() if "--tls-groups" in line]
    assert line.strip().startswith("ok") and words in line


# ---- reload ----

def test_a_reload_of_the_file_changes_the_groups(file, pki):
    listener = raw.Listener()

    def one(groups):
        return route("r", listener, protocol="tcp",
                     tls={"upstream": {**tls(pki.client, pki.ca), "groups": groups}})
    running = file(one(["P-256"]))

    def offered():
        with raw.connect(address_of(running.husk, "r")):
            return client_hello.of(listener).groups
    assert offered() == [23]
    running.change(one(["P-384", "X25519"]))
    assert offered() == [24, 29]
