"""An int8 network in half precision, for a GPU: the same weights, without the rounding of what flows between them.

Needs `onnx`, which the `export` extra has.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from proxy.model.artefact import HALF, Artefact, ModelError
from proxy.model.export import digests

_BESIDE = ("tokenizer.json", "model.onnx")
_WIDE = "wide/"  # the built-in model's sums of small integers: larger than half precision can hold, and nearly free


def add_half(source: Path, out: Path) -> Artefact:
    """`source`, a model folder, copied to `out` with a file for a GPU beside the one for a CPU. Raises ModelError."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError:
        raise ModelError("the export needs more packages: pip install 'weir[export]' (in a venv of its own is best)") from None
    artefact = Artefact.load(source)
    if artefact.precision != "int8":
        raise ModelError(f"{source} is {artefact.precision}: export its source with --precision fp16 instead")
    out.mkdir(parents=True, exist_ok=True)
    beside = [*_BESIDE, *(part for part in (artefact.screen and artefact.screen.file, artefact.background) if part)]
    for name in beside:
        if (source / name).resolve() != (out / name).resolve():
            shutil.copyfile(source / name, out / name)
    network = onnx.load(str(source / "model.onnx"))
    dequantise(network)
    rest = _without_wide(network)
    halved = convert_float_to_float16(network, keep_io_types=True)
    _with_wide(halved, rest)
    onnx.checker.check_model(halved)
    onnx.save(halved, str(out / HALF))
    # Until `weir model verify --write` has measured its own.
    half = {"calibration": artefact.manifest["calibration"]}
    kept = {n: d for n, d in artefact.manifest["sha256"].items() if n != HALF}
    manifest = artefact.manifest | {"half": half, "sha256": kept | {HALF: digests(out)[HALF]}}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return Artefact.load(out)


def _without_wide(model: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Cuts the wide half off: its nodes, its constants, and the outputs. What it takes of the rest becomes the output there."""
    from onnx import TensorProto, helper

    graph = model.graph
    nodes = [node for node in graph.node if node.name.startswith(_WIDE)]
    if not nodes:
        return [], [], []
    constants = [tensor for tensor in graph.initializer if tensor.name.startswith(_WIDE)]
    outputs = list(graph.output)
    rest = [node for node in graph.node if not node.name.startswith(_WIDE)]
    left = [tensor for tensor in graph.initializer if not tensor.name.startswith(_WIDE)]
    taken = {name for node in nodes for name in node.input}
    for field, values in ((graph.node, rest), (graph.initializer, left)):
        del field[:]
        field.extend(values)
    del graph.output[:]
    crossing = sorted(name for node in rest for name in node.output if name in taken)
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in crossing)
    return nodes, constants, outputs


def _with_wide(model: Any, cut: tuple[list[Any], list[Any], list[Any]]) -> None:
    nodes, constants, outputs = cut
    if nodes:
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(constants)
        del model.graph.output[:]
        model.graph.output.extend(outputs)


def dequantise(model: Any) -> None:
    """Takes dynamic quantisation out of a graph, in place: each product of integers becomes the product of the numbers that
    they stand for."""
    from onnx import helper, numpy_helper

    graph = model.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    taken: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            taken.setdefault(name, []).append(node)

    def table(stem: str) -> str:
        """The numbers of a quantised table, as a constant under its stem."""
        if stem not in held:
            raw, zero, scale = (numpy_helper.to_array(held[f"{stem}_{part}"]) for part in ("quantized", "zero_point", "scale"))
            numbers = (raw.astype(np.float32) - zero.astype(np.float32)) * scale
            held[stem] = numpy_helper.from_array(numbers.astype(np.float32), stem)
            graph.initializer.append(held[stem])
        return stem

    instead: dict[str, Any] = {}  # by the name of the node in whose place it stands
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            (cast,) = taken[node.output[0]]
            (scaled,) = taken[cast.output[0]]
            factor = made[node.input[0]].input[0]
            weight = table(node.input[1].removesuffix("_quantized"))
            instead[scaled.name] = helper.make_node("MatMul", [factor, weight], scaled.output, f"{node.name}/plain")
        elif (
            node.op_type == "DequantizeLinear"
            and (gather := made.get(node.input[0])) is not None
            and gather.op_type == "Gather"
        ):
            words = table(gather.input[0].removesuffix("_quantized"))
            instead[node.name] = helper.make_node("Gather", [words, gather.input[1]], node.output, f"{gather.name}/plain")
    nodes = [instead.get(node.name, node) for node in graph.node]
    needed = set(_needed(nodes, [output.name for output in graph.output]))
    del graph.node[:]
    graph.node.extend(node for node in nodes if needed.intersection(node.output))
    used = {name for node in graph.node for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _needed(nodes: list[Any], wanted: list[str]) -> Iterator[str]:
    made = {name: node for node in nodes for name in node.output}
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            yield name
            wanted += made[name].input if name in made else []
