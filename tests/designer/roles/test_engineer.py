"""The engineer's answers are read, put to the test, and sent back with what is wrong."""

import random

import pytest

import palmette
from palmette.designer.money import Ledger
from palmette.designer.roles.engineer import code_of, engineer
from palmette.designer.scene import Scene, Shown
from palmette.designer.session import Session, StepError, Studio, UnreadableError
from palmette.model.stranger.source import StrangerError
from palmette.records import Counted, DesignerConfig, GateResult, Stranger
from palmette.testing.scripted import Scripted

FILE = "import torch\nfrom torch import nn\n\n\nclass Layer(nn.Module):\n    pass\n"
COUNTED = Counted(axes=((16, 32),), values=(1.0, 2.0))
MADE = Stranger(
    name="idea_17_1a2b3c4d", file="idea_17.py", cls="Layer", summary="", source=FILE,
    takes="features", given={}, settings={}, sizes={}, config=None, config_cls=None,
    config_settings={}, config_sizes={}, multiple=1, least=1, only=(), vocabulary=256,
    parameters=COUNTED, flops_forward=COUNTED,
    gates=(GateResult(gate="batch", passed=True, detail=""),),
)  # fmt: skip


def worked(answers, invent, retries=3):
    """The thoughts of an engineer that gives these answers, with what came of them."""
    said = iter(answers)
    endpoint = Scripted(lambda model, request: next(said))
    config = DesignerConfig(models=("scripted",), retries=retries, allow_code=True)
    session = Session(Studio(endpoint, config, Ledger()), 17, "llm", "scripted", random.Random(0))
    language = palmette.language()
    scene = Scene(Shown(palmette.parse("stack(pre(glu()))"), 0.5), language, "the language")
    try:
        came = engineer(session, scene, "a layer\nthat averages", 17, invent)
    except StepError as error:
        came = error
    return came, session.thoughts, endpoint.requests


def test_a_file_that_passes_is_accepted_and_told():
    came, (thought,), (request,) = worked(
        [f"Here:\n```python\n{FILE}```\nDone."],
        lambda source, number: MADE if (source, number) == (FILE, 17) else None,
    )
    assert came == MADE
    assert (thought.role, thought.outcome) == ("engineer", "fine")
    assert thought.content == {
        "file": "idea_17.py", "node": "idea_17_1a2b3c4d", "class": "Layer",
        "gates": {"batch": True},
    }  # fmt: skip
    asked = request.messages[1].text
    assert "| a layer that averages" in asked
    assert "the language" not in asked  # it is of no use here


def test_faults_go_back_until_a_file_passes():
    def invent(source, number):
        if "again" not in source:
            raise StrangerError("gate batch failed: by 3e-1", "gate prefix failed: by 1e-2")
        return MADE

    answers = ["class Layer(:", f"```\n{FILE}```", f"```\n{FILE}# again\n```"]
    came, thoughts, requests = worked(answers, invent)
    assert came == MADE
    assert [(thought.attempt, thought.outcome) for thought in thoughts] == [
        (1, "invalid"), (2, "invalid"), (3, "fine"),
    ]  # fmt: skip
    assert thoughts[0].faults == ("line 1 (class Layer(:) is not Python: invalid syntax",)
    assert "- gate prefix failed: by 1e-2" in requests[2].messages[-1].text


def test_it_gives_up_after_its_retries():
    def refuse(source, number):
        raise StrangerError("it is not causal")

    came, thoughts, _ = worked([f"```\n{FILE}```"] * 3, refuse, retries=2)
    assert isinstance(came, StepError)
    assert str(came) == "engineer: no legal answer in 3 attempts: it is not causal"
    assert len(thoughts) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("A layer would be nice.", "there is no Python file in the answer"),
        ("", "there is no Python file in the answer"),
        ("```python\nclass Layer(:\n```", r"line 1 \(class Layer\(:\) is not Python"),
        ("import torch\n" + "-" * 60_000 + "1", "the file is not Python"),
        ("x" * 10_000_000, "the answer has 10,000,000 characters; a file has at most 64,000"),
    ],
    ids=lambda text: text[:20],
)
def test_what_holds_no_file_is_told(answer, said):
    with pytest.raises(UnreadableError, match=said):
        code_of(answer)


def test_a_refusal_is_known():
    with pytest.raises(UnreadableError) as told:
        code_of("I'm sorry, but I can't help with that.")
    assert told.value.refused


def test_the_longest_block_is_the_file():
    assert code_of(f"```sh\nls\n```\n```python\n{FILE}```") == FILE
    assert code_of(f"The file:\n\n{FILE}") == FILE
    assert code_of(f"```python\n{FILE}") == FILE  # cut
