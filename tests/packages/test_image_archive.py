"""packages/oci-image: read back by the specification of OCI, the image has the settings of the Dockerfile, and runs."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile

import pytest

from commands import REPOSITORY, TIME, VERSION, run, succeed
from support import raw
from support.forward import Agent, Aggregator, carry_acked
from support.husk import BINARY, Husk, flags
from support.process import Program

SCRIPT = REPOSITORY / "packages/oci-image"
DOCKERFILE = REPOSITORY / "k8s/image/Dockerfile"
CREATED = "2023-11-14T22:13:20Z"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


def write(root, archive):
    succeed(SCRIPT, "--root", root, "--dockerfile", DOCKERFILE, "--name", f"husk:{VERSION}", "--time", TIME, archive)
    return archive.read_bytes()


def root_file_system(directory, umask="022"):
    succeed("sh", "-c", f'umask {umask}; exec "$0" "$@"', REPOSITORY / "k8s/image/rootfs.sh", BINARY, directory)
    return directory


class Image:
    """The files of an image layout, each read by its descriptor, which must be true."""

    def __init__(self, archive):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.files = {each.name: tar.extractfile(each).read() for each in tar.getmembers() if each.isfile()}
        self.index = json.loads(self.files["index.json"])
        self.descriptor, = self.index["manifests"]
        self.manifest = json.loads(self.blob(self.descriptor, "manifest.v1+json"))
        self.config = json.loads(self.blob(self.manifest["config"], "config.v1+json"))
        layer, = self.manifest["layers"]
        self.layer = gzip.decompress(self.blob(layer, "layer.v1.tar+gzip"))

    def blob(self, descriptor, kind):
        assert descriptor["mediaType"] == "application/vnd.oci.image." + kind
        algorithm, digest = descriptor["digest"].split(":")
        data = self.files[f"blobs/{algorithm}/{digest}"]
        assert hashlib.new(algorithm, data).hexdigest() == digest and len(data) == descriptor["size"]
        return data

    def unpack(self, directory):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as tar:
            tar.extractall(directory)
        return directory


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    top = tmp_path_factory.mktemp("image")
    return write(root_file_system(top / "root"), top / "image.tar")


@pytest.fixture(scope="module")
def image(archive):
    return Image(archive)


def test_the_layout_is_one_image_without_another_file(image):
    assert json.loads(image.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert image.index["schemaVersion"] == image.manifest["schemaVersion"] == 2
    assert image.index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert len(image.files) == len({"oci-layout", "index.json", "manifest", "config", "layer"})
    assert image.descriptor["annotations"] == {
        "org.opencontainers.image.ref.name": VERSION, "io.containerd.image.name": f"docker.io/library/husk:{VERSION}"}


def test_the_config_is_that_of_the_dockerfile(image):
    text = DOCKERFILE.read_text()
    config = image.config["config"]
    assert config["User"] == re.search(r"^USER (.*)$", text, re.M)[1] == "65532:65532"
    assert config["Entrypoint"] == json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1]) == ["/usr/local/bin/husk"]
    assert config["Cmd"] == ["help"]
    assert set(config["ExposedPorts"]) == set(re.search(r"^EXPOSE (.*)$", text, re.M)[1].split())
    labels = dict(re.findall(r'(org\.opencontainers\.[\w.]+)="([^"]*)"', text))
    assert len(labels) == 3
    assert config["Labels"] == image.manifest["annotations"] == {
        **labels, "org.opencontainers.image.version": VERSION, "org.opencontainers.image.created": CREATED}
    assert image.config["os"] == "linux" and image.config["created"] == CREATED
    assert image.config["rootfs"] == {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(image.layer).hexdigest()]}


def test_the_layer_belongs_to_root_and_nobody_else_may_write(image):
    with tarfile.open(fileobj=io.BytesIO(image.layer)) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names) and "usr/local/bin/husk" in names
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, TIME)}
    assert {member.mode for member in members} <= {0o755, 0o644}


def test_the_same_files_give_the_same_bytes(archive, tmp_path):
    root = root_file_system(tmp_path / "root", umask="077")
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
    assert write(root, tmp_path / "image.tar") == archive


def test_an_instruction_that_an_image_cannot_have_is_refused(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN true\n")
    (tmp_path / "root").mkdir()
    done = run(SCRIPT, "--root", tmp_path / "root", "--dockerfile", tmp_path / "Dockerfile", "--name", "husk:1", "--time", 1,
               tmp_path / "image.tar")
    assert done.returncode == 1 and "RUN in the last stage" in done.stderr
    assert not (tmp_path / "image.tar").exists()


class Contained(Husk):
    """husk client with the files of the image alone. `inside`: the command that enters the image."""

    def __init__(self, inside, options):
        Program.__init__(self, [*inside, "client", *flags(**options)], "husk of the image")


@needs_root
def test_the_image_runs_as_its_user_and_carries_messages(image, tmp_path, pki, husk, programs):
    tmp_path.chmod(0o755)
    root = image.unpack(tmp_path / "root")
    user, entry = image.config["config"]["User"], image.config["config"]["Entrypoint"]
    inside = ["chroot", f"--userspec={user}", str(root), *entry]
    assert succeed(*inside, "version").startswith(f"husk {VERSION}\n")

    files = {"cert": pki.client.cert, "key": pki.client.key, "ca": pki.ca.cert}
    for name, source in files.items():
        shutil.copy(source, root / name)
        os.chown(root / name, *map(int, user.split(":")))
    aggregator = Aggregator()
    options = husk.options(husk.server(aggregator), pki.client, **{name: f"/{name}" for name in files})
    client = programs.add(Contained(inside, options))
    carry_acked(Agent(raw.connect(client.address)), 1, "chunk-1")
    aggregator.wait_for(1)
