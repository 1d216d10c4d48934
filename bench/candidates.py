"""The candidates: how each client half and each server half is started.

All candidates have the same certificates, verify the peer's certificate, and use TLS 1.3 with AES-128-GCM. Otherwise
they run as packaged: the settings below are only those that mutual authentication, many connections and a fair
comparison need.
"""

import dataclasses
import os
import pathlib
import shutil
import typing

from programs import HOST

CIPHER = "TLS_AES_128_GCM_SHA256"


@dataclasses.dataclass(frozen=True)
class Site:
    """The parameters of one half."""

    build: pathlib.Path  # contains husk and the floor
    pki: pathlib.Path
    directory: pathlib.Path  # for files that this half needs
    listen: int
    upstream: int
    workers: int
    connections: int  # the half must accept so many

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path


@dataclasses.dataclass(frozen=True)
class Candidate:
    name: str
    kind: str  # "husk", "peer" or "floor"
    client: typing.Callable  # Site → arguments
    server: typing.Callable
    needs: tuple = ()  # commands that it runs
    halves: tuple = ("client", "server")  # halves of which figures are reported
    environment: typing.Callable = staticmethod(lambda site: {})
    share: float = 1  # of a stream's bytes: a slow candidate gets less than 1

    def missing(self):
        return [command for command in self.needs if not shutil.which(command)]


# ---- husk -------------------------------------------------------------------------------------------------------


def _husk(mode, name, *protocol):
    own = ("--allow-cn", "client") if mode == "server" else ("--server-name", "localhost")

    def start(site):
        return [site.build / "husk", mode, "--listen", f"{HOST}:{site.listen}", "--upstream",
                f"{HOST}:{site.upstream}", "--cert", site.pki / f"{name}.crt.pem", "--key",
                site.pki / f"{name}.key.pem", "--ca", site.pki / "ca.crt.pem", "--admin", f"{HOST}:0",
                "--workers", site.workers, "--max-connections", max(10000, site.connections),
                "--drain-timeout", "0s", *own, *protocol]

    return start


def husk_client(*protocol):
    return _husk("client", "client", *protocol)


def husk_server(*protocol):
    return _husk("server", "server", *protocol)


FORWARD = ("--protocol", "forward")
PASSTHROUGH = (*FORWARD, "--delivery", "passthrough")
TCP = ("--protocol", "tcp")


# ---- the floor --------------------------------------------------------------------------------------------------


def _floor(role):
    return lambda site: [site.build / "bench/load/floor", role, site.listen, site.upstream]


# ---- peers ------------------------------------------------------------------------------------------------------


def _stunnel(role):
    def start(site):
        who, check = ("client", "client = yes\nverifyChain = yes\ncheckHost = localhost") if role == "client" else \
                     ("server", "client = no\nverifyChain = yes\nrequireCert = yes")
        return ["stunnel", site.write(f"stunnel-{role}.conf", f"""\
foreground = yes
syslog = no
debug = err
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
accept = {HOST}:{site.listen}
connect = {HOST}:{site.upstream}
cert = {site.pki}/{who}.crt.pem
key = {site.pki}/{who}.key.pem
CAfile = {site.pki}/ca.crt.pem
sslVersionMin = TLSv1.3
ciphersuites = {CIPHER}
{check}
""")]

    return start


def _haproxy(role):
    def start(site):
        who = _combined(site, role)
        tls = f"crt {who} ca-file {site.pki}/ca.crt.pem verify required ssl-min-ver TLSv1.3 ciphersuites {CIPHER}"
        listen, upstream = f"bind {HOST}:{site.listen}", f"server upstream {HOST}:{site.upstream}"
        if role == "client":
            upstream += f" ssl {tls} verifyhost localhost sni str(localhost)"
        else:
            listen += f" ssl {tls}"
        return ["haproxy", "-db", "-q", "-f", site.write(f"haproxy-{role}.cfg", f"""\
global
    maxconn {site.connections + 50}
    nbthread {site.workers}
defaults
    mode tcp
    timeout connect 30s
    timeout client 1h
    timeout server 1h
listen bench
    {listen}
    {upstream}
""")]

    return start


