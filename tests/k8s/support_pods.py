"""Pods of the Kubernetes tests: finds husk in objects, and runs the command
lines of Pods between a scripted agent and a scripted aggregator."""

import base64
import contextlib
import hashlib
import http.client
import socket
import subprocess
import threading
import time

import msgpack
import yaml

from support import raw
from support_k8s import HUSK

SHARED_KEY = b"shared1234"  # of the article


def values_of(node, key):
    """Every value of `key`, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from values_of(each, key)


def husks_in(node):
    """Every container with the name husk, at any depth."""
    if isinstance(node, dict):
        if node.get("name") == "husk" and "image" in node:
            yield node
        for value in node.values():
            yield from husks_in(value)
    elif isinstance(node, list):
        for each in node:
            yield from husks_in(each)


COMMON = ("image", "imagePullPolicy", "startupProbe", "livenessProbe", "readinessProbe", "resources", "securityContext")


def common_of(husk):
    """The fields that every husk in a Pod has in common."""
    return {key: husk[key] for key in COMMON if key in husk}


def unready(common):
    """These fields without a readiness probe: for a client beside an application."""
    return {key: value for key, value in common.items() if key != "readinessProbe"}


# ---- running the command lines -----------------------------------------------------------------------------


def place(arguments, paths, addresses):
    """The arguments of a Pod for this machine: mount points become directories (`paths`: mount point → directory), and
    options get the values of `addresses` (option → value)."""
    placed = []
    for word in arguments:
        name, equals, value = word.partition("=")
        value = addresses.get(name, value)
        for mount, directory in paths.items():
            if value.startswith(mount):
                value = str(directory) + value[len(mount):]
        placed.append(name + equals + value)
    return placed


def write_secret(data, directory, items=None):
    """The files of a mounted Secret, below `directory`: all keys, or those of `items`."""
    files = directory / "files"
    files.mkdir(parents=True)
    for item in items or [{"key": key, "path": key} for key in data]:
        path = files / item["path"]
        path.write_bytes(base64.b64decode(data[item["key"]]))
        path.chmod(0o440)
    return files


def place_file(text, files, directory, listen, upstream):
    """Writes a husk.yaml of a Pod for this machine, with one route. `files` has its credentials. Returns path and admin
    port. The server keeps the name that the file expects."""
    config = yaml.safe_load(text)
    admin_port = raw.free_address()[1]
    config["admin"]["listen"] = f"127.0.0.1:{admin_port}"
    (route,) = config["routes"]
    (tls,) = route["tls"].values()
    assert tls["credentials"] == "/etc/husk/tls"
    tls["credentials"] = str(files)
    if "upstream" in route["tls"]:
        host = route["upstreams"].split(":")[0] if isinstance(route["upstreams"], str) else tls["server_name"]
        upstream = {"address": upstream, "server_name": host}
    route["listen"], route["upstreams"] = listen, upstream
    path = directory / "husk.yaml"
    path.write_text(yaml.safe_dump(config))
    return path, admin_port


class Running:
    """husk with these arguments, whose admin address is 127.0.0.1:admin_port. `directory` gets its log."""

    @classmethod
    def of_pod(cls, arguments, paths, directory, **addresses):
        """husk with the arguments of a Pod: only mount points and addresses differ. `addresses`: option → value."""
        admin_port = raw.free_address()[1]
        options = {f"--{name}": value for name, value in {**addresses, "admin": f"127.0.0.1:{admin_port}"}.items()}
        return cls(place(arguments, paths, options), admin_port, directory)

    def __init__(self, arguments, admin_port, directory):
        self.admin_port = admin_port
        self.log = open(directory / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen([HUSK, *arguments], stdout=self.log, stderr=self.log)

    def probe(self, path, deadline_s=60):
        """Asks until the answer is 200, as a kubelet does."""
        deadline = time.monotonic() + deadline_s
        answer = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"husk ended: {self.read_log()}"
            connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                answer = f"{response.status} {response.read().decode()}"
                if response.status == 200:
                    return
            except OSError as error:
                answer = error
            finally:
                connection.close()
            time.sleep(0.02)
        raise AssertionError(f"{path}: {answer}; {self.read_log()}")

    def read_log(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.log.close()


def read_value(connection, unpacker):
    """The next MessagePack value. None: the connection has ended."""
    while True:
        for value in unpacker:
            return value
        data = connection.recv(65536)
        if not data:
            return None
        unpacker.feed(data)


def key_digest(salt, hostname, nonce):
    return hashlib.sha512(salt + hostname + nonce + SHARED_KEY).hexdigest()


def agent_authenticates(connection, unpacker):
    helo, options = read_value(connection, unpacker)
    nonce = options[b"nonce"]
    assert helo == b"HELO"
    connection.sendall(msgpack.packb(["PING", "node", "salt", key_digest(b"salt", b"node", nonce), "", ""]))
    pong, is_good, reason, hostname, digest = read_value(connection, unpacker)
    assert pong == b"PONG" and is_good, reason
    assert digest.decode() == key_digest(b"salt", hostname, nonce)


def be_agent(connection, message, has_key):
    """Does the shared-key handshake of an agent with a key, sends the message and waits for its ack."""
    unpacker = msgpack.Unpacker(raw=True)
    if has_key:
        agent_authenticates(connection, unpacker)
    connection.sendall(msgpack.packb(message))
    assert read_value(connection, unpacker) == {b"ack": message[-1]["chunk"].encode()}


def aggregator_authenticates(connection, unpacker):
    """False: the peer has ended the connection, as a probe does."""
    connection.sendall(msgpack.packb(["HELO", {"nonce": b"n" * 16, "auth": b"", "keepalive": True}]))
    ping = read_value(connection, unpacker)
    if ping is None:
        return False
    _, hostname, salt, digest, *_ = ping
    assert digest.decode() == key_digest(salt, hostname, b"n" * 16)
    connection.sendall(msgpack.packb(["PONG", True, "", "fluentd", key_digest(salt, b"fluentd", b"n" * 16)]))
    return True


def be_aggregator(connection, has_key):
    """Does the shared-key handshake of an aggregator with a key, and acks one message. Returns it; None: a probe."""
    unpacker = msgpack.Unpacker(raw=True)
    if has_key and not aggregator_authenticates(connection, unpacker):
        return None
    message = read_value(connection, unpacker)
    if message is not None:
        connection.sendall(msgpack.packb({"ack": message[-1][b"chunk"].decode()}))
    return message


def accept_message(aggregator, received, has_key):
    """Accepts connections until one brings a message. husk's probes bring none."""
    while not received:
        connection, _ = aggregator.accept()
        connection.settimeout(60)
        message = be_aggregator(connection, has_key)
        received += [(message, connection)] if message else []


