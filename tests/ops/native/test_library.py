import os
import subprocess
import sys

import pytest

from palmette.ops.kernels.native import compiler as compilers
from palmette.ops.kernels.native import library as libraries
from palmette.ops.kernels.native.compiler import INSTRUCTIONS, NativeError
from palmette.ops.kernels.native.library import Build, built, library, whole

PROBE = Build("probe")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty folder of kernels."""
    monkeypatch.setenv("PALMETTE_KERNELS", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


@pytest.fixture
def compiled(monkeypatch):
    """The paths that were built, one entry a build."""
    paths, real = [], libraries._compile

    def counted(build, path):
        paths.append(path)
        real(build, path)

    monkeypatch.setattr(libraries, "_compile", counted)
    return paths


def test_a_library_is_built_once(kept, compiled):
    assert built(PROBE) == built(PROBE)
    assert len(compiled) == 1
    assert not list(kept.glob("build-*"))


@pytest.mark.parametrize("damage", ["cut", "changed", "digest", "unread"])
def test_a_file_that_is_not_whole_is_built_again(kept, compiled, damage):
    path = built(PROBE)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "changed":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "digest":
        path.with_suffix(".sha256").write_text("0" * 64)
    else:
        path.with_suffix(".sha256").unlink()
    assert not whole(path)
    assert whole(built(PROBE))
    assert len(compiled) == 2


def test_whatever_decides_a_library_is_in_its_key(monkeypatch, tmp_path):
    keys = {PROBE.key(), Build("probe", (("A", "1"),)).key(), Build("probe", (("A", "2"),)).key()}
    keys |= {Build("probe", instructions=name).key() for name in INSTRUCTIONS}
    assert len(keys) == 2 + len(INSTRUCTIONS)  # the widest here is what no name means
    monkeypatch.setenv("PALMETTE_CXXFLAGS", "-O1")
    assert PROBE.key() not in keys
    monkeypatch.delenv("PALMETTE_CXXFLAGS")
    made_by = compilers.compiler()
    newer = compilers.Compiler(made_by.command, made_by.version + "9")
    monkeypatch.setattr(libraries, "compiler", lambda: newer)
    assert PROBE.key() not in keys
    monkeypatch.undo()
    for name in ("vector.h", "probe.cpp"):
        text = (libraries.SOURCES / name).read_text()
        (tmp_path / name).write_text(text + ("// newer" if name == "vector.h" else ""))
    monkeypatch.setattr(libraries, "SOURCES", tmp_path)
    assert PROBE.key() not in keys


def test_ten_processes_at_once_build_one_library(tmp_path):
    script = """
import os, sys
from palmette.ops.kernels.native import library
real = library._compile
def told(build, path):
    os.write(1, b"built\\n")
    real(build, path)
library._compile = told
children = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if library.library("probe").lanes() > 0 else 1)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PALMETTE_KERNELS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "built\n"


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_the_width_of_vectors_is_that_of_the_instructions(name):
    if name not in runnable():
        pytest.skip(f"this processor has no {name}")
    assert library("probe", instructions=name).lanes() == {"avx512": 16, "avx2": 8}.get(name, 4)


def runnable():
    names = list(INSTRUCTIONS)
    return names[names.index(compilers.instructions()) :]


def test_a_refused_kernel_is_told_with_the_compilers_words(kept, monkeypatch, tmp_path):
    (tmp_path / "wrong.cpp").write_text("int lanes( { return 1; }")
    monkeypatch.setattr(libraries, "SOURCES", tmp_path)
    with pytest.raises(NativeError, match=r"refused the kernel wrong:\n(.|\n)*error"):
        built(Build("wrong"))


def test_a_folder_that_cannot_be_written_is_told_with_the_next_step(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PALMETTE_KERNELS", str(tmp_path / "file" / "kernels"))
    with pytest.raises(NativeError, match=r"name another folder in .* PALMETTE_KERNELS"):
        built(PROBE)


def ask(tmp_path, code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PALMETTE_KERNELS": str(tmp_path / "none"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )


def test_without_a_compiler_it_is_torch_and_every_command_says_so(tmp_path):
    code = """
import sys
from palmette.__main__ import main
sys.argv = ["palmette", "doctor", "-f", "json"]
main()
"""
    ran = ask(tmp_path, code, CXX="no-such-compiler")
    assert '"kernels: native"' in ran.stdout
    assert "the C++ compiler no-such-compiler does not run" in ran.stdout
    code = """
from palmette.model import build
from palmette.search.start import default_kernel
print(default_kernel())
try:
    build("stack(pre(glu()))", params=42_000, kernel="native")
except Exception as error:
    print(type(error).__name__, error)
"""
    ran = ask(tmp_path, code, CXX="no-such-compiler")
    assert ran.stdout.startswith("torch\nNativeError native kernels are not to be had here: ")


def test_instructions_that_the_processor_has_not_are_refused(tmp_path):
    code = """
from palmette.ops.kernels.native.library import unavailable
print(unavailable())
"""
    ran = ask(tmp_path, code, PALMETTE_INSTRUCTIONS="avx1024")
    assert ran.stdout.startswith("PALMETTE_INSTRUCTIONS is 'avx1024'; this processor has ")
    assert ran.stdout.rstrip().endswith("portable")
