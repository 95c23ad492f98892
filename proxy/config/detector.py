"""The detectors that have settings: the classifiers, and the judges that read a policy in words."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from proxy.config.value import Part, Seconds, Url, seconds_of, usable_key
from proxy.model import place
from proxy.policy.schema import Category


def _device(value: str) -> str:
    place.parse(value)
    return value


Categories = Annotated[list[Category] | None, Field(min_length=1)]


class Batch(Part):
    """Texts that are read in one go, and how long the first of them may be kept waiting for the others."""

    max: int = Field(ge=1, le=1024)
    wait: Annotated[float, BeforeValidator(seconds_of), Field(ge=0, le=1)] = 0.0


class OnnxDetector(Part):
    """The classifier. `model` is `builtin` or a folder, relative to the config file. `screen: false` has it read everything.
    `device` is cpu, cuda, cuda:1 or auto; `batch` is by the device where it is left out. `categories` are those that it answers
    for in the place of the one that has none listed."""

    type: Literal["onnx"]
    model: str = "builtin"
    categories: Categories = None
    screen: bool = True
    device: Annotated[str, AfterValidator(_device)] = "cpu"
    batch: Batch | None = None
    threads: int = Field(default=1, ge=1, le=64)
    workers: int = Field(default=1, ge=1, le=64)
    timeout: Seconds = 10.0

    @property
    def computing(self) -> int:
        """Threads of this process that do."""
        return self.workers * self.threads

    @property
    def folder(self) -> str:
        """Where its network is, as written: `builtin`, or seen from the config file."""
        return self.model


class OipDetector(Part):
    """The classifier on a model server, by the Open Inference Protocol v2. `model` is its name there; `manifest` is the folder,
    here, that says what its numbers mean, or `builtin`. `logits` names the output (else the first one), `gives` says what is
    in it. `timeout` is for everything: waiting for one of the `concurrency` questions at a time, and the answer."""

    type: Literal["oip"]
    base_url: Url
    model: str = Field(min_length=1)
    version: str | None = None
    manifest: str = "builtin"
    categories: Categories = None
    api_key: str | None = Field(default=None, repr=False)
    logits: str | None = None
    gives: Literal["logits", "probabilities"] = "logits"
    screen: bool = True
    timeout: Seconds = 10.0
    concurrency: int = Field(default=8, ge=1, le=256)
    max_batch: int = Field(default=32, ge=1, le=1024)
    computing: ClassVar[int] = 1  # the server does it

    @property
    def folder(self) -> str:
        """Where stands what is known of its network here."""
        return self.manifest

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return usable_key(value, "leave it out where the server asks for none")


class JudgeDetector(Part):
    """A model that reads a policy in words, behind any OpenAI-compatible endpoint.

    `format` is the family: `policy` (the rule's text is the policy: gpt-oss-safeguard, or a good instruct model),
    `llama-guard`, `qwen3guard` (`strict`: what it calls controversial is a violation too). `reasoning_effort: null` and
    `temperature: null` leave them out of the request. `timeout` is for everything: waiting for a place among `concurrency`,
    the answer, and the one repeated question when the answer was no label.
    """

    type: Literal["judge"]
    base_url: Url
    model: str
    format: Literal["policy", "llama-guard", "qwen3guard"] = "policy"
    api_key: str | None = Field(default=None, repr=False)
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = "low"
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    strict: bool = False
    timeout: Seconds = 10.0
    concurrency: int = Field(default=16, ge=1, le=1024)

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return usable_key(value, "leave it out where the judge asks for none")


class LocalJudge(Part):
    """A model that reads a policy in words, on this machine: a folder that onnxruntime-genai's builder has made, seen from the
    config file. `max_tokens` are those of an answer with its reasoning; `threads: 0` leaves their number to the runtime. The
    rest is as for a judge elsewhere."""

    type: Literal["judge-onnx"]
    model: str
    format: Literal["policy", "llama-guard", "qwen3guard"] = "policy"
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = "low"
    strict: bool = False
    timeout: Seconds = 60.0
    concurrency: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=0, ge=0, le=256)
    max_tokens: int = Field(default=4096, ge=1)


Safeguard = OnnxDetector | OipDetector
Detector = Annotated[OnnxDetector | OipDetector | JudgeDetector | LocalJudge, Field(discriminator="type")]
