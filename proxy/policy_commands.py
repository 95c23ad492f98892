"""`weir policy …`: check, test, compare, tune and begin policy files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from proxy.config import load_config
from proxy.guard import Guard
from proxy.load import detectors, load_judges
from proxy.model.artefact import Artefact
from proxy.policy.cases import CaseResult, run_examples
from proxy.policy.lint import lint
from proxy.policy.load import Policy
from proxy.types import Direction, Segment, Verdict
from proxy.workbench import load_queue, open_guard


@click.group()
def policy() -> None:
    """Work with policy files."""


@policy.command("lint")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--config", "config_path", type=click.Path(path_type=Path))
def policy_lint(files: tuple[Path, ...], config_path: Path | None) -> None:
    """Check files: errors and warnings, each with file and line."""
    config = load_config(config_path)
    artefact = Artefact.load(config.model_folder)
    # Without a config nobody knows which judges there will be.
    asked = detectors(load_judges(config) if config_path is not None else None)
    failed = False
    for file in files:
        problems = lint(file, artefact, asked)
        failed = failed or any(not p.warning for p in problems)
        for problem in problems:
            click.echo(str(problem))
        if not problems:
            click.echo(f"{file}: fine")
    if failed:
        click.get_current_context().exit(2)


async def _run(guard: Guard, found: Policy) -> list[CaseResult]:
    async def judge(text: str, direction: Direction) -> Verdict:
        return await guard.judge(found, Segment(text, "user" if direction == "prompt" else "assistant", direction))

    results = await run_examples(found, judge)
    await guard.cascade.close()
    return results


@policy.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--config", "config_path", type=click.Path(path_type=Path))
def policy_test(files: tuple[Path, ...], config_path: Path | None) -> None:
    """Run the files' own examples on the model."""
    config = load_config(config_path)
    queue = load_queue(config)
    failed = 0
    for file in files:
        guard, found = open_guard(file, queue, config)
        results = asyncio.run(_run(guard, found))
        wrong = [r for r in results if not r.passed]
        failed += len(wrong)
        click.echo(f"{file}: {len(results) - len(wrong)} of {len(results)} examples hold")
        for result in wrong:
            click.echo(result.difference)
    queue.close()
    if failed:
        click.get_current_context().exit(1)
