import pytest
import torch
from strange import VOCABULARY, described, layer, text

from palmette.model.stranger.counted import value

ROUNDED = "hidden = 64 * ((3 * d_model + 63) // 64); self.map = nn.Sequential(" \
    "nn.Linear(d_model, hidden), nn.Linear(hidden, d_model))"  # fmt: skip


def test_a_layer_is_described():
    found = described(text("average"), file="My Layer-2.py")
    assert found.name.startswith("my_layer_2_")
    assert (found.cls, found.takes, found.multiple, found.only) == (
        "GatedAverage", "features", 4, (),
    )  # fmt: skip
    assert found.summary == "Each head keeps a decaying average of its values."
    for width in (36, 200, 1024):
        assert value(found.parameters, width, 1, 256) == 3 * width * width + width + 4


def test_flops_are_counted_and_grow_with_the_length_as_the_layer_does():
    found = described(text("average"))
    for width, length in ((64, 64), (64, 256), (100, 128)):
        counted = float(value(found.flops_forward, width, 1, length))
        # three maps of d x d and, in masked form, d multiply-adds for each pair of tokens
        assert counted == pytest.approx(2 * (3 * width**2 + length * width), rel=1e-6)


def test_what_runs_as_one_fused_operator_is_counted_too():
    lstm = (
        "from torch import nn\n\nclass Lstm(nn.LSTM):\n"
        "    def __init__(self, input_size, hidden_size):\n"
        "        super().__init__(input_size, hidden_size, batch_first=True)\n"
    )
    attention = layer(
        body="self.map = nn.Linear(d_model, d_model)",
        forward="nn.functional.scaled_dot_product_attention(x, x, self.map(x), is_causal=True)",
    )
    assert float(value(described(lstm).flops_forward, 64, 1, 128)) == 2 * 2 * 4 * 64**2
    counted = float(value(described(attention).flops_forward, 64, 1, 128))
    assert counted == 2 * 64**2 + 2 * 2 * 64 * 128  # the whole square, as torch counts it


def test_a_model_is_counted_by_width_depth_and_context():
    found = described(text("gpt"))
    assert (found.takes, found.multiple, found.cls) == ("ids", 12, "GPT")
    width, depth, context = 96, 5, 1000
    block = 12 * width**2 + 13 * width
    wanted = (VOCABULARY + context) * width + depth * block + 2 * width
    assert value(found.parameters, width, depth, context) == wanted


def test_where_no_polynomial_holds_only_counted_widths_are_used():
    found = described(layer(body=ROUNDED))
    assert found.only[:3] == (8, 16, 24)
    for width in found.only[::7]:
        hidden = 64 * ((3 * width + 63) // 64)
        assert value(found.parameters, width, 1, 256) == 2 * width * hidden + hidden + width


@pytest.mark.parametrize(
    ("source", "multiple", "least", "only"),
    [
        (layer(), 1, 1, ()),
        (layer("d_model, n=3", "assert d_model % n == 0; self.map = nn.Linear(d_model, d_model)"),
         3, 3, ()),
        (layer(body="assert d_model % 16 == 0 and d_model >= 32; "
               "self.map = nn.Linear(d_model, d_model)"), 16, 32, ()),
        (layer("", "self.map = nn.Linear(96, 96)"), 1, 1, (96,)),
    ],
)  # fmt: skip
def test_widths_are_found_by_trying(source, multiple, least, only):
    found = described(source)
    assert (found.multiple, found.least, found.only) == (multiple, least, only)


@pytest.mark.parametrize("forward", ["(self.map(x), None)", "[(self.map(x),), 1]"])
def test_of_several_outputs_the_first_counts(forward):
    assert described(layer(forward=forward)).takes == "features"


def test_describing_leaves_the_generator_of_no_consequence():
    torch.manual_seed(0)
    first = described(layer(forward="torch.nn.functional.dropout(self.map(x), 0.5)"))
    assert first == described(layer(forward="torch.nn.functional.dropout(self.map(x), 0.5)"))
