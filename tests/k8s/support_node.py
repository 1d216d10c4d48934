"""A node of the emulated cluster: its network, its DNS, its Secrets and ConfigMaps, and the volumes that the kubelet
makes of them."""

import base64
import contextlib
import itertools
import os
import pathlib
import shutil
import threading
import time

from container import CLONE_NEWNET, call
from support.name_server import NameServer
from support_k8s import succeed

NODE = "10.244.0.1"


def known(what, spec, *names):
    """The emulated kubelet must know every field, or a manifest would say something that no test honours."""
    unknown = set(spec) - set(names)
    assert not unknown, f"{what}: the emulated kubelet does not know {sorted(unknown)}"


# ---- network ----------------------------------------------------------------------------------------------


class Network:
    """A network namespace."""

    def __init__(self):
        made, refused = [], []

        def make():
            try:
                call("unshare", CLONE_NEWNET)
                made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            except PermissionError as error:
                refused.append(error)
        thread = threading.Thread(target=make)  # only this thread changes its namespace
        thread.start()
        thread.join()
        if refused:
            raise refused[0]
        (self.fd,) = made
        self.run("ip", "link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside. So are its sockets, also later, and the threads and processes that it starts."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        call("setns", self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            call("setns", before, CLONE_NEWNET)
            os.close(before)

    def run(self, *command, **options):
        with self.entered():
            return succeed(*command, **options)

    def close(self):
        os.close(self.fd)


# ---- volumes ----------------------------------------------------------------------------------------------


class Missing(Exception):
    """A Secret or ConfigMap that a Pod needs is not there yet: its containers wait."""


def as_bytes(made):
    """The data of a Secret or ConfigMap."""
    read = {"Secret": base64.b64decode, "ConfigMap": str.encode}[made["kind"]]
    return {key: read(value) for key, value in made["data"].items()}


class Volume:
    """A volume of Secrets and ConfigMaps. write() replaces all files with one rename, as the kubelet does."""

    def __init__(self, directory, group, node, namespace, name, source):
        self._directory, self._group, self._node, self._namespace = directory, group, node, namespace
        kind = self._kind = next(iter(source))
        known(f"volume {name}", source[kind], "secretName", "name", "defaultMode", "items", "sources")
        self._mode = source[kind].get("defaultMode", 0o644)
        self._parts = source[kind]["sources"] if kind == "projected" else [source]
        directory.mkdir(parents=True)
        self._own(directory, 0o755)

    def _own(self, path, mode):
        if self._group is not None:
            os.chown(path, 0, self._group)
            mode |= 0o2050 if path.is_dir() else 0o440
        path.chmod(mode)

    def _files(self):
        files = {}
        for part in self._parts:
            ((kind, spec),) = part.items()
            assert kind in ("secret", "configMap"), kind
            known(kind, spec, "secretName", "name", "defaultMode", "items")
            data = self._node.get(kind, self._namespace, spec.get("secretName") or spec["name"])
            for item in spec.get("items") or [{"key": key, "path": key} for key in data]:
                known("item of a volume", item, "key", "path")
                if item["key"] not in data:
                    raise Missing(f"{kind} {spec} has no key {item['key']}")
                files[item["path"]] = data[item["key"]]
        return files

    def write(self):
        files = self._files()
        here = self._directory
        new = here / time.strftime(f"..%Y_%m_%d_%H_%M_%S.{time.monotonic_ns()}")
        new.mkdir()
        self._own(new, 0o755)
        for name, data in files.items():
            (new / name).write_bytes(data)
            self._own(new / name, self._mode)
        old = here / os.readlink(here / "..data") if (here / "..data").is_symlink() else None
        (here / "..data_tmp").symlink_to(new.name)
        (here / "..data_tmp").rename(here / "..data")
        for name in files:
            if not (here / name).is_symlink():
                (here / name).symlink_to(f"..data/{name}")
        for path in here.iterdir():
            if not path.name.startswith("..") and path.name not in files:
                path.unlink()
        if old:
            shutil.rmtree(old)


def make_volume(node, namespace, directory, group, volume):
    """The directory of a volume of a Pod, and what writes it anew: a Volume, or None."""
    name = volume["name"]
    (kind,) = source = {key: value for key, value in volume.items() if key != "name"}
    where = directory / name
    if kind in ("secret", "configMap", "projected"):
        written = Volume(where, group, node, namespace, name, source)
        written.write()
        return where, written
    if kind == "hostPath":
        known(f"volume {name}", source[kind], "path", "type")
        where = node.directory / "host" / source[kind]["path"].strip("/")
        assert source[kind]["type"] in ("Directory", "DirectoryOrCreate")
        where.mkdir(parents=True, exist_ok=True)
        return where, None
    assert kind in ("emptyDir", "persistentVolumeClaim"), f"{name}: the emulated kubelet does not know {kind}"
    known(f"volume {name}", source[kind], "sizeLimit", "claimName")
    if kind == "persistentVolumeClaim":
        where = node.directory / "claims" / source[kind]["claimName"]
    where.mkdir(parents=True, exist_ok=True)
    os.chown(where, 0, -1 if group is None else group)
    where.chmod(0o777 if kind == "emptyDir" else 0o2775)
    return where, None


# ---- the node ---------------------------------------------------------------------------------------------


class Node:
    """Runs Pods of the emulated cluster. `images`: image → Image. Its network has the address NODE, its DNS server the
    names of Services, each with the addresses of its Pods: every Service is a headless one."""

    def __init__(self, directory, images):
        self.directory, self.images = directory, images
        self._objects, self._pods, self._numbers = {}, [], itertools.count(2)
        self._lock = threading.Lock()
        self.network = Network()
        self.network.run("ip", "link", "add", "nodes", "type", "bridge")
        self.network.run("ip", "addr", "add", f"{NODE}/24", "dev", "nodes")
        self.network.run("ip", "link", "set", "nodes", "up")
        with self.network.entered():
            self.dns = NameServer(address=(NODE, 53), ttl=0)

    def connect(self, network):
        """Gives a network an address of the cluster. Returns the address."""
        number = next(self._numbers)
        address = f"10.244.0.{number}"
        self.network.run("ip", "link", "add", f"pod{number}", "type", "veth", "peer", "name", f"eth{number}")
        self.network.run("ip", "link", "set", f"pod{number}", "master", "nodes", "up")
        self.network.run("ip", "link", "set", f"eth{number}", "netns", f"/proc/{os.getpid()}/fd/{network.fd}")
        network.run("ip", "link", "set", f"eth{number}", "name", "eth0")
        network.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        network.run("ip", "link", "set", "eth0", "up")
        return address

    # ---- objects ----

    def apply(self, *objects):
        """Secrets and ConfigMaps. The kubelet writes the volumes that have them anew, at once: a real one takes up to its
        sync period."""
        for each in objects:
            kind = {"Secret": "secret", "ConfigMap": "configMap"}[each["kind"]]
            with self._lock:
                self._objects[kind, each["metadata"]["namespace"], each["metadata"]["name"]] = as_bytes(each)
        for pod in self.pods:
            pod.refresh_volumes()

    def get(self, kind, namespace, name):
        with self._lock:
            if (kind, namespace, name) not in self._objects:
                raise Missing(f"{kind} {namespace}/{name}")
            return self._objects[kind, namespace, name]

    def service(self, name, *pods):
        """`name`: as SERVICE.NAMESPACE.svc."""
        self.dns.hosts[f"{name}.cluster.local"] = [pod.address for pod in pods]

    # ---- Pods ----

    @property
    def pods(self):
        with self._lock:
            return list(self._pods)

    def add(self, pod):
        with self._lock:
            self._pods.append(pod)

    def close(self):
        for pod in reversed(self.pods):
            pod.kill()
        self.network.close()


class Image:
    """A root file system. `root`: a directory that is copied; `programs`: path → text of a script, or the Path of a
    program. With programs the image also has the /usr of this machine, and the tests at /tests."""

    def __init__(self, root=None, programs=None, command=(), user=0):
        self.root, self.programs, self.command, self.user = root, programs or {}, list(command), user

    def unpack(self, directory):
        """Returns what is mounted besides: (source, target, read-only)."""
        mounts = []
        if self.root:
            shutil.copytree(self.root, directory, symlinks=True, copy_function=os.link)
        for name in ("proc", "dev", "tmp", "etc", "bin", "usr"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        if self.programs:
            for library in ("lib", "lib64", "sbin"):
                if pathlib.Path("/", library).is_symlink():
                    (directory / library).symlink_to(f"usr/{library}")
                elif pathlib.Path("/", library).exists():
                    (directory / library).mkdir()
                    mounts.append((f"/{library}", f"/{library}", True))
            (directory / "bin/sh").symlink_to("/usr/bin/sh" if pathlib.Path("/usr/bin/sh").exists() else "/usr/bin/dash")
            (directory / "tests").mkdir()
            mounts += [("/usr", "/usr", True), (str(pathlib.Path(__file__).resolve().parents[1]), "/tests", True)]
        for path, text in self.programs.items():
            program = directory / path.strip("/")
            program.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, pathlib.Path):
                shutil.copyfile(text, program)
            else:
                program.write_text(text)
            program.chmod(0o755)
        return mounts + [("/dev", "/dev", False)]
