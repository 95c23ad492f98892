"""What Weir reads of each API, field by field, from the readers' own declarations: `python -m proxy.wire.coverage` writes
docs/coverage.md and the table of the README anew, `--check` says whether they are as they should be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from proxy.wire.api import Api
from proxy.wire.apis import APIS
from proxy.wire.form import Body, Form, How, rows

BEGIN, END = "<!-- coverage: written by python -m proxy.wire.coverage -->", "<!-- coverage ends -->"
_BODIES: dict[Body, str] = {"prompt": "prompt", "answer": "answer", "stream": "streamed answer"}
_HEAD = """# What is read

Written by `python -m proxy.wire.coverage` from the declarations that the readers themselves go by.
`tests/server/test_coverage.py` plants a marked violation in every line of it, in a real request to a real Weir, streamed and
not, and sees it caught or, where the line says so, passed.

* `messages[]` is in a list, `content[text]` in a list and of that type, `delta{text_delta}` of that type by itself.
* A field that is not listed is inspected and redacted, with the names of what it holds; in a prompt, `unknown_fields: block`
  refuses it. Definitions of tools and schemas are the caller's own: every field of theirs is read, and none is unknown.
* A prompt with a text that is blocked is refused; an answer is cut there. What passes as it is are settings, identifiers and
  what the provider has sealed. The provider's error, when it answers with one instead, is passed on as it came.
* `/v1/moderations` and `/v1/classify` answer themselves: all of their `input` is read, nothing is sent on.
"""


def full(apis: Iterable[Api]) -> str:
    """docs/coverage.md"""
    out = [_HEAD]
    for api in apis:
        out += [f"\n## `/v1/{api.path}`\n", "| direction | in | fields | what becomes of them |", "|---|---|---|---|"]
        alike: dict[tuple[str, str, str], dict[str, None]] = {}
        for body, one, how, names in rows(api.forms):
            alike.setdefault((_BODIES[body], _list(names), how.value), {})[_where(one)] = None
        out += [f"| {body} | {'<br>'.join(places)} | {names} | {how} |" for (body, names, how), places in alike.items()]
    return "\n".join(out) + "\n"


def _where(one: Form) -> str:
    place = f"`{one.place}`" if one.place else "the body" if not one.event else ""
    return f"`{one.event}` {place}".strip() if one.event else place


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def summary(apis: Iterable[Api]) -> str:
    """The table of the README: how many names of fields of each API are treated how."""
    out = ["| fields of | inspected in a prompt | in an answer | in its events | not read | passed as they are |"]
    out.append("|---|---|---|---|---|---|")
    for api in apis:
        counts = [_names(_of(api, body), _SEEN) for body in _BODIES]
        apart = [_names(api.forms, hows) for hows in _APART]
        out.append(f"| `/v1/{api.path}` | " + " | ".join(str(n) if n else "" for n in (*counts, *apart)) + " |")
    return "\n".join(out)


_SEEN = tuple(how for how in How if how.seen)
_APART = ((How.MEDIA, How.BINARY), (How.PASSED,))


def _names(forms: Iterable[Form], hows: tuple[How, ...]) -> int:
    return len({name for one in forms for name in one.of(*hows)})


def _of(api: Api, body: Body) -> list[Form]:
    return [one for one in api.forms if body in one.bodies]


def written(root: Path) -> dict[Path, str]:
    """Each file as it should be."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        root / "docs" / "coverage.md": full(APIS),
        readme: f"{before}{BEGIN}\n\n{summary(APIS)}\n\n{END}{after}" if after else text,
    }


def main(arguments: list[str]) -> int:
    root = Path(__file__).parent.parent.parent
    stale = {path: text for path, text in written(root).items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{path.relative_to(root)} is out of date" if "--check" in arguments else f"{path.relative_to(root)} written")
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
