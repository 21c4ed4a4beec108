import pytest

from palmette.errors import CorpusError
from palmette.tasks import _documents
from palmette.tasks._documents import (
    Document,
    find_sources,
    group_near_duplicates,
    is_text,
    read_documents,
)

from .conftest import prose


def names(folder):
    return [source.name for source in find_sources(folder)]


def write(path, data=b"text\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_folder_holds_text_files_below_it(tmp_path):
    for name in ("b.txt", "a/z.py", "a/Y.MD", "a.rst"):
        write(tmp_path / name)
    for name in ("x.so", ".git/c.txt", "__pycache__/d.py", "site-packages/e.py", "plain"):
        write(tmp_path / name)
    (tmp_path / "broken.txt").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path) == ["a.rst", "a/Y.MD", "a/z.py", "b.txt"]


def test_single_file_may_have_any_suffix(tmp_path):
    write(tmp_path / "enwik8")
    assert names(tmp_path / "enwik8") == ["enwik8"]


def test_what_is_text():
    assert is_text(b"")
    assert is_text("ein Käfer, ein Öl".encode())
    assert is_text("Latin-1: 'voilà', écrit quelqu'un".encode("latin-1"))
    assert not is_text("UTF-16".encode("utf-16"))
    assert not is_text(bytes(range(1, 256)))


def test_large_files_are_cut_after_lines(tmp_path):
    text = prose(1, 50_000).encode()
    write(tmp_path / "one.txt", text)
    documents, skipped = read_documents(find_sources(tmp_path / "one.txt"))
    assert skipped == 0
    assert b"".join(document.data for document in documents) == text
    assert 200 <= len(documents) <= 400
    assert documents[7].name == "one.txt#00007"
    assert all(document.data.endswith(b"\n") for document in documents)


@pytest.mark.parametrize(("text", "end"), [(b"word " * 2000, b" "), (b"x" * 10_000, b"x")])
def test_text_without_lines_is_cut_after_words_or_anywhere(tmp_path, text, end):
    write(tmp_path / "one.txt", text)
    documents, _ = read_documents(find_sources(tmp_path / "one.txt"))
    assert b"".join(document.data for document in documents) == text
    assert all(document.data.endswith(end) for document in documents)
    assert max(len(document.data) for document in documents) <= len(text) // 200


def test_files_that_are_not_text_are_counted(tmp_path):
    write(tmp_path / "a.txt")
    write(tmp_path / "b.txt", b"\0\1\2")
    documents, skipped = read_documents(find_sources(tmp_path))
    assert {document.name.partition("#")[0] for document in documents} == {"a.txt"}
    assert skipped == 1


def test_help_topics_become_prose(tmp_path):
    write(
        tmp_path / "pydoc_data/topics.py", b"topics = {'if': 'The \"if\"\\nstatement', 'a': 'b'}\n"
    )
    write(tmp_path / "filler.txt", b"x" * 40_000)
    documents, _ = read_documents(find_sources(tmp_path))
    topics = {d.name: d.data for d in documents if "topics" in d.name}
    assert topics == {
        "pydoc_data/topics/a.txt": b"b",
        "pydoc_data/topics/if.txt": b'The "if"\nstatement',
    }


@pytest.mark.parametrize("data", [b"topics = {", b"print(1)\n", b""])
def test_a_file_that_only_has_that_name_is_a_file(tmp_path, data):
    write(tmp_path / "pydoc_data/topics.py", data)
    write(tmp_path / "filler.txt", b"x" * 40_000)
    documents, _ = read_documents(find_sources(tmp_path))
    assert documents[-1] == Document("pydoc_data/topics.py", data)


def test_near_duplicates_are_grouped():
    text = prose(1, 4000)
    lines = text.splitlines()
    edited = "\n".join([*lines[:20], "an added line", *lines[20:40], *lines[45:]])
    half_new = "\n".join([*lines[: len(lines) // 3], prose(3, 3000)])
    texts = ["other\n", text, prose(2, 4000), text.replace(" ", "\n  "), edited, half_new, "oth er"]
    documents = [Document(str(i), text.encode()) for i, text in enumerate(texts)]
    assert group_near_duplicates(documents) == [0, 1, 2, 1, 1, 5, 0]


def test_a_family_of_many_copies_joins_up():
    text = prose(1, 3000)
    documents = [Document(str(i), f"{text}{prose(100 + i, 200)}".encode()) for i in range(80)]
    assert set(group_near_duplicates(documents)) == {0}


def test_missing_path(tmp_path):
    with pytest.raises(
        CorpusError, match=r"there is no corpus at .*nowhere; --corpus wants a file"
    ):
        find_sources(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(CorpusError, match=r"the folder .* is empty; --corpus wants a file or"):
        find_sources(tmp_path)


def test_folder_without_text(tmp_path):
    write(tmp_path / "a.jpeg")
    write(tmp_path / "b.bin")
    with pytest.raises(CorpusError, match=r"no text in .*: none of its 2 files has a suffix such"):
        find_sources(tmp_path)


def test_device(tmp_path):
    with pytest.raises(CorpusError, match="/dev/null is neither a file nor a folder"):
        find_sources(_documents.Path("/dev/null"))


def test_unreadable_files_are_all_named(tmp_path, monkeypatch):
    for name in ("a.txt", "b.txt", "c.txt"):
        write(tmp_path / name)
    sources = find_sources(tmp_path)
    read = _documents.Path.read_bytes

    def refuse(path):
        if path.name != "b.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(_documents.Path, "read_bytes", refuse)
    words = r"cannot read 2 of the corpus' files: .*a.txt \(Permission denied\), .*c.txt \(Perm"
    with pytest.raises(CorpusError, match=words):
        read_documents(sources)


def test_unreadable_folder(tmp_path, monkeypatch):
    write(tmp_path / "locked" / "a.txt")
    scan = _documents.os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(_documents.os, "scandir", refuse)
    with pytest.raises(CorpusError, match=r"cannot read .*locked: Permission denied; make it read"):
        find_sources(tmp_path)


def test_python_without_sources(monkeypatch, tmp_path):
    missing = tmp_path / "python311.zip"
    monkeypatch.setattr(_documents.sysconfig, "get_path", lambda name: str(missing))
    with pytest.raises(CorpusError, match=r"no standard library sources at .*zip; give a file or"):
        _documents.standard_library()
