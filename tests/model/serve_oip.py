"""A model server of KServe's with Weir's built-in network on it: python serve_oip.py PORT MODEL.onnx  (run where kserve is)"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime as ort
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer


class Safeguard(Model):
    """`chances` gives probabilities, and no embeddings; `undescribed` says nothing of itself."""

    def __init__(self, name: str, session: Any) -> None:
        super().__init__(name)
        self.session = session
        self.ready = True

    async def get_input_types(self) -> list[dict[str, Any]]:
        names = [] if self.name == "undescribed" else self.session.get_inputs()
        return [{"name": one.name, "datatype": "INT64", "shape": [-1, -1]} for one in names]

    async def get_output_types(self) -> list[dict[str, Any]]:
        if self.name == "undescribed":
            return []
        outputs = [] if self.name == "chances" else [{"name": "embedding", "datatype": "FP32", "shape": [-1, 384]}]
        return [*outputs, {"name": "logits", "datatype": "FP32", "shape": [-1, 9]}]

    def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        asked = [one.name for one in payload.request_outputs]
        given = {one.name: self._numbers(one) for one in payload.inputs}
        found = dict(zip(asked, self.session.run(asked, given), strict=True))
        if self.name == "chances":
            found["logits"] = 1 / (1 + np.exp(-found["logits"]))
        outputs = []
        for name, array in found.items():
            outputs.append(InferOutput(name, list(array.shape), "FP32"))
            outputs[-1].set_data_from_numpy(array.astype(np.float32), binary_data=False)
        return InferResponse(payload.id or "1", self.name, outputs)

    @staticmethod
    def _numbers(one: InferInput) -> Any:
        return one.as_numpy().astype(np.int64)


def main() -> None:
    port, file = int(sys.argv[1]), sys.argv[2]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    sys.argv = [sys.argv[0]]
    models = [Safeguard(name, session) for name in ("safeguard", "chances", "undescribed")]
    ModelServer(http_port=port, enable_grpc=False, workers=1).start(models)


if __name__ == "__main__":
    main()
