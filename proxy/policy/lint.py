"""What is wrong with a policy file, and what is only unwise."""

from __future__ import annotations

from pathlib import Path

from proxy.policy.load import Calibration, load_policy
from proxy.policy.schema import PolicyFile
from proxy.yamlfile import FileError, Problem, load, validate


def lint(path: Path, calibration: Calibration | None) -> list[Problem]:
    """Errors, and if there are none, warnings."""
    try:
        load_policy(path, calibration)
    except FileError as error:
        return error.problems
    loaded = load(path)
    file = validate(PolicyFile, loaded)
    found: list[Problem] = []

    def warn(where: tuple[str | int, ...], message: str) -> None:
        found.append(Problem(loaded.name, loaded.line(where), message, True))

    if file.name != path.stem:
        warn(("name",), f'the policy is named "{file.name}", its file {path.name}; routes name the file')
    if not file.rules:
        warn((), "no rules: everything passes")
    if file.rules and not file.examples:
        warn((), "no examples: `weir policy test` has nothing to run")
    for index, rule in enumerate(file.rules):
        detect = rule.detect
        if detect.category and (detect.threshold or 1) < 0.1:
            warn(("rules", index, "detect", "threshold"), f'a threshold of {detect.threshold} for "{detect.category}" will flag ordinary text')
        if detect.category and (detect.fpr or 0) > 0.02:
            warn(("rules", index, "detect", "fpr"), f"one ordinary text in {round(1 / (detect.fpr or 1))} would be {rule.action}ed")
        for word in detect.keywords or ():
            if len(word.strip()) < 3:
                warn(("rules", index, "detect", "keywords"), "a keyword shorter than three characters will be found everywhere")
        if rule.action == "redact" and detect.category:
            warn(("rules", index, "action"), "a category has no exact place: the whole text or piece is redacted")
    return found
