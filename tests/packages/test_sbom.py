"""packages/sbom: a document of SPDX 2.3 that names the program and every library that the program loads."""

import hashlib
import json
import re
import subprocess

import pytest

from commands import REPOSITORY, TIME, VERSION, run, succeed
from support.husk import BINARY

SCRIPT = REPOSITORY / "packages/sbom"
# SPDX 2.3, clauses 7 and 8: the fields that a document must have, and the form of identifiers and times.
DOCUMENT = {"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"}
PACKAGE = {"SPDXID", "name", "downloadLocation"}
FILE = {"SPDXID", "fileName", "checksums"}
IDENTIFIER = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")


def make(file, *options):
    succeed(SCRIPT, "--version", VERSION, "--time", TIME, *options, BINARY, file)
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sbom") / "husk.spdx.json")


def relations(document, kind):
    return {each["relatedSpdxElement"] for each in document["relationships"] if each["relationshipType"] == kind}


def test_the_document_has_the_form_of_spdx(document):
    assert document.keys() >= DOCUMENT
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    assert re.fullmatch(r"Tool: \S+", document["creationInfo"]["creators"][0])
    assert all(package.keys() >= PACKAGE for package in document["packages"])
    assert all(file.keys() >= FILE for file in document["files"])
    identifiers = [each["SPDXID"] for each in (document, *document["packages"], *document["files"])]
    assert len(set(identifiers)) == len(identifiers)
    assert all(IDENTIFIER.fullmatch(identifier) for identifier in identifiers)
    for each in document["relationships"]:
        assert {each["spdxElementId"], each["relatedSpdxElement"]} <= set(identifiers)


def test_it_names_the_program_by_its_digest(document):
    file, = document["files"]
    with open(BINARY, "rb") as program:
        content = program.read()
    assert {each["algorithm"]: each["checksumValue"] for each in file["checksums"]} == {
        "SHA1": hashlib.sha1(content).hexdigest(), "SHA256": hashlib.sha256(content).hexdigest()}
    husk = document["packages"][0]
    assert (husk["name"], husk["versionInfo"]) == ("husk", VERSION)
    assert relations(document, "DESCRIBES") == {husk["SPDXID"]}
    assert relations(document, "CONTAINS") == {file["SPDXID"]}
    assert husk["packageVerificationCode"]["packageVerificationCodeValue"] == \
        hashlib.sha1(hashlib.sha1(content).hexdigest().encode()).hexdigest()


def test_it_names_the_package_of_every_library_that_the_program_loads(document):
    loaded = re.findall(r"(/\S+) \(0x", succeed("ldd", BINARY))
    assert len(loaded) > 8
    packages = {package["name"]: package for package in document["packages"]}
    reals = {library: succeed("readlink", "-f", library).strip() for library in loaded}
    owners = run("dpkg-query", "-S", *reals.values(), *(real.removeprefix("/usr") for real in reals.values())).stdout
    for library, real in reals.items():
        name = re.search(rf"^([^:]+):.* (?:/usr)?{re.escape(real.removeprefix('/usr'))}$", owners, re.M)[1]
        purl, = packages[name]["externalRefs"]
        assert purl["referenceLocator"].startswith(f"pkg:deb/debian/{name}@")
        assert packages[name]["SPDXID"] in relations(document, "DYNAMIC_LINK")
    installed = dict(line.split() for line in succeed(
        "dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages.keys() - {"husk"}).splitlines())
    assert {name: package["versionInfo"] for name, package in packages.items() if name != "husk"} == installed
    assert "libc6" in packages and len(packages) == len(document["packages"])


def test_the_same_program_gives_the_same_bytes(document, tmp_path):
    make(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == document


def test_archives_that_were_linked_in_are_named(tmp_path):
    archive = subprocess.run(["gcc", "-print-file-name=libc.a"], check=True, capture_output=True, text=True).stdout.strip()
    own = tmp_path / "libown.a"
    own.write_bytes(b"!<arch>\n")
    document = make(tmp_path / "husk.json", "--archive", archive, "--archive", own)
    packages = {package["SPDXID"]: package["name"] for package in document["packages"]}
    assert {packages[identifier] for identifier in relations(document, "STATIC_LINK")} == {"libc6-dev", "libown.a"}


def test_a_program_that_lacks_a_library_is_refused(tmp_path):
    broken = tmp_path / "broken"
    with open(BINARY, "rb") as program:
        broken.write_bytes(program.read().replace(b"libev.so.4", b"libex.so.4"))
    broken.chmod(0o755)
    done = run(SCRIPT, "--version", VERSION, "--time", TIME, broken, tmp_path / "husk.json")
    assert done.returncode == 1 and "lacks a library" in done.stderr
    assert not (tmp_path / "husk.json").exists()
