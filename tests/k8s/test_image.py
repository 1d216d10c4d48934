"""k8s/image: the Dockerfile is well formed, and the image holds only husk and its libraries.

The tests run no container engine. They run the script that fills the image and try the result with chroot."""

import json
import os
import re

from support_k8s import HUSK, REPOSITORY, run, succeed

DOCKERFILE = REPOSITORY / "k8s/image/Dockerfile"


def instructions():
    """(keyword, rest) of each instruction, with continuation lines joined and without comments."""
    text = "".join(line for line in DOCKERFILE.read_text().splitlines(True) if not line.startswith("#"))
    joined = text.replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def lint(checkers, text):
    script = "const {validate} = require('dockerfile-utils');" \
             "const found = validate(require('fs').readFileSync(0, 'utf8'));" \
             "console.log(JSON.stringify(found.map(each => each.message)));"
    return json.loads(succeed("node", "-e", script, cwd=checkers, input=text))


def test_the_dockerfile_is_well_formed(checkers):
    text = DOCKERFILE.read_text()
    assert lint(checkers, text) == []
    assert lint(checkers, text.replace("WORKDIR", "WORKDIRECTORY")) == ["Unknown instruction: WORKDIRECTORY"]


def test_the_final_stage_holds_only_the_root_file_system():
    lines = instructions()
    last = max(index for index, (keyword, _) in enumerate(lines) if keyword == "FROM")
    assert lines[last] == ("FROM", "scratch")
    final = dict(lines[last + 1:])
    assert final["USER"] == "65532:65532"
    assert json.loads(final["ENTRYPOINT"]) == ["/usr/local/bin/husk"]
    assert final["COPY"] == "--from=build /rootfs/ /"
    assert "RUN" not in final
    stages = [rest.split() for keyword, rest in lines[:last] if keyword == "FROM"]
    assert {name for *_, name in stages} == {"boringssl", "build"}
    assert {image for image, *_ in stages} == {"debian:12-slim"}


def test_the_build_context_holds_all_sources():
    allowed = {line[1:].strip() for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
               if line.startswith("!")}
    assert all((REPOSITORY / name).exists() for name in allowed)
    assert "Makefile" in allowed and "k8s/image/rootfs.sh" in allowed
    sources = re.search(r"^SOURCES\s*:=\s*(.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE).group(1)
    assert {word.split("/")[0] for word in re.findall(r"\w+/[*\w/.]+", sources)} <= allowed


def test_the_root_file_system_runs_husk(tmp_path):
    root = tmp_path / "root"
    succeed(REPOSITORY / "k8s/image/rootfs.sh", HUSK, root)
    packages = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert "libc6" in packages
    programs = {path.name for path in root.rglob("*bin/*")}
    assert programs == {"husk"}
    if os.geteuid() == 0:
        inside = ("chroot", "--userspec=65532:65532", root)
        tmp_path.chmod(0o755)
    else:
        inside = ("unshare", "--map-root-user", f"--root={root}")
    done = run(*inside, "/usr/local/bin/husk", "version", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.returncode == 0 and "husk" in done.stdout, done.stdout + done.stderr


def test_the_script_of_the_root_file_system_refuses_bad_usage(tmp_path):
    done = run(REPOSITORY / "k8s/image/rootfs.sh", HUSK)
    assert done.returncode == 2 and "usage:" in done.stderr
    done = run(REPOSITORY / "k8s/image/rootfs.sh", REPOSITORY / "Makefile", tmp_path / "root")
    assert done.returncode != 0
