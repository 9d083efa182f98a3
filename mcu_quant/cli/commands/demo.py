"""mcu-quant demo: listen to formats side by side."""

from __future__ import annotations

from pathlib import Path

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Listen to a denoiser in several formats.",
    epilog="\b\nExamples:\n  mcu-quant demo dtln_stage2.onnx noisy.wav --clean reference.wav\n"
    "  mcu-quant demo build/denoiser-nucleo_h743zi2 noisy.wav\n"
    "  mcu-quant demo gtcrn.onnx noisy.wav --plan plan.toml -o page.html",
)
@click.argument("subject", type=options.FILE, metavar="MODEL|DIR")
@click.argument("recording", type=options.FILE, metavar="NOISY.wav")
@click.option("--clean", type=options.FILE, metavar="REF.wav", help="Clean recording: shown too, and judged against.")
@options.data
@click.option("--plan", type=options.FILE, metavar="FILE", help="Plan of the mixed version.  [default: the preset]")
@click.option("--board", metavar="BOARD", help="Formats that this board offers.  [default: all]")
@options.importing
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: a free one]")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@click.option("-o", "--output", "target", type=options.FILE, metavar="PAGE.html", help="Write one file; serve nothing.")
@options.save_repro
def command(
    *,
    subject: Path,
    recording: Path,
    clean: Path | None,
    data: Path | None,
    plan: Path | None,
    board: str | None,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    audio: bool,
    port: int,
    open_browser: bool,
    target: Path | None,
) -> None:
    """Serve a page on which a recording is heard noisy, through the float model, and through mixed and INT8 formats.

    For this machine only: the page is on 127.0.0.1 and loads nothing from anywhere. Ctrl-C ends it.
    """
    from mcu_quant.api import demo

    source = options.source(subject, bind, states, pipeline, stream, audio)
    request = demo.DemoRequest(source, recording, clean, data, plan, board)
    with output.progress() as progress:
        page = demo.demo(request, progress, inline=target is not None)
    if target is not None:
        output.write(page.files[demo.INDEX][1].decode(), target)
        click.echo(f"{target}: {len(page.tracks)} versions of {recording.name}")
        return
    _serve(page.files, port, open_browser)


def _serve(files: object, port: int, open_browser: bool) -> None:
    import webbrowser
    from collections.abc import Mapping

    from mcu_quant.api.serve import Server

    assert isinstance(files, Mapping)
    try:
        server = Server(files, port)
    except OSError as error:
        raise options.usage("--port", f"{port} cannot be used: {error.strerror}", "leave it out") from error
    with server:
        click.echo(f"{server.url}  (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("")
