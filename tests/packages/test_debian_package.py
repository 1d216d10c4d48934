"""make deb: the package builds from the source archive, lintian has no objection, it is the same program and the same
bytes again, and it installs, works and purges."""

import os
import re
import shutil

import pytest

from commands import REPOSITORY, VERSION, run, succeed

BUILT = REPOSITORY / "build/deb"
UNIT = REPOSITORY / "debian/husk@.service"
# What systemd-analyze security says: 0 is no exposure, 10 is everything. The network, which husk is for, is most of it.
EXPOSURE_LIMIT = 1.5
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="an overlay over the system needs root")

# Runs the script $1 in the system as it is, with the package $2 as /husk.deb. The system does not change.
OVERLAY = """
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay none -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
cp "$2" "$0/root/husk.deb"
for each in proc sys dev; do mount --rbind "/$each" "$0/root/$each"; done
exec chroot "$0/root" sh -ec "$1"
"""


def overlay(directory, script, package):
    return succeed("unshare", "--mount", "--propagation", "private", "sh", "-ec", OVERLAY, directory, script, package,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})


def sections(text):
    """A control file of Debian: a list of {field: value}."""
    joined = re.sub(r"\n[ \t]", " ", text)
    return [dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in part.splitlines())
            for part in joined.strip().split("\n\n")]


@pytest.fixture(scope="module")
def package():
    """The package of HEAD. lintian has found neither an error nor a warning in it."""
    succeed("make", "deb", timeout=1800)
    found, = BUILT.glob("husk_*.deb")
    return found


# ---- what debian/ says ----

def test_the_package_has_the_version_of_the_makefile():
    assert re.match(r"husk \((.*)-1husk1\) ", (REPOSITORY / "debian/changelog").read_text())[1] == VERSION


def test_the_package_is_built_with_what_the_makefile_names():
    listed = re.search(r"^BUILD_DEPS := (.*)$", (REPOSITORY / "Makefile").read_text(), re.M)[1]
    named = set(re.sub(r"\$\(if [^,]*,[^,]*,([\w-]+)\)", r"\1", listed).split())
    wanted = sections((REPOSITORY / "debian/control").read_text())[0]["Build-Depends"]
    builds = {"|".join(each.split(" | ")) for each in map(str.strip, wanted.split(","))}
    assert builds - {"debhelper-compat (= 13)", "dh-sequence-installsysusers"} == named - {"gcc", "libc6-dev"}


# ---- the package ----

def test_it_depends_on_the_libraries_that_the_program_loads(package):
    depends = succeed("dpkg-deb", "--field", package, "Depends")
    for library in ("android-libboringssl", "libc6", "libev4", "libnghttp2-14", "libp11-kit0", "libprotobuf-c1"):
        assert re.search(rf"\b{library}(t64)?\b", depends), depends  # t64: Debian 13, where time has 64 bits


def test_it_has_the_files_that_users_look_for(package):
    listing = succeed("dpkg-deb", "--contents", package)
    files = {line.split()[5].removeprefix(".") for line in listing.splitlines()}
    assert files >= {
        "/usr/bin/husk", "/etc/husk/agent.yaml", "/etc/husk/aggregator.yaml",
        "/usr/share/man/man1/husk.1.gz", "/usr/share/man/man5/husk.yaml.5.gz",
        "/usr/share/bash-completion/completions/husk", "/usr/share/zsh/vendor-completions/_husk",
        "/usr/share/fish/vendor_completions.d/husk.fish", "/usr/share/husk/husk.schema.json",
        "/usr/share/doc/husk/copyright", "/usr/share/doc/husk/examples/node-gateway.yaml",
        "/usr/share/doc/husk/examples/credentials-client.conf", "/usr/share/doc/husk/examples/credentials-server.conf",
        "/usr/lib/sysusers.d/husk.conf"}
    # Debian 12 has units in /lib, Debian 13 in /usr/lib.
    assert {file.removeprefix("/usr") for file in files} >= {
        "/lib/systemd/system/husk@.service", "/lib/systemd/system/husk@.socket"}
    assert all(line.split()[1] == "root/root" for line in listing.splitlines())
    conffiles = succeed("dpkg-deb", "--info", package, "conffiles").split()
    assert conffiles == ["/etc/husk/agent.yaml", "/etc/husk/aggregator.yaml"]


