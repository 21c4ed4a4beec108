import re
import subprocess

from palmette.train.machine import commit, machine, peak_bytes


def test_the_machine_is_one_short_line():
    assert re.fullmatch(r"[^\n]+, \w+, torch \d+\.\d+\.\d+\S*", machine())
    assert len(machine()) < 150


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_the_commit_of_a_checkout(tmp_path):
    assert commit(tmp_path) is None
    git(tmp_path, "init")
    assert commit(tmp_path) is None
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    clean = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == f"{clean}-dirty"


def test_no_git_no_commit(tmp_path, monkeypatch):
    git(tmp_path, "init")
    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path) is None


def test_peak_memory_is_in_bytes():
    assert 20e6 < peak_bytes() < 100e9
