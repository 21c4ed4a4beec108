"""Oracles are for tests: whoever installs palmette does not get them."""

import ast
from pathlib import Path

import pytest
import torch

import palmette
from tests.parity.oracles import assert_parity

ORACLES = {"transformers", "fla", "einops", "triton", "mambapy"}


def imported(text: str) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for part in ast.walk(ast.parse(text)):
        if isinstance(part, ast.Import):
            found |= {name.name.partition(".")[0] for name in part.names}
        elif isinstance(part, ast.ImportFrom) and part.module and not part.level:
            found.add(part.module.partition(".")[0])
    return found


def test_no_module_of_the_package_imports_an_oracle() -> None:
    files = sorted(Path(palmette.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    found = {str(file): imported(file.read_text("utf-8")) & ORACLES for file in files}
    assert not {file: names for file, names in found.items() if names}


def test_an_import_inside_a_function_is_seen() -> None:
    assert imported("def f():\n    import torch, fla.ops\n    from einops.x import y") == {
        "torch",
        "fla",
        "einops",
    }


def test_parity_is_refused_for_other_values_other_gradients_and_idle_leaves() -> None:
    x, idle = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    leaves = {"x": x}
    assert_parity(2 * x, x + x, leaves)
    with pytest.raises(AssertionError, match="the values: off by 1"):
        assert_parity(2 * x, x, leaves)
    with pytest.raises(AssertionError, match="the gradient in x: off by 5"):
        assert_parity(x + x.detach(), 2 * x, leaves, relative=1e-3)
    with pytest.raises(AssertionError, match="the values"):
        assert_parity(x[:1], x, leaves)
    with pytest.raises(AssertionError, match="idle has no influence"):
        assert_parity(x + 0 * idle, x + 0 * idle, {"idle": idle})
