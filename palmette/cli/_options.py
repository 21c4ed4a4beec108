"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

Form: TypeAlias = Literal["table", "json"]

STORAGE = "sqlite:///palmette.db"

StorageOption = Annotated[
    str, typer.Option("--storage", metavar="URL", help="The store, as a SQLAlchemy URL.")
]
CampaignOption = Annotated[
    str | None,
    typer.Option("--campaign", metavar="NAME", help="Which campaign; the last one if not given."),
]
FormatOption = Annotated[Form, typer.Option("--format", "-f", help="How to print.")]
GenomeArgument = Annotated[
    str,
    typer.Argument(
        metavar="GENOME",
        help="An expression such as 'stack(pre(lin()), pre(glu()))', a .genome file, a layer or "
        "model of yours (FILE.py or FILE.py:CLASS), a name of the atlas, 'best', or the first 6 or "
        "more digits of a hash in the store.",
    ),
]
ArgumentsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        metavar="NAME=VALUE",
        help="An argument of your class' constructor (repeatable).",
    ),
]
KernelOption = Annotated[
    str | None,
    typer.Option(
        "--kernel",
        help="How models compute: native (kernels built here) or torch; if not given, as the "
        "campaign began, or else native where a C++ compiler is there.",
    ),
]
PackOption = Annotated[
    bool | None,
    typer.Option(
        "--pack/--no-pack",
        help="Train the trials of one genome at once; if not given, as the campaign began, or what "
        "is measured to be faster.",
    ),
]
CompileOption = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Send models through torch.compile; if not given, as the campaign began, or at the "
        "rungs where it is measured to pay.",
    ),
]
ParametersOption = Annotated[
    int,
    typer.Option("--params", min=1, max=10**12, help="The size: all trainable parameters."),
]
