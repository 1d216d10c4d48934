"""make static: the program has the archives of its libraries linked in, runs, and its bill of materials says so."""

import json
import re

from commands import REPOSITORY, run, succeed

# What Debian has no archive of, and what comes with it. glibc and the compiler's libraries stay shared.
SHARED = {"libssl", "libcrypto", "libstdc++", "libgcc_s", "libp11-kit", "libffi", "libc", "libm", "linux-vdso", "ld-linux"}


def libraries(program):
    return set(re.findall(r"^\s*(?:/\S*/)?([\w+-]+?)(?:-x86-64|-aarch64)?\.so", succeed("ldd", program), re.M))


def test_only_libraries_without_an_archive_are_loaded():
    succeed("make", "static", "SANITIZE=")
    assert libraries("build/husk-static") <= SHARED
    assert len(libraries("build/husk") - SHARED) > 8
    assert succeed("build/husk-static", "version") == succeed("build/husk", "version")

    document = json.loads((REPOSITORY / "build/husk-static.spdx.json").read_text())
    names = {package["SPDXID"]: package["name"] for package in document["packages"]}
    linked = {kind: {names[each["relatedSpdxElement"]] for each in document["relationships"]
                     if each["relationshipType"] == kind} for kind in ("STATIC_LINK", "DYNAMIC_LINK")}
    assert {"libev-dev", "libyajl-dev", "libnghttp2-dev"} <= linked["STATIC_LINK"]
    assert {"libc6", "android-libboringssl"} <= linked["DYNAMIC_LINK"]


def test_a_program_with_tokens_cannot_be_wholly_static(tmp_path):
    done = run("make", "static", f"BORINGSSL={tmp_path}", "PKCS11=-lp11-kit")
    assert done.returncode != 0 and "add PKCS11=" in done.stderr
