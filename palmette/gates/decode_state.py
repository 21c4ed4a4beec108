"""The state of decoding is as large as it is declared."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject
from palmette.gates._decode import Size, decode, decodes, size_of, start
from palmette.grammar.types import Effect

LENGTHS = (40, 130, 170)
MORE = 1.05
SPARE_BYTES = 16


class DecodeState(Gate):
    """The state grows as declared, and not at all where a constant state is promised.

    Measured after 40, 130 and 170 tokens: the elements of its tensors against the closed form
    (5 % and 16 bytes for counters are allowed), and the memory that they keep alive, which may not
    grow from 130 to 170 where the state is constant: a short view of a long tensor keeps all of it.
    """

    name = "decode_state"
    needs = frozenset({Effect.STREAMABLE})

    def applies(self, subject: Subject) -> str | None:
        """Only where something is declared about the state."""
        if subject.state_bytes is None and Effect.CONSTANT_STATE not in subject.promises:
            return super().applies(subject) or "nothing is declared about its state"
        return super().applies(subject)

    @torch.no_grad()
    def check(self, subject: Subject) -> str:
        """The sizes."""
        model = subject.fresh()
        decodes(model)
        x = subject.inputs(LENGTHS[-1], rows=1)
        sizes: list[Size] = []
        state, done = start(model, 1), 0
        for length in LENGTHS:
            _, state = decode(model, x[:, done:length], state)
            sizes.append(size_of(state, 1))
            done = length
        told = ", ".join(
            f"{size.state_bytes:,} B at t = {length}"
            for size, length in zip(sizes, LENGTHS, strict=True)
        )
        if Effect.CONSTANT_STATE in subject.promises:
            self._constant(sizes, told)
        if subject.state_bytes is None:
            return told
        for size, length in zip(sizes, LENGTHS, strict=True):
            declared = subject.state_bytes(length)
            if size.state_bytes > MORE * declared + SPARE_BYTES:
                raise GateFailure(
                    f"keeps {size.state_bytes:,} bytes after {length} tokens where "
                    f"{declared:,} are declared"
                )
            if size.state_bytes < declared / MORE - SPARE_BYTES:
                raise GateFailure(
                    f"keeps only {size.state_bytes:,} bytes after {length} tokens where "
                    f"{declared:,} are declared: a wrong closed form, or state kept elsewhere"
                )
        return f"{told}, as declared"

    def _constant(self, sizes: list[Size], told: str) -> None:
        before, after = sizes[-2:]
        if after.state_bytes > before.state_bytes:
            raise GateFailure(f"promises a constant state, but it grows: {told}")
        if after.held_bytes > MORE * before.held_bytes:
            raise GateFailure(
                f"promises a constant state, but the memory that it keeps alive grows from "
                f"{before.held_bytes:,} to {after.held_bytes:,} bytes"
            )
