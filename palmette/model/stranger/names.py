"""What a constructor's argument means, by the names that people give to it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from palmette.errors import UserError
from palmette.records import Setting

NAMES: dict[str, str] = {
    "width": (
        "d_model dim hidden_size embed_dim n_embd width hidden_dim d input_size emb_dim model_dim "
        "embedding_dim embed_size emb_size n_embed dim_model d_embed embedding_size hidden "
        "channels features in_features out_features input_dim output_dim in_dim out_dim "
        "in_channels out_channels output_size size d_in d_out emb units c"
    ),
    "heads": (
        "num_heads n_heads heads n_head nhead num_head num_attention_heads n_attention_heads "
        "attention_heads nheads h num_kv_heads n_kv_heads num_key_value_heads kv_heads n_kv_head"
    ),
    "head": "head_dim d_head dim_head head_size head_width d_k d_v headdim d_key d_value",
    "hidden": (
        "d_ff ffn_dim intermediate_size hidden_features dim_feedforward mlp_dim ff_dim d_mlp "
        "d_hidden d_ffn mlp_hidden_dim ffn_hidden_size n_inner d_inner inner_dim"
    ),
    "depth": (
        "num_layers n_layers depth n_layer layers num_hidden_layers num_blocks n_blocks n_block "
        "num_layer"
    ),
    "vocabulary": (
        "vocab_size n_vocab vocab vocabulary vocabulary_size num_tokens n_tokens ntoken num_vocab "
        "num_embeddings voc_size ntokens"
    ),
    "context": (
        "max_len block_size seq_len context max_seq_len max_length context_length n_ctx maxlen "
        "max_position_embeddings n_positions ctx_len context_size sequence_length max_seq_length "
        "max_positions seq_length max_sequence_length max_context l_max ctx_length length"
    ),
}
SIZES = {size: tuple(text.split()) for size, text in NAMES.items()}
ALWAYS: dict[str, Setting] = {  # whatever the default: what a causal layer over [b t d] has to be
    **dict.fromkeys(("causal", "is_causal", "is_decoder", "causal_mask"), True),
    "batch_first": True,
    "bidirectional": False,
}
REQUIRED: dict[str, Setting] = {  # where there is no default
    name: value
    for names, value in (
        ("dropout p drop dropout_p dropout_rate p_drop attn_dropout attn_drop drop_path", 0.0),
        ("resid_dropout resid_drop resid_pdrop attn_pdrop embd_pdrop", 0.0),
        ("layer_idx layer_id layer_index idx layer i", 0),
        ("bias use_bias qkv_bias", False),
        ("d_state n_state state_size state_dim n rank r num_slots slots", 16),
        ("kernel_size d_conv conv_size kernel conv_kernel", 4),
        ("chunk_size chunk window window_size chunk_len block", 32),
        ("expand expansion expand_factor num_experts_per_tok top_k k", 2),
        ("num_experts n_experts experts", 4),
        ("num_groups groups n_groups ngroups", 1),
        ("eps norm_eps layer_norm_eps rms_norm_eps", 1e-5),
        ("rope_theta rope_base theta base", 10000.0),
        ("device dtype mask", None),
    )
    for name in names.split()
}
CONFIGS = ("config", "cfg", "conf", "configuration", "args", "params", "hparams", "options", "hp")
OPTIONAL = frozenset({"heads", "head", "hidden"})  # a default is the author's choice and stays


def meaning(name: str) -> str | None:
    """The size that an argument of this name takes.

    >>> [meaning(name) for name in ("n_embd", "nhead", "foo")]
    ['width', 'heads', None]
    """
    low = name.lower().strip("_")
    return next((size for size, names in SIZES.items() if low in names), None)


def parse_given(pairs: Iterable[str]) -> dict[str, Setting]:
    """What `--arg name=value` says: numbers, True, False, None, or else text.

    Raises `UserError` with every fault.

    >>> parse_given(["heads=8", "kind=fast"])
    {'heads': 8, 'kind': 'fast'}
    """
    given: dict[str, Setting] = {}
    faults: list[str] = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip().isidentifier():
            faults.append(f"--arg wants name=value, such as num_heads=8, got {pair!r}")
            continue
        value = _value(text.strip())
        if not isinstance(value, bool | int | float | str | None):
            faults.append(f"--arg {name}: {text} is not a number, True, False, None or a word")
            continue
        if name.strip() in given:
            faults.append(f"--arg {name} is given twice")
        given[name.strip()] = value
    if faults:
        raise UserError("; ".join(faults))
    return given


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
