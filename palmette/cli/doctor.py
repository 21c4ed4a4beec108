"""`palmette doctor`: what works here."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch
import typer

from palmette.cli._options import STORAGE, FormatOption, StorageOption
from palmette.cli._print import show_rows, size
from palmette.designer.connect import served
from palmette.errors import CorpusError, StorageError, UserError
from palmette.ops.kernels.native.library import described, folder, unavailable
from palmette.records import DoctorRow
from palmette.store import Store
from palmette.tasks import load_corpus
from palmette.train.process import processors
from palmette.train.sandbox import Box

OLDEST_PYTHON = (3, 11)
MEMORY_WANTED = 3 << 30  # bytes that `grow` uses with two workers, at most
DISK_WANTED = 200 << 20  # bytes: a store, its weights, the corpus' streams
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def doctor(storage: StorageOption = STORAGE, form: FormatOption = "table") -> None:
    """Look at what `grow` needs here; exit 1 if it would not run."""
    rows = [_python(), _torch(), *_kernels(), _cores(), _memory(), _corpus(), _store(storage)]
    rows += [_disk(), _walls(), _models(), _browser()]
    show_rows(rows, form)
    if any(row.state == "broken" for row in rows):
        raise typer.Exit(1)


def _python() -> DoctorRow:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return _broken("Python", f"{platform.python_version()}; palmette wants {wanted} or newer")
    return _fine("Python", platform.python_version())


def _torch() -> DoctorRow:
    threads = torch.get_num_threads()
    cuda = "a CUDA device, not used in this version" if torch.cuda.is_available() else "CPU alone"
    return _fine("torch", f"{torch.__version__}, {threads} threads (trials use one), {cuda}")


def _kernels() -> list[DoctorRow]:
    return [
        _fine("kernels: torch", "every model has this form"),
        _missing("kernels: native", f"{reason}; trials take torch's")
        if (reason := unavailable())
        else _fine("kernels: native", f"{described()}; kept in {folder()}"),
    ]


def _cores() -> DoctorRow:
    return _fine("cores", f"{len(processors())} for workers")


def _memory() -> DoctorRow:
    free = psutil.virtual_memory().available
    told = f"{size(free)} available"
    if free < MEMORY_WANTED:
        return _missing("memory", f"{told}; {size(MEMORY_WANTED)} are better: use --workers 1")
    return _fine("memory", told)


def _corpus() -> DoctorRow:
    try:
        return _fine("text", str(load_corpus()))
    except CorpusError as error:
        return _broken("text", f"{error}; grow with --corpus PATH")


def _store(storage: str) -> DoctorRow:
    try:
        if not Store.exists(storage):
            return _missing("store", f"none at {storage} yet; `palmette grow` makes it")
        with Store(storage, create=False) as store:
            exams = set(store.campaigns("exam"))
            aside = exams | set(store.campaigns("tune"))
            names = [name for name in store.campaigns() if name not in aside]
    except StorageError as error:
        return _broken("store", str(error))
    examined = f"; exams: {len(exams)}" if exams else ""
    return _fine("store", f"{storage}: campaigns {', '.join(names) or 'none'}{examined}")


def _disk() -> DoctorRow:
    free = shutil.disk_usage(Path.cwd()).free
    told = f"{size(free)} free here"
    if free < DISK_WANTED:
        return _broken("disk", f"{told}; make room for {size(DISK_WANTED)}")
    return _fine("disk", told)


def _walls() -> DoctorRow:
    box = Box()
    if box.kind != "bubblewrap":
        return _missing("files of yours", f"{box.protection}; install bubblewrap (bwrap)")
    return _fine("files of yours", f"they run under {box.protection}")


def _models() -> DoctorRow:
    """Never says which key it is, nor what an address may hold beside the server."""
    if find_spec("openai") is None:
        return _missing("language models", "the openai package: pip install 'palmette[llm]'")
    key = "a key is set" if os.environ.get("OPENAI_API_KEY") else "no key is set"
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        told = "no OPENAI_API_KEY and no OPENAI_BASE_URL; only proposers that ask models want one"
        return _missing("language models", told)
    try:
        names = served()
    except UserError as error:
        return _missing("language models", f"{key}; {error}")
    return _fine("language models", f"{key}; the server answers and has {_many(names)}")


def _browser() -> DoctorRow:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        return _missing("browser", "no Chromium; reports open in any browser, tests want this one")
    return _fine("browser", found)


def _many(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} models"


def _fine(check: str, detail: str) -> DoctorRow:
    return DoctorRow(check=check, state="fine", detail=detail)


def _missing(check: str, detail: str) -> DoctorRow:
    return DoctorRow(check=check, state="missing", detail=detail)


def _broken(check: str, detail: str) -> DoctorRow:
    return DoctorRow(check=check, state="broken", detail=detail)
