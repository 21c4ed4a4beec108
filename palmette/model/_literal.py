"""A plan printed as the Python that constructs it, equal layers folded into comprehensions."""

from typing import Any, TypeAlias

from palmette.ops._base import Call

LINE = 100
Names: TypeAlias = "dict[tuple[str, str], str]"


def literal(value: Any, names: Names, indent: int = 0, before: int = 0) -> str:
    """The expression for a call, a tuple of calls or a plain value.

    `names` says what each class (module, name) is called, `indent` is the depth of the line in
    characters and `before` how much already stands on it.
    """
    short = _on_one_line(value, names)
    if short is not None and indent + before + len(short) < LINE:
        return short
    if isinstance(value, Call):
        return _exploded_call(value, names, indent)
    assert isinstance(value, tuple)
    return _exploded_list(value, names, indent)


def class_name(given: Call, names: Names) -> str:
    """What the class of a call is called in the printed file."""
    module, name = given.cls.__module__, given.cls.__qualname__
    return f"nn.{name}" if module.startswith("torch.nn") else names[module, name]


def _on_one_line(value: Any, names: Names) -> str | None:
    """The expression on one line; None if it holds a list of several modules."""
    if isinstance(value, Call):
        parts = []
        for name, argument in value.arguments:
            text = _on_one_line(argument, names)
            if text is None:
                return None
            parts.append(f"{name}={text}")
        return f"{class_name(value, names)}({', '.join(parts)})"
    if isinstance(value, tuple):
        if any(isinstance(item, Call) for item in value) and len(value) > 1:
            return None
        items = [_on_one_line(item, names) for item in value]
        return None if None in items else f"[{', '.join(item for item in items if item)}]"
    if isinstance(value, str):
        return '"' + repr(value)[1:-1].replace('"', '\\"') + '"'
    return repr(value)


def _exploded_call(value: Call, names: Names, indent: int) -> str:
    pad = " " * (indent + 4)
    lines = [
        f"{pad}{name}={literal(argument, names, indent + 4, len(name) + 2)},"
        for name, argument in value.arguments
    ]
    return "\n".join([f"{class_name(value, names)}(", *lines, f"{' ' * indent})"])


def _exploded_list(items: tuple[Any, ...], names: Names, indent: int) -> str:
    pad, end = " " * (indent + 4), " " * indent
    period = _period(items)
    times = len(items) // len(period)
    if times > 1 and len(period) == 1:
        layer = literal(period[0], names, indent + 4)
        rounds = f"for _ in range({times})"
        if "\n" not in layer and indent + len(layer) + len(rounds) < LINE - 20:
            return f"[{layer} {rounds}]"
        return f"[\n{pad}{layer}\n{pad}{rounds}\n{end}]"
    if times > 1:
        inner = literal(period, names, indent + 4, len("for layer in "))
        return f"[\n{pad}layer\n{pad}for _ in range({times})\n{pad}for layer in {inner}\n{end}]"
    lines = []
    for run in _runs(items):
        star = "*" if len(run) > 1 else ""
        shown = run if star else run[0]
        lines.append(f"{pad}{star}{literal(shown, names, indent + 4, 2)},")
    return "\n".join(["[", *lines, f"{end}]"])


def _period(items: tuple[Any, ...]) -> tuple[Any, ...]:
    for length in range(1, len(items)):
        if len(items) % length == 0 and items[:length] * (len(items) // length) == items:
            return items[:length]
    return items


def _runs(items: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The items cut, from the left, into the longest runs of a repeated pattern."""
    runs = []
    while items:
        best = items[:1]
        for length in range(1, len(items) // 2 + 1):
            times = 1
            while items[length * times : length * (times + 1)] == items[:length]:
                times += 1
            if times > 1 and length * times > len(best):
                best = items[: length * times]
        runs.append(best)
        items = items[len(best) :]
    return runs
