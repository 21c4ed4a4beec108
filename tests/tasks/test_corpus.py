import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from palmette.errors import CorpusError
from palmette.tasks import Corpus, Split, load_corpus

from .conftest import prose


def test_every_document_is_in_one_split(folder, corpus):
    streams = {split: corpus.stream(split).tobytes() for split in Split}
    for path in folder.iterdir():
        holders = [split for split, stream in streams.items() if path.read_bytes() in stream]
        assert len(holders) == 1, path.name
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert sum(corpus.sizes.values()) == total
    assert 0.7 < corpus.sizes[Split.TRAIN] / total < 0.9
    assert (corpus.documents, corpus.skipped) == (120, 0)


def test_streams_are_read_only_maps(corpus):
    stream = corpus.stream(Split.TRAIN)
    assert isinstance(stream.base, np.memmap)
    assert corpus.stream(Split.TRAIN) is stream
    with pytest.raises(ValueError, match="read-only"):
        stream[0] = 1


def test_near_duplicates_stay_together(folder, tmp_path):
    for path in sorted(folder.iterdir())[:40]:
        reflowed = path.read_text().replace("\n", "\n\n    ")
        (folder / f"copy-{path.name}").write_text(reflowed)
    corpus = load_corpus(folder, tmp_path / "cache")
    streams = {split: corpus.stream(split).tobytes() for split in Split}
    for path in folder.glob("copy-*"):
        original = folder / path.name.removeprefix("copy-")
        (split,) = (s for s, stream in streams.items() if original.read_bytes() in stream)
        assert path.read_bytes() in streams[split]


def test_second_load_reads_no_text(folder, corpus, tmp_path, monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert load_corpus(folder, cache=tmp_path / "cache") == corpus
    assert Corpus.open(corpus.directory) == corpus


def test_same_text_elsewhere_has_the_same_digest(folder, corpus, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    other = load_corpus(copy, cache=tmp_path / "cache")
    assert other.sha256 == corpus.sha256
    assert other.directory != corpus.directory
    assert other.origin == str(copy.resolve())


def test_cache_is_the_users_own_by_default(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("palmette.tasks._corpus.user_cache_path", lambda name: tmp_path / name)
    assert load_corpus(folder).directory.parent == tmp_path / "palmette" / "corpora"


def test_changed_file_changes_the_digest(folder, corpus, tmp_path):
    (folder / "000.txt").write_text(prose(999, 2500))
    assert load_corpus(folder, cache=tmp_path / "cache").sha256 != corpus.sha256


def test_more_files_move_no_text_between_splits(folder, corpus, tmp_path):
    (folder / "zzz.txt").write_text(prose(999, 2500))
    other = load_corpus(folder, cache=tmp_path / "cache")
    for split in Split:
        assert other.stream(split).tobytes().startswith(corpus.stream(split).tobytes())


def test_one_file_is_split_by_blocks(tmp_path):
    path = tmp_path / "novel"
    path.write_text(prose(1, 400_000))
    corpus = load_corpus(path, cache=tmp_path / "cache")
    assert corpus.documents > 200
    assert all(corpus.sizes[split] > 0 for split in Split)


def test_printed_with_digest_and_sizes(folder, corpus):
    (folder / "b.txt").write_bytes(b"\0")
    printed = str(load_corpus(folder, corpus.directory.parent))
    assert f"{folder}: 120 documents, 1 files that are not text left out; MB: train 0." in printed
    assert f"SHA-256 {corpus.sha256[:12]}" in printed


def test_too_small(tmp_path):
    path = tmp_path / "small.txt"
    path.write_text(prose(1, 5000)[:4000])
    with pytest.raises(CorpusError, match=r"holds 4\.0 kB of text, .*; give at least 200 kB"):
        load_corpus(path, tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(CorpusError, match=r"empty\.txt holds 0\.0 kB of text"):
        load_corpus(path, tmp_path)


def test_binary_file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 2000)
    with pytest.raises(CorpusError, match=r"weights\.bin is not text: NUL bytes, or over a tenth"):
        load_corpus(path, tmp_path)


def test_a_link_to_itself(tmp_path):
    (tmp_path / "me").symlink_to(tmp_path / "me")
    with pytest.raises(CorpusError, match=r"me names no place: .*; choose another corpus"):
        load_corpus(tmp_path / "me", tmp_path)


def test_folder_of_binary_files(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"\0" * 200_000)
    with pytest.raises(CorpusError, match="holds 2 files, none of them text: NUL bytes, or over"):
        load_corpus(tmp_path, tmp_path / "cache")


def test_repeated_text(tmp_path):
    path = tmp_path / "again.txt"
    path.write_text("all work and no play makes a dull corpus\n" * 10_000)
    with pytest.raises(CorpusError, match=r"leaves nothing for \w+ and .*: near-duplicates stay"):
        load_corpus(path, tmp_path)


def test_full_disk(folder, tmp_path, monkeypatch):
    def refuse(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    words = r"cannot keep the prepared corpus \(0\.3 MB\) in .*: No space left on device; free some"
    with pytest.raises(CorpusError, match=words):
        load_corpus(folder, tmp_path / "cache")
    assert list((tmp_path / "cache" / "corpora").iterdir()) == []


def test_cache_that_is_no_folder(folder, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CorpusError, match=r"cannot keep the prepared corpus .* XDG_CACHE_HOME"):
        load_corpus(folder, tmp_path / "cache")


def test_another_process_was_faster(folder, corpus, tmp_path, monkeypatch):
    """Both prepare the same folder; the second finds the first one's and takes it."""
    cache = tmp_path / "late"
    rename = Path.rename

    def late(path, target):
        shutil.copytree(corpus.directory, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert load_corpus(folder, cache).sha256 == corpus.sha256
    assert len(list((cache / "corpora").iterdir())) == 1


def test_damaged_cache(folder, corpus, tmp_path):
    os.truncate(corpus.directory / "train.bin", 10)
    with pytest.raises(
        CorpusError, match=r"is damaged: its splits hold \d+ bytes .*; delete the f"
    ):
        load_corpus(folder, tmp_path / "cache")


def test_open_where_nothing_is(tmp_path):
    with pytest.raises(CorpusError, match=r"holds no complete prepared corpus .*; delete the"):
        Corpus.open(tmp_path)


def test_standard_library(tmp_path):
    corpus = load_corpus(cache=tmp_path)
    assert corpus.origin.startswith("standard library of Python 3.")
    assert corpus.sizes[Split.TRAIN] > 5_000_000
    text = b"".join(corpus.stream(split).tobytes() for split in Split)
    assert b"class Generic" in text
    assert b'The "if" statement is used for conditional execution' in text
