"""What a linear recurrence of the `lin` family costs, from the arguments of its module."""

from palmette.ops._base import Cost
from palmette.ops._lin_parts import LOW_RANK_DECAYS, TIED_DECAYS, projection_widths


def recurrence_cost(
    *,
    width: int,
    heads: int,
    key_heads: int,
    key_size: int,
    value_size: int,
    rank: int,
    conv: int,
    conv_activation: str,
    bias: bool,
    feature: str,
    rotary: bool,
    decay: str,
    write: str,
    erase: str,
    householders: int,
    read: str,
    skip: bool,
    out_norm: str,
    out_gate: str,
) -> Cost:
    """Exact parameters; multiply-adds of the recurrent form; a state that does not grow."""
    keys, values = heads * key_size, heads * value_size
    widths = projection_widths(
        heads=heads,
        key_heads=key_heads,
        key_size=key_size,
        value_size=value_size,
        rank=rank,
        householders=householders,
        decay=decay,
        write=write,
        erase=erase,
        out_gate=out_gate,
    )
    channels = widths["q"] + widths["k"] + widths["erase_key"] + widths["v"]
    gated = {  # what each low-rank gate is wide
        "decay": keys * (widths["decay"] > 0),
        "erase": householders * keys * (widths["erase"] > 0),
        "write": householders * values * (widths["write"] > 0),
    }
    low_rank = rank * sum(gated.values())
    matrices = width * (sum(widths.values()) + values) + channels * conv + low_rank
    vectors = sum(
        (
            channels * bias,
            2 * key_size * (feature == "rms"),
            gated["decay"] + gated["erase"] + gated["write"],  # a bias each; vector_dt's is dt_bias
            key_heads * key_size * (decay == "tied_floor"),
            heads * (decay in ("scalar", "vector_dt")),
            widths["dt"],
            heads * (erase == "share"),
            2 * key_heads * key_size * (erase == "removal"),
            keys * (read in ("bonus", "echo")),
            heads * (read == "corrected"),
            heads * skip,
            value_size * (out_norm == "rms"),
            values * (out_norm == "rms_after"),
        )
    )
    normalised = read == "normalised"
    state = keys * (value_size + normalised)
    decays = householders if decay in TIED_DECAYS else int(decay != "none")
    updates = decays + householders * _passes(decay, write, erase) + 1  # decay, write, read
    gates = values * ((out_gate != "none") + skip + normalised)
    corrections = (keys + values) * (read in ("bonus", "echo")) + keys * (read == "corrected")
    return Cost(
        parameters=matrices + vectors,
        flops_forward=2.0 * (matrices + state * updates + gates + corrections),
        state_bytes=4 * (state + channels * max(conv - 1, 0)),
    )


def _passes(decay: str, write: str, erase: str) -> int:
    """Passes over the state that one write takes.

    One adds k v^T. Erasing first reads a^T S; then b (a^T S) + k v^T is one outer product where
    b is k, as in the delta rule, and two where b is a direction of its own or k has a strength
    for each channel.
    """
    if erase == "none":
        return 1
    on_channels = (write, decay) == ("dt", "vector_dt") or (
        write == "complement" and decay in (*LOW_RANK_DECAYS, *TIED_DECAYS)
    )
    return 3 if erase in ("free", "removal") or on_channels else 2
