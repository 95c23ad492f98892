"""Results as JUnit XML, which every CI reads. Texts stay out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from proxy.policy.cases import CaseResult, place
from proxy.policy.load import Policy


def junit(results: Mapping[str, tuple[Policy, Sequence[CaseResult]]]) -> str:
    """One suite a policy file, one case an example."""
    root = ElementTree.Element("testsuites", name="weir policy test")
    for file, (policy, cases) in results.items():
        failed = sum(not c.passed for c in cases)
        suite = ElementTree.SubElement(root, "testsuite", name=file, tests=str(len(cases)), failures=str(failed), errors="0")
        for case in cases:
            example = case.example
            name = f"{place(policy, example)} {example.direction} -> {example.action}"
            found = ElementTree.SubElement(suite, "testcase", classname=policy.name, name=name)
            found.set("file", example.file or str(policy.source or policy.name))
            found.set("line", str(example.line))
            if not case.passed:
                ElementTree.SubElement(found, "failure", message="not the verdict that was expected").text = case.difference
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
