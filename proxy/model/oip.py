"""The network on a model server, asked by the Open Inference Protocol v2 over HTTP: Triton, KServe, MLServer, OpenVINO Model
Server. https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

Tokens go out, numbers come back; what they mean is in the manifest here, which must be the one of the model that is served.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import logging
import os
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np

from proxy.config import OipDetector
from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.network import Read, Unavailable, Window, tensors
from proxy.model.remote import Remote

log = logging.getLogger("weir")

LARGEST = 64 * 1024 * 1024  # bytes of an answer
_INTEGERS, _REALS = ("INT64", "INT32"), ("FP64", "FP32", "FP16", "BF16")


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[Any]
    data: list[Any] = []


class _Answer(msgspec.Struct):
    outputs: list[_Tensor]


class _Described(msgspec.Struct):
    """What a server says of a model. One that was told nothing says nothing: then the usual names hold."""

    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []


class Server:
    """Thread-safe. Connections are kept."""

    def __init__(
        self, url: str, model: str, version: str | None = None, *, timeout: float, api_key: str | None = None,
        gives: Literal["logits", "probabilities"] = "logits", logits: str | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._address = (str(parts.hostname), parts.port)
        self._secure = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = f"{parts.path.rstrip('/')}/v2/models/{quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{quote(version, safe='')}"
        self._health = f"{parts.path.rstrip('/')}/v2/health/ready"
        self._headers = {"content-type": "application/json", **({"authorization": f"Bearer {api_key}"} if api_key else {})}
        self._timeout, self._gives = timeout, gives
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._owner = os.getpid()
        self._inputs: dict[str, str] | None = None  # name -> datatype; None: not known yet
        self._logits, self.embeds = logits, True

    @classmethod
    def of(cls, settings: OipDetector) -> Server:
        return cls(
            settings.base_url, settings.model, settings.version, timeout=settings.timeout, api_key=settings.api_key,
            gives=settings.gives, logits=settings.logits,
        )  # fmt: skip

    def fit(self, artefact: Artefact) -> None:
        """Looks at what is served, so that a wrong model is noticed now. Raises ModelError if it is one, Unavailable if nobody
        says."""
        self._artefact = artefact
        labels, head = len(artefact.labels), artefact.head
        self._columns = range(labels, labels + 1) if head is None else range(max(c for own in head[1] for c in own) + 1, 10_000)
        try:
            found = msgspec.json.decode(self._asked("GET", self._path, b""), type=_Described)
        except msgspec.DecodeError:
            raise Unavailable("its answer is not the protocol's") from None
        known = {"input_ids", "attention_mask", "token_type_ids"}
        inputs = {one.name: one.datatype for one in found.inputs} or dict.fromkeys(sorted(known), "INT64")
        wrong = [name for name, kind in inputs.items() if name not in known or kind not in _INTEGERS]
        if wrong or "input_ids" not in inputs:
            told = ", ".join(f"{name} ({kind})" for name, kind in inputs.items())
            raise ModelError(f"{self._path} takes {told}; Weir gives input_ids, attention_mask and token_type_ids, as integers")
        outputs = {one.name: one for one in found.outputs if one.datatype in _REALS}
        self.embeds = not found.outputs or "embedding" in outputs
        if self._logits is None:
            self._logits = next((name for name in outputs if name != "embedding"), "logits")
        elif outputs and self._logits not in outputs:
            raise ModelError(f"{self._path} has no output {self._logits!r}; it has {', '.join(outputs)}")
        columns = outputs[self._logits].shape[-1] if self._logits in outputs and outputs[self._logits].shape else -1
        if columns != -1 and columns not in self._columns:
            raise ModelError(
                f"{self._path} gives {columns} numbers a text, {artefact.folder} has {labels} labels: "
                "the manifest is another model's"
            )
        self._inputs = inputs

    def alive(self) -> None:
        """Raises Unavailable."""
        self._asked("GET", self._health, b"")
        self._asked("GET", f"{self._path}/ready", b"")

    def ask(self, windows: Sequence[Window], embed: bool) -> Read:
        """Raises Unavailable."""
        if self._inputs is None:
            self._fit_late()
        assert self._inputs is not None and self._logits is not None
        if embed and not self.embeds:
            raise Unavailable("it offers no embeddings")
        given = tensors(windows, self._artefact.padding)
        wanted = [self._logits, "embedding"] if embed else [self._logits]
        body = {
            "inputs": [
                {"name": name, "shape": list(given[name].shape), "datatype": kind, "data": given[name].ravel().tolist()}
                for name, kind in self._inputs.items()
            ],
            "outputs": [{"name": name} for name in wanted],
        }
        raw = self._asked("POST", f"{self._path}/infer", msgspec.json.encode(body))
        try:
            found = {one.name: one for one in msgspec.json.decode(raw, type=_Answer).outputs}
            rows, *more = (_matrix(found[name], len(windows)) for name in wanted)
            if rows.shape[1] not in self._columns:
                raise ValueError
        except (msgspec.DecodeError, KeyError, ValueError, TypeError):
            raise Unavailable("its answer is not what was asked for") from None
        return Read(self._as_logits(rows), more[0] if more else None)

    def close(self) -> None:
        while (connection := self._kept()) is not None:
            connection.close()

    def _fit_late(self) -> None:
        try:
            self.fit(self._artefact)
        except ModelError:
            raise Unavailable("it serves another model than the manifest is of") from None

    def _as_logits(self, rows: Any) -> Any:
        if self._gives == "logits":
            return rows
        chances = np.clip(rows, 1e-7, 1 - 1e-7)
        if self._artefact.head is not None and self._artefact.head[0] == "softmax":
            return np.log(chances)
        return np.log(chances / (1 - chances))

    def _asked(self, method: str, path: str, body: bytes) -> bytes:
        """Once more where a kept connection turns out to be closed: a question may be asked twice."""
        for attempt in (1, 2):
            kept = self._kept()
            connection = kept or self._connection()
            try:
                connection.request(method, path, body, self._headers)
                response = connection.getresponse()
                raw = response.read(LARGEST + 1)
            except TimeoutError:
                connection.close()
                raise Unavailable("timed out") from None
            except (OSError, http.client.HTTPException) as problem:
                connection.close()
                if kept is not None and attempt == 1:
                    continue
                raise Unavailable(f"cannot be reached ({type(problem).__name__})") from None
            if len(raw) > LARGEST:
                connection.close()
                raise Unavailable("its answer is too long")
            self._idle.append(connection)
            if response.status != 200:
                raise Unavailable(f"answered with status {response.status}")
            return raw
        raise AssertionError("unreachable")

    def _kept(self) -> http.client.HTTPConnection | None:
        if self._owner != os.getpid():  # forked: those are the parent's, and all its children's
            self._idle, self._owner = deque(), os.getpid()
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return None

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address
        if self._secure is not None:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._secure)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)


def _matrix(tensor: _Tensor, rows: int) -> Any:
    """Raises ValueError for another shape than a row a window, or for what is no number."""
    found = np.array(tensor.data, dtype=np.float32)
    if len(tensor.shape) != 2 or tensor.shape[0] != rows or not np.isfinite(found).all():
        raise ValueError
    return found.reshape(tensor.shape)


def on_a_server(settings: OipDetector, artefact: Artefact) -> Classifier:
    """Raises ModelError where another model is served; a server that does not answer yet is looked at when it does."""
    server = Server.of(settings)
    try:
        server.fit(artefact)
    except ModelError:
        server.close()
        raise
    except Unavailable as problem:
        fields = {"model": settings.model, "problem": str(problem)}
        log.warning("the classifier's server does not answer yet", extra={"fields": fields})
    if artefact.embeds and not server.embeds:
        artefact = dataclasses.replace(artefact, embeds=False)
    network = Remote(settings.model, server.ask, server.alive, settings.max_batch, server.close)
    return Classifier(artefact, screened=settings.screen, network=network)
