"""One proposal's conversation with a model: ask, read, repair, and keep every step.

    session = Session(studio, 17, "llm", "some-model", rng)
    idea = session.ask("researcher", messages, read_idea, Shape("idea", schema))

A reader turns an answer into what was meant, or raises `UnreadableError` with all that is wrong
with it; the model is then told so and asked again, at most `retries` times. Every attempt is a
`Thought`, noted as soon as it has ended, whether or not the proposal comes to anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from palmette.designer.endpoint import Answer, CallError, Endpoint, Message, Request, Shape
from palmette.designer.money import Ledger
from palmette.errors import PalmetteError
from palmette.records import DesignerConfig, Thought

T = TypeVar("T")
LONGEST_ANSWER = 20_000  # characters that are kept of one
FAULTS = 8  # at most, that a model is told of at once
FAULT_CHARACTERS = 300  # of each


class UnreadableError(PalmetteError):
    """An answer that is not what was asked for; `faults` holds everything that is wrong."""

    def __init__(self, faults: Sequence[str], refused: bool = False) -> None:
        self.faults = tuple(faults)
        self.refused = refused
        super().__init__("; ".join(self.faults))


class StepError(PalmetteError):
    """A step that came to nothing: no legal answer within the retries, or no answer at all.

    `call` is the endpoint's error in the second case.
    """

    def __init__(self, role: str, told: str, call: CallError | None = None) -> None:
        self.role = role
        self.call = call
        super().__init__(f"{role}: {told}")


@dataclass(frozen=True)
class Studio:
    """What all designers of a campaign work with.

    `note` is called with every thought as soon as it has ended and with the text of its prompt,
    from whatever thread.
    """

    endpoint: Endpoint
    config: DesignerConfig
    ledger: Ledger
    note: Callable[[Thought, str | None], None] = lambda thought, prompt: None


@dataclass
class Session:
    """The steps of one proposal, all with one model; not shared between threads."""

    studio: Studio
    proposal: int
    proposer: str
    model: str
    rng: random.Random
    thoughts: list[Thought] = field(default_factory=list)

    def ask(
        self,
        role: str,
        messages: Sequence[Message],
        read: Callable[[str], T],
        shape: Shape | None = None,
        cards: Sequence[str] = (),
        genomes: Sequence[str] = (),
        content: Callable[[T], dict[str, object]] = lambda meant: {},
        most_tokens: int | None = None,
    ) -> T:
        """What a model answers, read and legal.

        `cards` and `genomes` name what the messages tell of; `content` says what of the answer is
        kept for people.

        Raises `StepError` if no legal answer comes.
        """
        blank = Thought(
            proposal=self.proposal,
            proposer=self.proposer,
            role=role,
            model=self.model,
            cards=tuple(cards),
            genomes=tuple(genomes),
            outcome="failed",
        )
        told = tuple(messages)
        faults: tuple[str, ...] = ()
        for attempt in range(1, self.studio.config.retries + 2):
            request = Request(
                told,
                shape,
                most_tokens or self.studio.config.answer_tokens,
                self.studio.config.temperature,
                self.rng.randrange(2**31),
            )
            thought = blank.model_copy(update={"attempt": attempt, "prompt": request.digest})
            answer = self._answer(role, request, thought)
            thought = thought.model_copy(update=self._spent(answer))
            try:
                meant = read(answer.text)
            except UnreadableError as error:
                faults = error.faults
                if answer.cut:
                    faults = (f"the answer was cut after {answer.tokens_out} tokens", *faults)
                outcome = "refused" if error.refused else "invalid"
                self.keep(thought, request, outcome=outcome, faults=faults)
                told = (*messages, *_repair(answer.text, faults))
                continue
            self.keep(thought, request, outcome="fine", content=content(meant))
            return meant
        tries = self.studio.config.retries + 1
        raise StepError(role, f"no legal answer in {tries} attempts: {'; '.join(faults)}")

    def check(self, faults: Sequence[str], content: dict[str, object]) -> None:
        """Notes a check that was executed, by the grammar, the screen or the gates."""
        outcome = "invalid" if faults else "fine"
        thought = Thought(
            proposal=self.proposal,
            proposer=self.proposer,
            role="check",
            outcome=outcome,
            faults=tuple(faults),
            content=content,
        )
        self.thoughts.append(thought)
        self.studio.note(thought, None)

    def keep(self, thought: Thought, request: Request, **changes: object) -> None:
        """Notes a thought, changed so."""
        kept = thought.model_copy(update=changes)
        self.thoughts.append(kept)
        self.studio.note(kept, _text(request.messages))

    def _answer(self, role: str, request: Request, thought: Thought) -> Answer:
        try:
            with self.studio.ledger.reserve(self.model, request) as paid:
                answer = self.studio.endpoint.ask(self.model, request)
                paid.settle(answer.tokens_in, answer.tokens_out)
        except CallError as error:
            outcome = "refused" if error.kind == "refused" else "failed"
            spent = {"tokens_in": error.tokens_in, "tokens_out": error.tokens_out}
            self.keep(thought, request, outcome=outcome, faults=(str(error),), **spent)
            raise StepError(role, str(error), error) from error
        return answer

    def _spent(self, answer: Answer) -> dict[str, object]:
        return {
            "answer": answer.text[:LONGEST_ANSWER],
            "form": answer.form,
            "tokens_in": answer.tokens_in,
            "tokens_out": answer.tokens_out,
            "usd": self.studio.ledger.usd(self.model, answer.tokens_in, answer.tokens_out),
            "seconds": answer.seconds,
        }

    def with_model(self, model: str) -> Session:
        """The same session with another model, from here on."""
        return replace(self, model=model)


def _repair(text: str, faults: Sequence[str]) -> tuple[Message, Message]:
    """What a model is told of an answer that is not legal."""
    listed = "\n".join(f"- {fault[:FAULT_CHARACTERS]}" for fault in faults[:FAULTS])
    told = f"That answer cannot be used:\n{listed}\nAnswer again, in the same form, corrected."
    return Message("assistant", text[:LONGEST_ANSWER]), Message("user", told)


def _text(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"[{message.speaker}]\n{message.text}" for message in messages)