def _nginx(role):
    def start(site):
        if role == "client":
            listen, tls = f"{HOST}:{site.listen}", f"""\
        proxy_ssl on;
        proxy_ssl_certificate {site.pki}/client.crt.pem;
        proxy_ssl_certificate_key {site.pki}/client.key.pem;
        proxy_ssl_trusted_certificate {site.pki}/ca.crt.pem;
        proxy_ssl_verify on;
        proxy_ssl_name localhost;
        proxy_ssl_server_name on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_conf_command Ciphersuites {CIPHER};"""
        else:
            listen, tls = f"{HOST}:{site.listen} ssl", f"""\
        ssl_certificate {site.pki}/server.crt.pem;
        ssl_certificate_key {site.pki}/server.key.pem;
        ssl_client_certificate {site.pki}/ca.crt.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {CIPHER};"""
        config = site.write(f"nginx-{role}.conf", f"""\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid {site.directory}/nginx-{role}.pid;
worker_processes {site.workers};
events {{
    worker_connections {2 * site.connections + 100};
}}
stream {{
    server {{
        listen {listen}{" reuseport" if site.workers > 1 else ""} backlog=4096;
        proxy_pass {HOST}:{site.upstream};
        proxy_timeout 1h;
{tls}
    }}
}}
""")
        return ["nginx", "-p", site.directory, "-e", "stderr", "-c", config]

    return start


def _hitch_server(site):
    config = site.write("hitch.conf", f"""\
frontend = "[{HOST}]:{site.listen}"
backend = "[{HOST}]:{site.upstream}"
pem-file = "{_combined(site, "server")}"
client-verify = required
client-verify-ca = "{site.pki}/ca.crt.pem"
tls-protos = TLSv1.3
ciphersuites = "{CIPHER}"
workers = {site.workers}
backlog = 4096
daemon = off
quiet = on
{'user = "nobody"' if os.geteuid() == 0 else ""}
""")
    return ["hitch", f"--config={config}"]


def _ghostunnel(role):
    def start(site):
        tls = ["--cert", site.pki / f"{role}.crt.pem", "--key", site.pki / f"{role}.key.pem", "--cacert",
               site.pki / "ca.crt.pem", "--quiet", "all"]
        if role == "client":
            return ["ghostunnel", "client", "--listen", f"{HOST}:{site.listen}", "--target",
                    f"{HOST}:{site.upstream}", "--override-server-name", "localhost", *tls]
        return ["ghostunnel", "server", "--listen", f"{HOST}:{site.listen}", "--target", f"{HOST}:{site.upstream}",
                "--allow-cn", "client", *tls]

    return start


def _fluent_bit(role):
    def tls(site, who):
        return ["tls=on", "tls.verify=on", f"tls.ca_file={site.pki}/ca.crt.pem",
                f"tls.crt_file={site.pki}/{who}.crt.pem", f"tls.key_file={site.pki}/{who}.key.pem"]

    def start(site):
        inlet = [f"listen={HOST}", f"port={site.listen}"]
        outlet = [f"host={HOST}", f"port={site.upstream}", "retain_metadata_in_forward_mode=false"]
        if role == "client":
            outlet += [*tls(site, "client"), "tls.vhost=localhost"]
        else:
            inlet += [*tls(site, "server"), "tls.verify_client_cert=on"]
        return ["fluent-bit", "-q", "-f", "0.1", "-i", "forward", *_properties(inlet), "-o", "forward", "-m", "*",
                *_properties(outlet)]

    return start


def _properties(pairs):
    return [word for pair in pairs for word in ("-p", pair)]


def _combined(site, who):
    """Writes certificate and key into one file, which some candidates need."""
    path = site.directory / f"{who}.pem"
    path.touch(mode=0o600)
    path.write_text((site.pki / f"{who}.crt.pem").read_text() + (site.pki / f"{who}.key.pem").read_text())
    return path


def _go_threads(site):
    return {"GOMAXPROCS": str(site.workers)}


ALL = [
    Candidate("floor", "floor", _floor("seal"), _floor("open")),
    Candidate("husk", "husk", husk_client(*FORWARD), husk_server(*FORWARD)),
    Candidate("husk-passthrough", "husk", husk_client(*PASSTHROUGH), husk_server(*PASSTHROUGH)),
    Candidate("husk-tcp", "husk", husk_client(*TCP), husk_server(*TCP)),
    # One TLS connection for each agent, as from agents that speak TLS themselves, to a forward server.
    Candidate("husk-many-tls", "husk", husk_client(*TCP), husk_server(*FORWARD), halves=("server",)),
    Candidate("stunnel", "peer", _stunnel("client"), _stunnel("server"), ("stunnel",)),
    Candidate("haproxy", "peer", _haproxy("client"), _haproxy("server"), ("haproxy",)),
    Candidate("nginx", "peer", _nginx("client"), _nginx("server"), ("nginx",)),
    Candidate("hitch", "peer", husk_client(*TCP), _hitch_server, ("hitch",), ("server",)),
    Candidate("ghostunnel", "peer", _ghostunnel("client"), _ghostunnel("server"), ("ghostunnel",),
              environment=_go_threads),
    Candidate("fluent-bit", "peer", _fluent_bit("client"), _fluent_bit("server"), ("fluent-bit",),
              share=0.05),
]
