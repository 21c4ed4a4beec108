"""One proposal's conversation with a model: ask, read, repair, and keep every step.

    session = Session(studio, 17, "llm", "some-model", rng)
    idea = session.ask("researcher", messages, read_idea, Shape("idea", schema))

A reader turns an answer into what was meant, or raises `UnreadableError` with all that is wrong
with it; the model is then told so and asked again, at most `retries` times. One that makes the same
faults again is asked afresh: shown its own words, a small model repeats them. Every attempt is a
`Thought`, noted as soon as it has ended, whether or not the proposal comes to anything.

No request is larger than the model's context. `prompt_tokens` is what the messages of a step may
have, so that an answer fits in behind them and so does what a repair adds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from palmette.designer.endpoint import (
    CHARACTERS_PER_TOKEN,
    Answer,
    CallError,
    Endpoint,
    Message,
    Request,
    Shape,
    tokens,
)
from palmette.designer.money import Ledger
from palmette.errors import PalmetteError
from palmette.records import DesignerConfig, Thought
from palmette.records.thought import Origin

T = TypeVar("T")
LONGEST_ANSWER = 20_000  # characters that are kept of one
FAULTS = 8  # at most, that a model is told of at once
KEPT_FAULTS = 40  # of an answer, and so many characters of each: a model can make thousands
KEPT_CHARACTERS = 1000
SAID_FAULTS = 3  # of a step that came to nothing
FAULT_CHARACTERS = 300  # of each
REPEATED = 4000  # characters that a model is shown again of an answer of its own
MESSAGE_TOKENS = 8  # about what a server adds to a message to say whose it is
UNHEARD = "how this call ended was not heard: the campaign was stopped, or something broke"
LEAST_ANSWER = 48  # tokens; with less room a model is not asked


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
    from whatever thread; `asking` before each call, with what to keep of it should nobody be there
    to hear its end: it will have been paid.
    """

    endpoint: Endpoint
    config: DesignerConfig
    ledger: Ledger
    note: Callable[[Thought, str | None], None] = lambda thought, prompt: None
    asking: Callable[[Thought, str], None] = lambda thought, prompt: None


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
        origin: Callable[[T], Origin | None] = lambda meant: None,
    ) -> T:
        """What a model answers, read and legal.

        `cards` and `genomes` name what the messages tell of; `content` says what of the answer is
        kept for people, `origin` where the idea in it comes from.

        Raises `StepError` if no legal answer comes.
        """
        config = self.studio.config
        wanted = min(most_tokens or config.answer_tokens, answer_tokens(config))
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
        for attempt in range(1, config.retries + 2):
            room = config.context_tokens - _size(told)
            if room < min(wanted, LEAST_ANSWER):
                raise StepError(
                    role,
                    f"a prompt of about {_size(told)} tokens leaves no room for an answer in a "
                    f"context of {config.context_tokens}; give the model a larger context",
                )
            request = Request(
                told,
                shape,
                min(wanted, room),
                config.temperature,
                self.rng.randrange(2**31),
            )
            thought = blank.model_copy(update={"attempt": attempt, "prompt": request.digest})
            answer = self._answer(role, request, thought)
            thought = thought.model_copy(update=self._spent(answer))
            try:
                meant = read(answer.text)
            except UnreadableError as error:
                before, faults = faults, _bounded(error.faults)
                if answer.cut:
                    faults = (f"the answer was cut after {answer.tokens_out} tokens", *faults)
                outcome = "refused" if error.refused else "invalid"
                self.keep(thought, request, outcome=outcome, faults=faults)
                room = config.context_tokens - _size(messages) - wanted
                told = tuple(messages)
                if faults != before:
                    told = _repair(messages, answer.text, faults, room)
                continue
            kept = {"content": content(meant), "origin": origin(meant)}
            self.keep(thought, request, outcome="fine", **kept)
            return meant
        tries = config.retries + 1
        raise StepError(role, f"no legal answer in {tries} attempts: {_said(faults)}")

    def check(self, faults: Sequence[str], content: dict[str, object]) -> None:
        """Notes a check that was executed, by the grammar, the screen or the gates."""
        self._note("invalid" if faults else "fine", faults, content)

    def lack(self, told: str) -> None:
        """Notes that the step goes on without something that failed beside it."""
        self._note("failed", (told,), {})

    def _note(self, outcome: str, faults: Sequence[str], content: dict[str, object]) -> None:
        thought = Thought.model_validate(
            {
                "proposal": self.proposal,
                "proposer": self.proposer,
                "role": "check",
                "outcome": outcome,
                "faults": tuple(faults),
                "content": content,
            }
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
                self.studio.asking(self._unheard(request, thought), _text(request.messages))
                answer = self.studio.endpoint.ask(self.model, request)
                paid.settle(answer.tokens_in, answer.tokens_out)
        except CallError as error:
            outcome = "refused" if error.kind == "refused" else "failed"
            spent = self._priced(error.tokens_in, error.tokens_out)
            self.keep(thought, request, outcome=outcome, faults=(str(error),), **spent)
            raise StepError(role, str(error), error) from error
        return answer

    def _unheard(self, request: Request, thought: Thought) -> Thought:
        spent = self._priced(request.tokens, request.most_tokens)
        return thought.model_copy(update={"faults": (UNHEARD,), **spent})

    def _spent(self, answer: Answer) -> dict[str, object]:
        return {
            "answer": answer.text[:LONGEST_ANSWER],
            "form": answer.form,
            "seconds": answer.seconds,
            **self._priced(answer.tokens_in, answer.tokens_out),
        }

    def _priced(self, tokens_in: int, tokens_out: int) -> dict[str, object]:
        usd = self.studio.ledger.usd(self.model, tokens_in, tokens_out)
        return {"tokens_in": tokens_in, "tokens_out": tokens_out, "usd": usd}


def answer_tokens(config: DesignerConfig) -> int:
    """How long an answer may be: what the campaign says, at most a third of the context."""
    return min(config.answer_tokens, config.context_tokens // 3)


def prompt_tokens(config: DesignerConfig) -> int:
    """How many tokens the messages of a step may have, so that answer and repairs fit in."""
    repairs = config.context_tokens // 8
    return config.context_tokens - answer_tokens(config) - repairs - 2 * MESSAGE_TOKENS


def _repair(
    messages: Sequence[Message], text: str, faults: Sequence[str], room: int
) -> tuple[Message, ...]:
    """The messages of a step and what is wrong with the answer to them, in `room` more tokens.

    What does not fit goes in this order: the end of the repeated answer, then faults, the last
    first. The first fault is always told.
    """
    listed = [f"- {fault[:FAULT_CHARACTERS]}" for fault in faults[:FAULTS]]
    while True:
        told = "\n".join(
            [
                "That answer cannot be used:",
                *listed,
                "Answer again, in the same form, corrected.",
            ]
        )
        left = room - tokens(told) - 2 * MESSAGE_TOKENS
        if left >= LEAST_ANSWER or len(listed) == 1:
            break
        listed.pop()
    again = min(REPEATED, int(left * CHARACTERS_PER_TOKEN))
    if left < LEAST_ANSWER:  # a fragment would tell nothing
        *before, last = messages
        return (*before, Message(last.speaker, f"{last.text}\n\n{told}"))
    repeated = text if len(text) <= again else text[: again - 4] + " ..."
    return (*messages, Message("assistant", repeated), Message("user", told))


def _bounded(faults: Sequence[str]) -> tuple[str, ...]:
    """The first of many faults, as they are kept."""
    return tuple(fault[:KEPT_CHARACTERS] for fault in faults[:KEPT_FAULTS])


def _said(faults: Sequence[str]) -> str:
    """Faults in a sentence, of many the first."""
    more = len(faults) - SAID_FAULTS
    told = "; ".join(fault[:FAULT_CHARACTERS] for fault in faults[:SAID_FAULTS])
    return f"{told}; and more" if more > 0 else told


def _size(messages: Sequence[Message]) -> int:
    """About how many tokens messages have, as a server counts them."""
    return tokens(*(message.text for message in messages)) + MESSAGE_TOKENS * len(messages)


def _text(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"[{message.speaker}]\n{message.text}" for message in messages)
