import pytest
from strange import HEAD, faults, layer

SEVERAL = HEAD + "class One(nn.Module):\n    pass\nclass Two(nn.Module):\n    pass\n"


def test_a_syntax_error_is_told_with_its_line():
    (fault,) = faults(HEAD + "class Layer(nn.Module)\n    pass\n")
    assert fault == "layer.py line 3 is not Python (class Layer(nn.Module)): expected ':'"


def test_all_missing_imports_are_named_at_once():
    told = faults(
        "import einopz\nfrom flash_attn import x\nfrom .near import a\nimport near2\n" + layer(),
        beside=["near", "near2"],
    )
    assert told == [
        "layer.py line 3 imports 'near' from beside it; the file is run alone, so put what it "
        "needs into it",
        "layer.py line 4 imports 'near2' from beside it; the file is run alone, so put what it "
        "needs into it",
        "layer.py needs einopz and flash_attn, which are not installed: pip install einopz "
        "flash-attn",
    ]


def test_an_import_that_the_file_can_do_without_is_not_missed():
    optional = "try:\n    import flash_attn\nexcept ImportError:\n    flash_attn = None\n"
    assert faults(optional + layer()) == []


@pytest.mark.parametrize(
    ("source", "cls", "fault"),
    [
        ("x = 1\n", None, "layer.py defines no torch.nn.Module class"),
        ("class A:\n    pass\n", None,
         "layer.py defines no torch.nn.Module class; it has A (line 1)"),
        (SEVERAL, None,
         "layer.py defines 2 modules: One (line 3) and Two (line 5); say which, as in "
         "layer.py:Two"),
        (SEVERAL, "Three",
         "layer.py: Three is not in it; its modules: One (line 3) and Two (line 5)"),
        (SEVERAL, "torch",
         "layer.py: torch is not a torch.nn.Module; its modules: One (line 3) and Two (line 5)"),
        (HEAD + "raise ValueError('no')\n", None,
         "layer.py line 3 (raise ValueError('no')): ValueError: no"),
        ("import sys\nsys.exit(3)\n" + layer(), None, "layer.py line 2 (sys.exit(3)): "
         "SystemExit: 3"),
        ("import torch.nothing\n" + layer(), None, "layer.py line 1 (import torch.nothing): "
         "ModuleNotFoundError: No module named 'torch.nothing'"),
    ],
)  # fmt: skip
def test_a_file_without_a_layer_is_told(source, cls, fault):
    assert faults(source, cls) == [fault]


def test_parts_of_the_layer_are_not_mistaken_for_it():
    parts = HEAD + (
        "class Norm(nn.Module):\n    def forward(self, x):\n        return x\n"
        "def make():\n    return Norm()\n"
    )
    body = "self.norm = make()\n        self.map = nn.Linear(d_model, d_model)"
    assert faults(parts + layer(body=body)) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (layer(body="raise KeyError('a')"),
         "layer.py line 6 (raise KeyError('a')): KeyError: 'a' (constructing Layer at width 64)"),
        (layer(forward="self.mop(x)"),
         "layer.py line 8 (return self.mop(x)): AttributeError: 'Layer' object has no attribute "
         "'mop' (given [2, 12, 64] features)"),
        (layer(forward="self.map(x)[:, :-1]"),
         "layer.py: forward gives [2, 11, 64] for features [b t d] of shape [2, 12, 64]; wanted "
         "[2, 12, 64]"),
        (layer(forward="self.map(x).transpose(0, 1)"),
         "layer.py: forward gives [12, 2, 64] for features [b t d] of shape [2, 12, 64]; wanted "
         "[2, 12, 64] (it has time first; b comes first)"),
        (layer(forward="{'a': x}"), "layer.py: forward gives a dict"),
        (layer("vocab_size, d_model",
               "self.e = nn.Embedding(vocab_size, d_model); "
               "self.map = nn.Linear(d_model, vocab_size)",
               "self.map(self.e(x))[:, -1:]"),
         "layer.py: forward gives [2, 1, 272] for ids [b t] of shape [2, 12]; wanted "
         "[2, 12, 272] (it gives the last position alone)"),
    ],
)  # fmt: skip
def test_what_a_layer_does_wrong_is_told_with_its_own_line(source, told):
    first, last = faults(source)
    assert first == told
    assert last.startswith("layer.py: Layer maps neither features [b t d] to [b t d] nor ids")
