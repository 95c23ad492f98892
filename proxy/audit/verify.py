"""Whether the decision log is what was written, and the signed points that prove it to somebody else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Row

from proxy.audit.chain import digest, link
from proxy.audit.store import COLUMNS, End, Store


class Report(NamedTuple):
    records: int
    problems: list[str]


def verify(store: Store, points: Iterable[Mapping[str, Any]] = ()) -> Report:
    """Walks the whole chain. `points` are checkpoints of earlier: what they saw must still be there."""
    first, begins = store.end("first")
    last, ends = store.end("last")
    problems = [] if begins else ["the beginning of the chain was moved"]
    wanted = {int(point["seq"]): point for point in points}
    taken: set[int] = set()  # of which the log itself says that their private part was erased
    empty: list[int] = []
    at, count = first, 0
    for row in store.rows():
        count += 1
        if row.seq != at.seq + 1:
            gap = f"{at.seq + 1}" if row.seq == at.seq + 2 else f"{at.seq + 1} to {row.seq - 1}"
            problems.append(f"missing: {gap}" if row.seq > at.seq else f"record {row.seq}: out of order")
        elif row.code != link(store.keys.chain, at.code, row.seq, row.facts.encode()):
            problems.append(f"record {row.seq}: changed, or not the one that was written there")
        facts = _facts(row)
        problems += (f"record {row.seq}: {wrong}" for wrong in _wrong(store, row, facts))
        if row.private is None and "private" in facts:
            empty.append(row.seq)
        if facts.get("kind") == "erasure":
            taken.update(facts.get("erased", ()))
        if (point := wanted.pop(row.seq, None)) is not None and point["code"] != row.code.hex():
            problems.append(f"record {row.seq}: not the one that the checkpoint of {point['at']} saw")
        at = End(row.seq, row.code)
    if at != last or not ends:
        wrong = f"the chain ends at {at.seq}, and should end at {last.seq}"
        problems.append(wrong if ends else "the end of the chain was moved")
    problems += (f"record {seq}: its private part is gone, and no erasure says why" for seq in empty if seq not in taken)
    problems += (f"missing: {seq}, which the checkpoint of {p['at']} saw" for seq, p in wanted.items() if seq > first.seq)
    return Report(count, problems)


def _facts(row: Row[Any]) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(row.facts)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _wrong(store: Store, row: Row[Any], facts: dict[str, Any]) -> Iterator[str]:
    """What of a row does not fit its facts, which are what is chained."""
    for name in (*COLUMNS, "id", "kind", "about", "at"):
        if getattr(row, name) != facts.get(name):
            yield f"the column {name} was changed"
    if row.private is not None:
        private = store.keys.opened(row.private) if digest(row.private) == facts.get("private") else None
        if private is None:
            yield "its private part was changed"
        elif private.get("subject") != row.subject:
            yield "the column subject was changed"


# -- checkpoints


def checkpoints(store: Store) -> Iterator[dict[str, Any]]:
    """Of each day its last record, and of today the last one so far, signed."""
    before: Row[Any] | None = None
    for row in store.rows():
        if before is not None and _day(row.at) != _day(before.at):
            yield _signed(store, before)
        before = row
    if before is not None:
        yield _signed(store, before)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _signed(store: Store, row: Row[Any]) -> dict[str, Any]:
    point = {"at": datetime.fromtimestamp(row.at, UTC).isoformat(), "day": _day(row.at), "seq": row.seq, "code": row.code.hex()}
    key = store.keys.signing
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    return {**point, "public_key": public, "signature": key.sign(_said(point)).hex()}


def signed_by(point: Mapping[str, Any]) -> str | None:
    """The public key that a checkpoint is truly signed with; None if it is not."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(point["public_key"]))
        key.verify(bytes.fromhex(point["signature"]), _said({name: point[name] for name in ("at", "day", "seq", "code")}))
    except (KeyError, ValueError, TypeError, InvalidSignature):
        return None
    return str(point["public_key"])


def _said(point: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(point), sort_keys=True, separators=(",", ":")).encode()
