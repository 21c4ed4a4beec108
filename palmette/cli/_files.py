"""Files that a command writes."""

from __future__ import annotations

import os
from pathlib import Path

from palmette.errors import UserError


def check_file(path: Path, ending: str, option: str = "-o") -> None:
    """Raises `UserError` unless a file of this name can be written, before any work is done."""
    if not path.name.endswith(ending):
        raise UserError(f"{option} wants a file that ends in {ending}, got {path}")
    if path.is_dir():
        raise UserError(f"{option} wants a file, but {path} is a folder; name a file in it")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; make it first: mkdir -p {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UserError(f"no permission to write {path}; name another file with {option}")
