"""Oracles that others wrote: installed for tests alone, offline, and free to warn about themselves.

Warnings are errors in this project. What an oracle says while it is imported is its own affair, so
`transformers` is imported here once with warnings off; what it says when it is used counts.
"""

import importlib
import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    importlib.import_module("transformers")
