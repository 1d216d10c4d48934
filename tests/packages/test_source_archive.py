"""packages/source-archive: the sources of a commit, the same bytes each time, and everything that the build needs."""

import os
import tarfile

import pytest

from commands import REPOSITORY, VERSION, run, succeed

SCRIPT = REPOSITORY / "packages/source-archive"
NAME = f"husk-{VERSION}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of the repository, made with another umask, whose user has other settings of git."""
    top = tmp_path_factory.mktemp("clone") / "husk"
    succeed("sh", "-c", 'umask 077; git clone --quiet "$0" "$1"', REPOSITORY, top)
    for setting, value in (("tar.umask", "user"), ("core.autocrlf", "true"), ("core.attributesFile", "attributes")):
        succeed("git", "-C", top, "config", setting, value)
    (top / "attributes").write_text("*.md export-ignore\n")
    return top


def archive(directory, file, **env):
    succeed("sh", "-c", f'umask {env.pop("umask", "022")}; exec "$0" "$@"', SCRIPT, NAME, file, cwd=directory,
            env={**os.environ, **env})
    return file.read_bytes()


def test_a_commit_gives_the_same_bytes_each_time_and_everywhere(clone, tmp_path):
    here = archive(REPOSITORY, tmp_path / "here.tar.gz")
    there = archive(clone, tmp_path / "there.tar.gz", umask="077", TZ="Asia/Kathmandu", LC_ALL="tr_TR.UTF-8")
    assert here == there


def test_it_has_every_file_of_the_commit_for_every_user(tmp_path):
    archive(REPOSITORY, tmp_path / "husk.tar.gz")
    with tarfile.open(tmp_path / "husk.tar.gz") as tar:
        members = tar.getmembers()
    committed = succeed("git", "ls-tree", "-r", "--name-only", "-z", "HEAD").split("\0")[:-1]
    assert sorted(member.name for member in members if not member.isdir()) == sorted(f"{NAME}/{file}" for file in committed)
    times = {member.mtime for member in members}
    assert times == {int(succeed("git", "log", "-1", "--format=%ct"))}
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    assert {member.mode for member in members if member.isfile()} == {0o644, 0o755}


def test_changes_that_are_not_committed_are_left_out_with_a_word(clone, tmp_path):
    before = archive(clone, tmp_path / "before.tar.gz")
    (clone / "new").write_text("not committed")
    done = run(SCRIPT, NAME, tmp_path / "after.tar.gz", cwd=clone)
    assert done.returncode == 0 and "changes that are not committed are left out" in done.stderr
    assert (tmp_path / "after.tar.gz").read_bytes() == before


def test_without_a_repository_it_says_what_it_needs(tmp_path):
    done = run(SCRIPT, NAME, tmp_path / "husk.tar.gz", cwd=tmp_path,
               env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    assert done.returncode == 1 and "no git repository here" in done.stderr
    assert not list(tmp_path.iterdir())