def test_the_program_is_the_one_that_was_built_elsewhere(package):
    assert (BUILT / "husk/build/husk").read_bytes() == (REPOSITORY / "build/husk").read_bytes()


def test_another_user_makes_the_same_bytes_of_it(package, tmp_path):
    shutil.copytree(BUILT / "husk", tmp_path / "husk", symlinks=True)
    for path in (tmp_path / "husk/debian").rglob("*"):
        os.utime(path, follow_symlinks=False)  # now: later than the changelog says
    succeed("sh", "-ec", "umask 027; dpkg-buildpackage --build=binary --no-sign --no-pre-clean", cwd=tmp_path / "husk",
            env={**os.environ, "TZ": "Asia/Kathmandu", "LC_ALL": "C", "DEB_BUILD_OPTIONS": "parallel=1"})
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


def commands_of_the_page():
    """The blocks of docs/packages.md, "Two machines", for one machine: scp copies files, and no service manager runs."""
    section = (REPOSITORY / "docs/packages.md").read_text().split("### Two machines\n")[1].split("\n### ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 3
    text = "".join(blocks)
    assert text.count("--connect") == 1 and len(re.findall(r"^systemctl enable --now husk@\w+$", text, re.M)) == 2
    return """
        scp() { for to; do :; done; cp "$1" "$2" "$3" "${to#*:}"; }
        systemctl() { :; }
    """ + re.sub(r"husk (check|pki) ", r"husk \1 >/dev/null ", text.replace("--connect", ""))


@needs_root
def test_it_installs_works_and_purges(package, tmp_path):
    said = overlay(tmp_path, f"""
        dpkg --install /husk.deb >/dev/null
        id -un husk
        husk version | head -n 1
        man -w husk husk.yaml >/dev/null
        systemd-analyze verify husk@agent.service husk@agent.socket 2>&1 | grep husk || true
        cd /tmp
        {commands_of_the_page()}
        systemd-analyze verify husk@agent.service husk@aggregator.service 2>&1 | grep husk || true
        rm /etc/husk/*.pem
        dpkg --purge husk >/dev/null 2>&1
        ls -d /etc/husk /usr/bin/husk /usr/share/doc/husk 2>/dev/null | cat
    """, package)
    assert said.splitlines() == ["husk", f"husk {VERSION}"]


# ---- the unit ----

@pytest.mark.parametrize("role, name", [("client", "agent"), ("server", "aggregator")])
def test_the_drop_in_gives_the_service_all_that_its_file_names(role, name, tmp_path):
    """The files of LoadCredential=, under the names that it gives them, and the variable of the directory."""
    text = (REPOSITORY / f"debian/examples/credentials-{role}.conf").read_text()
    assert re.search(r"^Environment=CERTS=%d$", text, re.M)
    (tmp_path / "etc").mkdir()
    (tmp_path / "credentials").mkdir()
    succeed(REPOSITORY / "build/husk", "pki", "init", tmp_path / "etc/husk", "--server-name", "localhost")
    for seen_as, path in re.findall(r"^LoadCredential=([^:]+):(.+)$", text, re.M):
        shutil.copy(f"{tmp_path}{path}", tmp_path / "credentials" / seen_as)
    succeed(REPOSITORY / "build/husk", "check", "--config", REPOSITORY / f"config/examples/sidecar-{name}.yaml",
            env={**os.environ, "CERTS": str(tmp_path / "credentials"), "LISTEN": "127.0.0.1:0", "ADMIN": "127.0.0.1:0"})



def test_the_service_is_confined():
    report = run("systemd-analyze", "security", "--offline=true", f"--threshold={int(EXPOSURE_LIMIT * 10)}", UNIT)
    assert report.returncode == 0, report.stdout + report.stderr
    assert float(re.search(r"exposure level for \S+: ([\d.]+)", report.stdout)[1]) <= EXPOSURE_LIMIT


def test_the_service_waits_as_long_as_husk_drains():
    """TimeoutStopSec is longer than the default of drain.timeout."""
    stop = int(re.search(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.M)[1])
    drain = re.search(r"\| `drain.timeout` \|[^|]*\| `(\d+)s` \|", (REPOSITORY / "docs/configuration.md").read_text())
    assert stop > int(drain[1])
