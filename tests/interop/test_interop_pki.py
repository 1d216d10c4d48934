"""The seed's flow with openssl steps replaced one by one by `husk pki --profile seed`: each of the 32 mixtures carries
events in both directions, from husk to Fluentd's TLS input and from Fluentd's TLS output to husk."""

import subprocess
import types

import pytest
import yaml

from support import seed_steps
from support.fluentd import Agent, Aggregator, tls_transport
from support.husk import BINARY, Launcher
from support.pki import Certificate, SeedPki
from support.process import Programs
from support.raw import HOST, format_address, free_address
from support.seed_steps import MIXTURES, SECRETS

COUNT = 25
ACK = "require_ack_response true\n ack_response_timeout 30s\n heartbeat_type none"


def files_of(directory, role):
    return Certificate(str(directory / f"certs/{role}.crt.pem"), str(directory / f"private/{role}.key.pem"))


@pytest.fixture(scope="module")
def mixed(seed, tmp_path_factory):
    """mixture → its directory, the address of its TLS input, and the addresses of its two routes of husk."""
    top = tmp_path_factory.mktemp("mixed")
    ours = top / "ours"
    seed_steps.init(ours)
    for role in ("server", "client"):
        seed_steps.Husk.request(ours, role)
    keys = {"h": ours, "o": seed.directory}
    return {"".join(mixture): types.SimpleNamespace(
        directory=seed_steps.make(top / "".join(mixture), mixture, keys),
        tls=free_address(), client=free_address(), server=free_address()) for mixture in MIXTURES}


def aggregator_config(mixed, plain):
    text = f"<source>\n@type forward\nbind {plain[0]}\nport {plain[1]}\n</source>\n"
    for one in mixed.values():
        transport = tls_transport(one.directory / "certs/ca.crt.pem", files_of(one.directory, "server"),
                                  'min_version TLS1_2\nmax_version TLS1_3\nprivate_key_passphrase "#{ENV["TLS_PRIVATE_KEY_PASSPHRASE"]}"')
        text += f"<source>\n@type forward\nbind {one.tls[0]}\nport {one.tls[1]}\n{transport}</source>\n"
    return text


def routes(mixed, plain):
    def side(one, role, **more):
        made = files_of(one.directory, role)
        return {"cert": made.cert, "key": made.key, "ca": str(one.directory / "certs/ca.crt.pem"),
                "key_passphrase_env": role.upper(), **more}
    for name, one in mixed.items():
        yield {"name": f"client-{name}", "listen": format_address(one.client), "upstreams": format_address(one.tls),
               "tls": {"upstream": side(one, "client", server_name="server", allow_cn_as_name=True)}}
        yield {"name": f"server-{name}", "listen": format_address(one.server), "upstreams": format_address(plain),
               "tls": {"downstream": side(one, "server")}, "allow": {"cn": "client"}}


def outputs(mixed):
    """tag → the section of an out_forward."""
    found = {}
    for name, one in mixed.items():
        made = files_of(one.directory, "client")
        found[f"server.{name}"] = f"""
            <server>
              name server
              host {HOST}
              port {one.server[1]}
            </server>
            {ACK}
            transport tls
            tls_cert_path {one.directory}/certs/ca.crt.pem
            tls_client_cert_path {made.cert}
            tls_client_private_key_path {made.key}
            tls_client_private_key_passphrase "#{{ENV["TLS_PRIVATE_KEY_PASSPHRASE"]}}"
        """
    return found


@pytest.fixture(scope="module")
def site(mixed, pki, tmp_path_factory):
    """One aggregator with an input for each mixture, and one husk with two routes for each."""
    directory = tmp_path_factory.mktemp("site")
    programs = Programs()
    plain = free_address()
    made = types.SimpleNamespace()
    try:
        made.aggregator = programs.add(Aggregator(directory, aggregator_config(mixed, plain),
                                                  {"TLS_PRIVATE_KEY_PASSPHRASE": SeedPki.PASSPHRASES["server"]}))
        made.aggregator.wait_started()
        path = directory / "husk.yaml"
        path.write_text(yaml.safe_dump({
            "admin": {"listen": "off"}, "log": {"format": "json"},
            "routes": list(routes(mixed, plain))}))
        made.husk = Launcher(pki, programs).run(path, count=2 * len(mixed), env=SECRETS)
        made.programs = programs
        yield made
    finally:
        programs.stop()


def test_every_mixture_carries_events_to_fluentd(site, mixed):
    events = "".join(f'{{"n":{number}}}\n' for number in range(COUNT))
    for name, one in mixed.items():
        tag = f"client.{name}"
        sent = subprocess.run([BINARY, "send", "--to", format_address(one.client), "--tag", tag, "--ack", "--batch",
                               str(COUNT), "--timeout", "1m"], input=events, capture_output=True, text=True)
        assert sent.returncode == 0, (name, sent.stderr, site.husk.tail())
        site.aggregator.wait_for(tag, COUNT)
        assert site.aggregator.numbers(tag) == list(range(COUNT)), tag
    assert not site.husk.problems()


@pytest.mark.parametrize("part", range(4))
def test_every_mixture_carries_events_from_fluentd(site, mixed, part, tmp_path):
    """A part of the mixtures: a Fluentd with an output for each would need all of a slow machine."""
    chosen = dict(list(mixed.items())[part::4])
    agent = site.programs.add(Agent(tmp_path, outputs(chosen), COUNT,
                                    {"TLS_PRIVATE_KEY_PASSPHRASE": SeedPki.PASSPHRASES["client"]}))
    for name in chosen:
        tag = f"server.{name}"
        site.aggregator.wait_for(tag, COUNT)
        agent.wait_for_acks(tag)
        assert sorted(site.aggregator.numbers(tag)) == list(range(COUNT)), tag
    assert not site.husk.problems() and not agent.problems()
    agent.stop()
