"""What an exchange that failed means for whoever asked: a kind, and one sentence."""

from __future__ import annotations

from palmette.designer.completion import error_text
from palmette.designer.endpoint import CallError, Failing, Request
from palmette.designer.exchange import LARGEST, ExchangeError
from palmette.designer.manner import ABOUT_LENGTH, CENSORED
from palmette.designer.secret import Secrets

TOLD = 200  # characters of a server's message that are passed on
PASSING = frozenset({408, 409, 425, 429})  # besides 5xx: statuses that may change by themselves
EXHAUSTED = ("insufficient_quota", "exceeded your current quota", "billing")
PERHAPS_PAID: frozenset[Failing] = frozenset({"timeout", "bad answer", "too large"})
OUTAGES: frozenset[Failing] = frozenset(
    {"unreachable", "timeout", "rate limited", "server error", "bad answer"}
)


def kind(error: ExchangeError) -> Failing:
    """The kind of a `CallError`."""
    match error.kind:
        case "status":
            return _of_status(error.status, error.told.lower())
        case "broken":
            return "bad answer"
        case "closed":
            return "unreachable"
        case "unreachable" | "timeout" | "too large":
            return error.kind


def passing(error: ExchangeError) -> bool:
    """Whether the same may work in a moment, and certainly was not paid for."""
    if error.kind == "status":
        changing = kind(error) in ("rate limited", "server error")
        return changing and (error.status >= 500 or error.status in PASSING)
    return error.kind == "unreachable"


def outage(error: ExchangeError) -> bool:
    """Whether the server is to blame, so that a rest may help it."""
    if error.kind == "status" and error.status < 500 and error.status not in PASSING:
        return False
    return kind(error) in OUTAGES and error.kind != "closed"


def quoted(text: str, secrets: Secrets) -> str:
    """What a server said, for a message: short, of one line, without secrets."""
    told = secrets.cut(error_text(text))
    return told if len(told) <= TOLD else f"{told[:TOLD]}…"


def call_error(
    error: ExchangeError, secrets: Secrets, model: str, seconds: float, request: Request | None
) -> CallError:
    """The error for whoever asked.

    What a server says of a key it refuses is left out: it may tell a part of it.
    """
    failing = kind(error)
    told = _sentence(failing, secrets.url, model, seconds)
    said = quoted(error.told, secrets)
    answered = error.kind == "status"
    if error.kind == "closed":
        told = f"the client for {secrets.url} was closed"
    elif failing == "unauthorised":
        told += f" ({error.status})"
    elif answered:
        if failing == "too large":
            told = f"{secrets.url} takes no prompt of this length"
        told += f": {error.status} {said}".rstrip()
    elif said and failing not in ("timeout", "too large"):
        told += f": {said}"
    if answered or request is None or failing not in PERHAPS_PAID:
        return CallError(failing, told)
    return CallError(failing, told, request.tokens, request.most_tokens)


def _of_status(status: int, told: str) -> Failing:
    if any(word in told for word in CENSORED):
        return "refused"
    if status in (401, 403):
        return "unauthorised"
    if status == 402 or (status == 429 and any(word in told for word in EXHAUSTED)):
        return "account empty"
    if status == 429:
        return "rate limited"
    if status == 413 or (status in (400, 422, 500) and _about_length(told)):
        return "too large"
    missing = "model" in told and any(
        word in told for word in ("not found", "not exist", "no such")
    )
    if status == 404 or (status == 400 and missing):
        return "unknown model"
    return "server error"


def _about_length(told: str) -> bool:
    return "context" in told and any(word in told for word in ABOUT_LENGTH)


def _sentence(failing: Failing, url: str, model: str, seconds: float) -> str:
    match failing:
        case "unreachable":
            return f"no server answers at {url} (OPENAI_BASE_URL)"
        case "timeout":
            return f"{url} did not finish its answer within {seconds:g} s"
        case "rate limited":
            return f"{url} limits how often it is asked"
        case "server error":
            return f"{url} could not answer"
        case "unauthorised":
            return f"{url} refuses the key; check OPENAI_API_KEY"
        case "unknown model":
            if not model:
                return (
                    f"{url} lists no models; OPENAI_BASE_URL wants the whole address, often one "
                    "that ends in /v1"
                )
            return f"{url} has no model {model!r}, or OPENAI_BASE_URL is not its whole address"
        case "bad answer":
            return f"{url} gave an answer that is none"
        case "too large":
            return f"{url} gave an answer of more than {LARGEST // 2**20} MB"
        case "refused":
            return f"{url} declines to answer"
        case "account empty" | "over budget":  # the latter is the campaign's own, of no exchange
            return f"the account at {url} has nothing left to spend"
