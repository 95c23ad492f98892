"""`weir doctor`."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Iterator
from pathlib import Path

import click

from proxy import __version__
from proxy.config import load_config
from proxy.doctor import configuration, installation, machine, neighbours
from proxy.doctor.finding import Finding
from proxy.yamlfile import FileError

_MARKS = {"fine": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "red")}


@click.command()
@click.option(
    "--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path), help="Default: the built-in one."
)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="As you mean to give it to serve.")
@click.option("--offline", is_flag=True, help="Ask nobody: no provider, no judge, no Redis.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def doctor(ctx: click.Context, config_path: Path | None, workers: int, offline: bool, as_json: bool) -> None:
    """What is wrong with this installation or configuration, and the fix. Exit code 1 if something is."""
    found: list[Finding] = []
    if not as_json:
        click.echo(f"Weir {__version__}, {platform.system()} {platform.machine()}")
    for one in examine(config_path, workers, offline):
        found.append(one)
        if not as_json:
            click.echo(line(one))
    count = sum(one.level == "wrong" for one in found)
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found], indent=2))
    else:
        click.echo("Nothing is wrong." if not count else f"{count} to put right.")
    ctx.exit(1 if count else 0)


def examine(config_path: Path | None, workers: int, offline: bool) -> Iterator[Finding]:
    yield from installation.check()
    try:
        config = load_config(config_path)
    except FileError as error:
        yield from configuration.broken(error)
        return
    yield from configuration.check(config)
    yield from machine.check(config, config.listen.host, config.listen.port, workers)
    if not offline:
        yield from asyncio.run(neighbours.check(config))


def line(one: Finding) -> str:
    mark, colour = _MARKS[one.level]
    text = f"  {click.style(f'{mark:6}', fg=colour)} {one.about}: {one.message}"
    return f"{text}\n         -> {one.fix}" if one.fix else text
