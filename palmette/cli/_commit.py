"""Which commit of palmette is running, recorded with every trial."""

from __future__ import annotations

import subprocess
from pathlib import Path

import palmette


def commit() -> str | None:
    """The commit of the checkout that this package runs from, with + if it was changed.

    None if it is installed without its repository, or if git is missing.
    """
    package = Path(palmette.__file__).parent
    command = ["git", "-C", str(package), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    tracked = ["git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py"]
    if subprocess.run(tracked, capture_output=True, timeout=10, check=False).returncode:
        return None  # another project's repository, with palmette installed somewhere inside it
    return found.stdout.strip() or None
