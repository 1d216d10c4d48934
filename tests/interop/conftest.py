"""One site for all interop tests: a Fluentd aggregator, several husks in front of it, a Fluentd agent."""

import collections
import types

import pytest

from support.fluentd import Agent, Aggregator, security, source, tls_transport
from support.husk import Launcher
from support.own_network import pytest_configure  # noqa: F401
from support.pki import SeedPki
from support.process import Programs
from support.raw import HOST, free_address

SHARED_KEY = "shared1234"
COUNT = 100  # events per path
ACK = "require_ack_response true\n ack_response_timeout 60s"


@pytest.fixture(scope="session")
def seed(tmp_path_factory):
    return SeedPki(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="session", params=["tcp", "forward"])
def site(request, pki, seed, tmp_path_factory):
    """The programs stop in the direction of the events. Then every event has arrived, and all are counted again."""
    programs = Programs()
    directory = tmp_path_factory.mktemp("site")
    made = types.SimpleNamespace(expected=collections.Counter(), count=COUNT)
    try:
        start_aggregator(made, programs, directory, seed)
        start_husks(made, Launcher(pki, programs), seed, request.param)
        made.aggregator.wait_started()
        start_agent(made, programs, directory, seed)
        made.agent.wait_started()
        yield made
        for program in (made.agent, *vars(made.husks).values()):
            assert not program.problems(), f"{program.name} logged a warning or an error\n{program.tail()}"
        for program in (made.agent, *vars(made.husks).values(), made.aggregator):
            program.stop()
        for tag, count in made.expected.items():
            assert sorted(made.aggregator.numbers(tag)) == list(range(count)), f"{tag}: each event must arrive once"
    finally:
        programs.stop()


def start_aggregator(site, programs, directory, seed):
    site.plain, site.tls, site.tls_shared_key = free_address(), free_address(), free_address()
    transport = tls_transport(seed.ca, seed.server, """
          %s
          private_key_passphrase "#{ENV["TLS_PRIVATE_KEY_PASSPHRASE"]}"
    """)

    site.aggregator = programs.add(Aggregator(
        directory,
        source(site.plain) + source(site.tls, transport % "min_version TLS1_2\nmax_version TLS1_3")
        + source(site.tls_shared_key, security(SHARED_KEY) + transport % "version TLSv1_2"),
        {"TLS_PRIVATE_KEY_PASSPHRASE": SeedPki.PASSPHRASES["server"]}))


def start_husks(site, launcher, seed, protocol):
    def seed_files(which, name):
        return dict(certificate=which, ca=seed.ca, key_passphrase_env="PASSPHRASE",
                    env={"PASSPHRASE": SeedPki.PASSPHRASES[name]})

    client_files = dict(seed_files(seed.client, "client"), server_name="server", allow_cn_as_name=True)

    def text_of(address):
        return f"{address[0]}:{address[1]}"

    husks = site.husks = types.SimpleNamespace()
    protocol_options = {"protocol": protocol}
    husks.server = launcher.server(text_of(site.plain), **protocol_options)
    husks.client = launcher.client(husks.server, **protocol_options)
    husks.seed_server = launcher.server(text_of(site.plain), **protocol_options, **seed_files(seed.server, "server"))
    husks.seed_client = launcher.client(husks.seed_server, **protocol_options, **client_files)
    husks.to_tls = launcher.client(text_of(site.tls), **protocol_options, **client_files)
    # With tcp, agent and aggregator authenticate each other. With forward, husk does it with each of them.
    if protocol == "forward":
        protocol_options.update(shared_key_env="SHARED_KEY", accept_key_env="SHARED_KEY")
        client_files["env"] = {**client_files["env"], "SHARED_KEY": SHARED_KEY}
    husks.to_tls_shared_key = launcher.client(text_of(site.tls_shared_key), **protocol_options, **client_files)


def start_agent(site, programs, directory, seed):
    def server(husk, more=""):
        return f"""
            <server>
              host {HOST}
              port {husk.address[1]}
              {more}
            </server>
        """

    husks = site.husks
    shared_key = security(SHARED_KEY, "agent")
    tls = f"""
        transport tls
        tls_cert_path {seed.ca}
        tls_client_cert_path {seed.client.cert}
        tls_client_private_key_path {seed.client.key}
        tls_client_private_key_passphrase "#{{ENV["TLS_PRIVATE_KEY_PASSPHRASE"]}}"
    """
    outputs = {
        "plain": server(husks.client),
        "ack": server(husks.client) + ACK,
        "gzip": server(husks.client) + ACK + "\ncompress gzip",
        "keepalive": server(husks.client) + "keepalive true",
        "keepalive-ack": server(husks.client) + "keepalive true\n" + ACK,
        "seed-ack": server(husks.seed_client) + ACK,
        "client-half": server(husks.to_tls),
        "client-half-ack": server(husks.to_tls) + ACK,
        "client-half-shared-key": server(husks.to_tls_shared_key) + shared_key,
        "client-half-shared-key-ack": server(husks.to_tls_shared_key) + shared_key + ACK,
        "server-half": server(husks.seed_server, "name server") + tls,
        "server-half-ack": server(husks.seed_server, "name server") + tls + ACK,
        "server-half-tls13": server(husks.seed_server, "name server") + tls + "tls_version TLSv1_3",
        "server-half-tls13-keepalive-ack":
            server(husks.seed_server, "name server") + tls + "tls_version TLSv1_3\nkeepalive true\n" + ACK,
    }
    site.expected.update(dict.fromkeys(outputs, COUNT))
    site.agent = programs.add(Agent(directory, outputs, COUNT,
                                    {"TLS_PRIVATE_KEY_PASSPHRASE": SeedPki.PASSPHRASES["client"]}))
