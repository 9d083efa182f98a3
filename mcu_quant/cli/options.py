"""Options and arguments that several commands share, and how their values become requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, raise_errors

if TYPE_CHECKING:
    from mcu_quant.api.stages import PrecisionRequest, Source

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)


def _all(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def output_format(*more: str) -> Callable[[F], F]:
    """--format, with the formats that every command has and further ones."""
    names = ("table", "json", "csv", *more)
    text = "How results are shown: for people, as one JSON object, or as CSV."
    return click.option("--format", "fmt", type=click.Choice(names), default="table", show_default=True, help=text)


def report_format(function: F) -> F:
    """--format, with every rendering of a report."""
    from mcu_quant.report import formats

    text = "How the report is shown: for people, or as one file for a browser, a wiki, a spreadsheet or a CI server."
    return click.option("--format", "fmt", type=click.Choice(formats()), default="table", show_default=True, help=text)(
        function
    )


save_repro = click.option(
    "--save-repro",
    type=FILE,
    metavar="DIR",
    expose_value=False,
    help="If mcu-quant itself fails, save what reproduces it in DIR.",
)

importing = _all(
    click.option(
        "--bind", multiple=True, metavar="NAME=N", help="Size of a dynamic dimension, or value of a scalar input."
    ),
    click.option("--state", "states", multiple=True, metavar="OUT:IN", help="Cache output that feeds a cache input."),
    click.option(
        "--stream",
        multiple=True,
        metavar="NODE",
        help="Recurrent layer or loop that starts afresh in every run, and shall carry its state.",
    ),
    click.option(
        "--pipeline", metavar="NAME|FILE", help="How audio becomes the inputs: a ready-made name or a TOML file."
    ),
    click.option(
        "--audio",
        is_flag=True,
        help="Audio in, audio or decisions out: front and back end of the pipeline are part of the model.",
    ),
)
verify = click.option(
    "--verify", is_flag=True, help="Compare the rewritten model with the original file in onnxruntime first."
)
model = click.argument("model", type=FILE)
data = click.option(
    "--data", type=FILE, metavar="CLIPS", help="Folder of .wav or .npz files, or one such file, to measure ranges on."
)
precision = _all(
    click.option(
        "--preset", metavar="NAME", help="Rule that gives each operator a format: f32, f16, s8 or tinydenoiser."
    ),
    click.option("--plan", type=FILE, metavar="FILE", help="Plan file that gives each operator a format."),
    click.option(
        "--set",
        "edits",
        multiple=True,
        metavar="OPERATOR=FORMAT",
        help="Change operators by name, pattern or type; may add :input=s16, :weights=s16, :output=f32, :scale=frame.",
    ),
)


def source(
    model: Path,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    audio: bool,
) -> Source:
    """The request to import a model.

    Raises:
        DiagnosticError: MQ900 for values of --bind and --state that are not NAME=N and OUT:IN, all at once.
    """
    from mcu_quant.api.stages import Source

    problems: list[Diagnostic] = []
    numbers: dict[str, int] = {}
    for text in bind:
        name, _, number = text.rpartition("=")
        if name and number.lstrip("-").isdecimal():
            numbers[name] = int(number)
        else:
            problems.append(
                Diagnostic("MQ900", f"--bind {text}", "is not NAME=N", help="for example --bind sequence=576")
            )
    pairs = []
    for text in states:
        output, _, input_ = text.partition(":")
        if output and input_:
            pairs.append((output, input_))
        else:
            problems.append(Diagnostic("MQ900", f"--state {text}", "is not OUT:IN", help="for example --state hn:h0"))
    raise_errors(problems)
    return Source(model, numbers, tuple(pairs), pipeline, stream, audio)


place = click.option(
    "--place",
    "places",
    multiple=True,
    metavar="WHAT=MEMORY",
    help="Where arena, weights or an operator's weights lie: arena=dtcm, weights=sram, or `auto` for both.",
)


def precision_request(
    preset: str | None, plan: Path | None, edits: tuple[str, ...], *, adapt: bool = False
) -> PrecisionRequest:
    """The request for formats; with `adapt`, those that a board does not offer give way to the next best."""
    from mcu_quant.api.stages import PrecisionRequest

    return PrecisionRequest(preset, plan, edits, adapt)


def usage(where: str, message: str, help: str) -> DiagnosticError:
    """A usage error that click cannot know."""
    return DiagnosticError(Diagnostic("MQ900", where, message, help=help))


def exists(path: Path) -> DiagnosticError:
    """MQ702 for a file that somebody may have edited."""
    return DiagnosticError(
        Diagnostic("MQ702", str(path), "exists", help="choose another file, or write over it with --force")
    )
