"""The network of a deployment, asked through Serve: `model.network.Network` for the proxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException

from proxy.cluster.model import MOST, OtherModel
from proxy.config import OnnxDetector
from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.network import Read, Unavailable, Window
from proxy.model.remote import Remote

START = 120.0  # seconds that its first replica may take to load


class Deployed:
    def __init__(self, handle: Any, timeout: float) -> None:
        self._handle, self._timeout = handle, timeout
        self.sha256 = ""

    def fit(self, artefact: Artefact) -> Artefact:
        """The artefact as it runs there. Raises ModelError where it is another, Unavailable where nobody says."""
        told = self._asked(START, "describe")
        for one in (artefact, artefact.for_gpu()):
            if one.sha256 == told:
                self.sha256 = told
                return one
        raise ModelError(f"{artefact.folder} is not the model that is deployed ({told[:12]}…); deploy the application again")

    def alive(self) -> None:
        self._asked(self._timeout, "describe")

    def ask(self, windows: Sequence[Window], embed: bool) -> Read:
        found: Read = self._asked(self._timeout, "run", self.sha256, windows, embed)
        return found

    def close(self) -> None:
        return None

    def _asked(self, timeout: float, method: str, *given: Any) -> Any:
        """Raises Unavailable. A question may be asked twice, so a replica that dies is no failure yet."""
        for attempt in (1, 2, 3):
            response = getattr(self._handle, method).remote(*given)
            try:
                return response.result(timeout_s=timeout)
            except TimeoutError:
                response.cancel()
                raise Unavailable("timed out") from None
            except OtherModel:
                raise Unavailable("another model is deployed than this proxy was started for") from None
            except RayActorError as problem:
                if attempt == 3:
                    raise Unavailable(f"cannot be reached ({type(problem).__name__})") from None
            except (RayError, RayServeException) as problem:
                raise Unavailable(f"failed ({type(problem).__name__})") from None
        raise AssertionError("unreachable")


def deployed(name: str, handle: Any, settings: OnnxDetector, artefact: Artefact) -> Classifier:
    """Blocks until it is there. Raises ModelError."""
    network = Deployed(handle, settings.timeout)
    try:
        artefact = network.fit(artefact)
    except Unavailable as problem:
        raise ModelError(f"the deployment {name!r} {problem}") from None
    remote = Remote(name, network.ask, network.alive, MOST, network.close)
    return Classifier(artefact, settings.threads, screened=settings.screen, network=remote)
