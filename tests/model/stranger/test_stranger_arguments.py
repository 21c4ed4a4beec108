import pytest
from strange import described, faults, layer, text

from palmette.errors import UserError
from palmette.model.stranger.names import parse_given


@pytest.mark.parametrize(
    ("arguments", "sizes", "settings"),
    [
        ("dim", {"dim": "width"}, {}),
        ("hidden_size, num_attention_heads", {"hidden_size": "width"}, {"num_attention_heads": 4}),
        ("embed_dim, nhead=8", {"embed_dim": "width"}, {}),
        ("d_model, n_heads, head_dim", {"d_model": "width", "head_dim": "width/4"}, {"n_heads": 4}),
        ("n_embd, heads=8, *, d_head", {"n_embd": "width", "d_head": "width/8"}, {}),
        ("dim, hidden_dim", {"dim": "width", "hidden_dim": "4*width"}, {}),
        ("dim, d_ff=None, dropout=0.1", {"dim": "width"}, {}),
        ("dim, dropout, layer_idx, bias, causal=False", {"dim": "width"},
         {"dropout": 0.0, "layer_idx": 0, "bias": False, "causal": True}),
        ("input_size, max_seq_len=99, device=None, **more",
         {"input_size": "width", "max_seq_len": "context"}, {}),
    ],
)  # fmt: skip
def test_arguments_are_found_by_name(arguments, sizes, settings):
    width = arguments.partition(",")[0]
    found = described(layer(arguments, f"self.map = nn.Linear({width}, {width})"))
    assert (found.sizes, found.settings) == (sizes, settings)


def test_what_no_name_explains_is_asked_for_all_at_once():
    assert faults(layer("d_model, wobble, wibble"), wubble=1) == [
        "layer.py: what wobble and wibble of Layer's constructor should be is not plain from their "
        "names; say it: --arg wobble=… --arg wibble=…",
        "layer.py: Layer has no argument wubble; it has d_model, wobble and wibble",
    ]


def test_given_arguments_decide():
    found = described(layer("d_model, wobble"), wobble="fast")
    assert found.settings == {"wobble": "fast"}
    assert found.given == {"wobble": "fast"}
    fixed = described(layer(), d_model=48)
    assert fixed.only == (48,)


def test_arguments_are_part_of_the_name():
    names = {described(layer("d_model, n=1"), **given).name for given in ({}, {"n": 2}, {"n": 3})}
    assert len(names) == 3
    assert all(name.startswith("layer_") for name in names)


def test_given_pairs_are_read_or_told():
    assert parse_given(["a=1", "b=1.5", "c=True", "d=None", "e=fast", "f='1'"]) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "fast", "f": "1",
    }  # fmt: skip
    with pytest.raises(UserError) as told:
        parse_given(["a", "b=[1]", "=3"])
    assert str(told.value) == (
        "--arg wants name=value, such as num_heads=8, got 'a'; --arg b: [1] is not a number, True, "
        "False, None or a word; --arg wants name=value, such as num_heads=8, got '=3'"
    )


def test_a_config_of_the_file_is_filled_by_the_names_of_its_fields():
    found = described(text("gpt"), "CausalSelfAttention", bias=False)
    assert (found.config, found.config_cls) == ("config", "GPTConfig")
    assert found.config_settings == {"bias": False}
    assert found.config_sizes["n_embd"] == "width"
    assert found.multiple == 12  # its twelve heads stay


def test_a_config_of_no_class_answers_to_common_names():
    source = layer("cfg", "self.map = nn.Linear(cfg.n_embd, cfg.n_embd, cfg.bias)")
    found = described(source)
    assert (found.config, found.config_cls) == ("cfg", None)
    assert found.config_sizes == {"n_embd": "width"}
    assert found.config_settings == {"bias": False}
    odd = layer("cfg", "self.map = nn.Linear(cfg.n_embd, cfg.wobble)")
    assert "the config has no 'wobble'; give it: --arg wobble=…" in faults(odd)[0]
