from __future__ import annotations

from pathlib import Path

import pytest

from palmette.cli._resolve import resolve
from palmette.errors import GenomeError, StorageError, UnknownNameError, UserError
from palmette.model import atlas
from palmette.store import Store
from palmette.testing.example_records import example_candidate
from tests.cli.conftest import FOUND, Grown

NOWHERE = "sqlite:////no/such/folder/palmette.db"


def test_an_expression_is_read() -> None:
    assert resolve("stack(pre(glu()))", NOWHERE, None).genome.text == "lm(stack(pre(glu())))"


def test_every_fault_of_an_expression_is_told() -> None:
    with pytest.raises(GenomeError) as refused:
        resolve("stack(pre(gluu()), pre(__import__('os')))", NOWHERE, None)
    assert len(refused.value.faults) >= 2
    assert "line 1" in str(refused.value)


def test_a_genome_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.genome"
    path.write_text("# my first\nstack(pre(glu()))\n")
    found = resolve(str(path), NOWHERE, None)
    assert (found.genome.text, found.name) == ("lm(stack(pre(glu())))", "mine")


def test_a_genome_file_of_another_system_is_read(tmp_path: Path) -> None:
    """A byte order mark and carriage returns."""
    (tmp_path / "x.genome").write_bytes(b"\xef\xbb\xbfstack(\r\n  pre(glu())\r\n)\r\n")
    found = resolve(str(tmp_path / "x.genome"), NOWHERE, None)
    assert found.genome.text == "lm(stack(pre(glu())))"


def test_a_missing_genome_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the genome file .*no\.genome: No such file"):
        resolve(str(tmp_path / "no.genome"), NOWHERE, None)


def test_a_binary_genome_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.genome").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not text"):
        resolve(str(tmp_path / "x.genome"), NOWHERE, None)


@pytest.mark.parametrize("text", ["layer.py", "layer.py:Mixer", "a/b/layer.py"])
def test_a_file_of_python_has_to_be_there(text: str) -> None:
    with pytest.raises(UserError, match=r"there is no file (a/b/)?layer\.py"):
        resolve(text, NOWHERE, None)


def test_a_name_of_the_atlas_needs_no_store() -> None:
    found = resolve("gpt2", NOWHERE, None)
    assert (found.genome, found.name) == (atlas.load("gpt2"), "gpt2")


def test_best_is_the_highest_found_one(grown: Grown) -> None:
    assert resolve("best", grown.url, None).genome.text == FOUND
    assert resolve("best", grown.url, "first").genome.hash == grown.found


def test_best_wants_a_store_and_a_campaign(grown: Grown) -> None:
    with pytest.raises(StorageError, match="there is no store at"):
        resolve("best", NOWHERE, None)
    with pytest.raises(UnknownNameError, match="no campaign is called 'second'"):
        resolve("best", grown.url, "second")


def test_a_hash_may_be_cut_to_six_digits(grown: Grown) -> None:
    for digits in (grown.grafted, grown.grafted[:6], grown.grafted[:9].upper()):
        assert resolve(digits, grown.url, None).genome.hash == grown.grafted
    assert resolve(grown.root[:6], grown.url, None).name == "deltanet"


def test_five_digits_are_too_few(grown: Grown) -> None:
    with pytest.raises(UserError, match=r"a hash wants 6 digits or more, got '[0-9a-f]{5}'"):
        resolve(grown.root[:5], grown.url, None)


def test_an_unknown_hash_is_told(grown: Grown) -> None:
    with pytest.raises(UserError, match=r"no genome in the store .* begins with 'abcdef'"):
        resolve("abcdef", grown.url, None)


def test_an_ambiguous_hash_lists_what_it_may_be(grown: Grown) -> None:
    twin = "lm(pre(glu()))"
    with Store(grown.url) as store:
        other = example_candidate(twin, genome=grown.root[:7] + "f" * 57, parents=())
        store.latest().add_candidate(other)
    with pytest.raises(UserError) as refused:
        resolve(grown.root[:6], grown.url, None)
    lines = str(refused.value).splitlines()
    assert lines[0] == f"2 genomes begin with '{grown.root[:6]}'; give more digits:"
    assert any(line.endswith(twin) for line in lines[1:])


def test_a_misspelled_name_is_recognised() -> None:
    with pytest.raises(UnknownNameError, match="no genome is called 'deltanett'; did you mean"):
        resolve("deltanett", NOWHERE, None)