MESSAGE = ["kube.test", [[[1700000000, {"meta": 1}], {"log": "hello"}]], {"chunk": "one"}]
# After --strip-metadata.
STRIPPED = [b"kube.test", [[1700000000, {b"log": b"hello"}]], {b"chunk": b"one"}]


def carry(start, agent_has_key, aggregator_has_key):
    """`start(mode, listen=…, upstream=…)` starts husk in the mode server, then in the mode client, between an agent and an
    aggregator. Both become live; a message goes from the agent to the aggregator; its ack comes back; both become ready.
    Returns the message as the aggregator has read it."""
    received = []
    tls, plain = (f"127.0.0.1:{raw.free_address()[1]}" for _ in range(2))
    with contextlib.ExitStack() as stack:
        aggregator = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        aggregator.settimeout(60)
        running = []
        for mode, listen, upstream in (("server", tls, f"127.0.0.1:{aggregator.getsockname()[1]}"), ("client", plain, tls)):
            running.append(start(mode, listen=listen, upstream=upstream))
            stack.callback(running[-1].stop)
            running[-1].probe("/live")
        accepting = threading.Thread(target=accept_message, args=(aggregator, received, aggregator_has_key))
        accepting.start()
        host, port = plain.split(":")
        be_agent(stack.enter_context(socket.create_connection((host, int(port)), timeout=60)), MESSAGE, agent_has_key)
        accepting.join(60)
        ((message, connection),) = received
        stack.callback(connection.close)
        for each in running:
            each.probe("/ready")
    return message
