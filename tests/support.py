"""Helpers for tests of operators, passes and the converter: tiny models, and checks against independent results."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from unittest.mock import patch

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 17


def make_model(nodes, inputs, outputs, initializers=None, *, opset: int = OPSET,
               domains: dict[str, int] | None = None) -> onnx.ModelProto:
    """A model from (op, inputs, outputs, attributes) tuples or NodeProtos.

    inputs: {name: shape} for f32, {name: (dtype, shape)}, or {name: array} for its dtype and shape; symbolic axes are
    strings, a shape of None says nothing. outputs: names, or as inputs; unstated types are left to inference.
    initializers: {name: array}.
    """
    protos = [n if isinstance(n, onnx.NodeProto) else _node(*n) for n in nodes]
    given = [_info(n, s) for n, s in inputs.items()]
    results = ([_info(n, s) for n, s in outputs.items()] if isinstance(outputs, dict)
               else [onnx.ValueInfoProto(name=n) for n in outputs])
    constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in (initializers or {}).items()]
    graph = helper.make_graph(protos, "test", given, results, constants)
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, v) for d, v in (domains or {}).items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    if not isinstance(outputs, dict):  # ONNX Runtime wants the outputs' types
        typed = {v.name: v for v in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output}
        del model.graph.output[:]
        model.graph.output.extend(typed[n] for n in outputs)
    return model


def _node(op: str, inputs, outputs, attributes=None, name: str | None = None) -> onnx.NodeProto:
    attributes = dict(attributes or {})
    domain = attributes.pop("domain", "")
    return helper.make_node(op, list(inputs), list(outputs), name or f"{op}_{outputs[0]}", domain=domain, **attributes)


def _info(name: str, spec) -> onnx.ValueInfoProto:
    dtype, shape = np.float32, spec
    if isinstance(spec, np.ndarray):
        dtype, shape = spec.dtype, spec.shape
    elif len(spec) == 2 and (isinstance(spec[1], (list, tuple)) or isinstance(spec[0], (type, np.dtype))):
        dtype, shape = spec
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, None if shape is None else list(shape))


def tagger(op: str, size: int = 5, hidden: int = 19, tags: int = 4,
           batch: int | str = "batch") -> tuple[onnx.ModelProto, dict[str, str]]:
    """Two layers and a projection, with states as inputs and outputs; and which are which."""
    rng = np.random.default_rng(22)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    rows, kept = {"GRU": 3, "LSTM": 4}[op] * hidden, "hc" if op == "LSTM" else "h"
    constants, nodes, inputs, outputs, state, x = {"m": normal(hidden, tags), "one": np.int64([1])}, [], {}, [], {}, "x"
    for layer in (0, 1):
        constants |= {f"w{layer}": normal(1, rows, size), f"r{layer}": normal(1, rows, hidden),
                      f"b{layer}": normal(1, 2 * rows)}
        size = hidden
        names = [f"{k}{layer}" for k in kept]
        nodes.append((op, [x, f"w{layer}", f"r{layer}", f"b{layer}", "", *names],
                      [f"y{layer}", *(f"{n}_out" for n in names)], dict(hidden_size=hidden)))
        nodes.append(("Squeeze", [f"y{layer}", "one"], [f"s{layer}"]))
        x = f"s{layer}"
        inputs |= {n: [1, batch, hidden] for n in names}
        outputs += [f"{n}_out" for n in names]
        state |= {f"{n}_out": n for n in names}
    nodes.append(("MatMul", [x, "m"], ["tags"]))
    return make_model(nodes, {"x": ["steps", batch, 5], **inputs}, ["tags", *outputs], constants), state


def imported(model: onnx.ModelProto, shapes: dict | None = None):
    """The converter's graph of a model before any pass."""
    from wisp_converter.sources.onnx.importer import import_graph
    from wisp_converter.sources.onnx.load import load

    return import_graph(load(model, shapes))


def optimized(model: onnx.ModelProto, shapes: dict | None = None):
    """The converter's graph of a model after all passes."""
    from wisp_converter.passes import run_passes

    graph = imported(model, shapes)
    run_passes(graph)
    return graph


def count(graph, op: str) -> int:
    """How many nodes of a converter's graph are `op`."""
    return sum(n.op == op for n in graph.nodes)


def reference(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs by ONNX's reference implementation."""
    names = [o.name for o in model.graph.output]
    return {n: np.asarray(a) for n, a in zip(names, ReferenceEvaluator(model).run(names, inputs))}


def onnxruntime_outputs(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The outputs by ONNX Runtime; None where it is not installed or refuses the model."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    names = [o.name for o in model.graph.output]
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, inputs)))
    except Exception:  # its exceptions share no base class with a public name
        return None


def check_model(model: onnx.ModelProto, inputs: dict[str, np.ndarray], *, rtol: float = 1e-4, atol: float = 1e-5,
                threads: int = 1, shapes: dict | None = None, cpu: str | None = None, trust_reference: bool = True,
                **options) -> dict[str, np.ndarray]:
    """Convert, load, run; the outputs must agree with ONNX Runtime (where it runs the model) and with ONNX's reference
    (where that agrees with ONNX Runtime).

    trust_reference=False: ONNX's reference is known to be wrong here, ONNX Runtime must run the model and decides.
    A difference may be `atol` plus `rtol` of the output's largest value. options: of `convert`. Returns the outputs.
    """
    import wisp
    from wisp.file import read
    from wisp_converter import convert

    data = convert(model, shapes=shapes, **{"verify": False, **options})
    loaded, file = wisp.load(data, threads=threads, cpu=cpu), read(data)
    if file.is_static:
        assert loaded.arena_bytes <= file.arena_size(threads), "the runtime needs more memory than the file states"
    got = loaded.run(inputs)
    oracles = {"ONNX Runtime": onnxruntime_outputs(model, inputs)}
    if trust_reference:
        oracles["reference"] = reference(model, inputs)
    assert any(oracles.values()), "no oracle ran the model"
    for oracle, expected in oracles.items():
        for name, want in (expected or {}).items():
            check_close(got[name], want, f"{name} against {oracle}", rtol=rtol, atol=atol)
    return got


def check_close(got: np.ndarray, want: np.ndarray, what: str, *, rtol: float, atol: float) -> None:
    """Same dtype, shape, NaNs and infinities; elsewhere within atol + rtol * the largest finite value of `want`."""
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype}, expected {want.dtype}"
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if got.dtype.kind != "f":
        assert np.array_equal(got, want), f"{what}: {np.sum(got != want)} of {got.size} differ"
        return
    finite = np.isfinite(want)
    assert np.array_equal(got[~finite], want[~finite], equal_nan=True), f"{what}: NaN or infinity differ"
    largest = np.abs(want[finite]).max(initial=0)
    difference = np.abs(got[finite].astype(np.float64) - want[finite]).max(initial=0)
    print(f"{what}: max difference {difference:.3g}, largest value {largest:.3g}")
    assert difference <= atol + rtol * largest, f"{what}: max difference {difference:.3g}, largest value {largest:.3g}"


UNIT = 2.0**-24  # of f32: half the distance from 1 to the next number


def check_products(model: onnx.ModelProto, inputs: dict[str, np.ndarray], terms: int, *,
                   got: dict[str, np.ndarray] | None = None) -> None:
    """A float model that sums `terms` products for each output element, against double precision: off by at most
    (terms + 3) * UNIT * sum |products|, what rounding each product,
    each partial sum and a folded factor may cost in any order."""
    import wisp
    from wisp_converter import convert

    got = got or wisp.load(convert(model, verify=False)).run(inputs)
    want = reference(_in_double(model, lambda a: a), {n: a.astype(np.float64) for n, a in inputs.items()})
    magnitude = reference(_in_double(model, np.abs), {n: np.abs(a).astype(np.float64) for n, a in inputs.items()})
    for name, exact in want.items():
        assert got[name].shape == exact.shape and got[name].dtype == np.float32
        bound = (terms + 3) * UNIT * magnitude[name]
        worst = np.max(np.abs(got[name] - exact) - bound, initial=-np.inf)
        assert worst <= 0, f"{name}: {worst:.3g} more than {terms} roundings explain"


def _in_double(model: onnx.ModelProto, change) -> onnx.ModelProto:
    """The model in float64, its constants changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).astype(np.float64),
                                                    tensor.name))
    for value in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return copy


def check_int8_layer(model: onnx.ModelProto, inputs: dict[str, np.ndarray], *, off_by_one: float = 0.02,
                     oracle=None) -> np.ndarray:
    """Quantize a model of one layer, calibrated on `inputs` themselves, and compare it with exact arithmetic on the
    same rounded inputs and weights: within half an output step,
    but at most one step for a share `off_by_one` of the values.

    oracle: computes the float model; None: ONNX's reference. Every node must have got an int8 form. Returns the (only)
    output.
    """
    import wisp
    from wisp.file import read
    from wisp_converter import convert

    with patch("wisp_converter.quantize.round.BIAS_CORRECTION", False):  # exact arithmetic knows nothing of it
        data = convert(model, quantize="int8", calibration=[inputs], method="minmax", verify=False)
    file = read(data)
    assert not wisp.load(data).metadata["quantization"]["float_nodes"]
    scales = {t.name: (t.scale, t.zero_point) for t in file.tensors if t.scale}
    rounded = {n: _round_trip(a, *scales[f"{n}.s8"]) if f"{n}.s8" in scales else a for n, a in inputs.items()}
    assert any(f"{n}.s8" in scales for n in inputs)
    (name, got), = wisp.load(data).run(inputs).items()
    scale, zero = scales[f"{name}.s8"]
    want = (oracle or reference)(_round_weights(model), rounded)[name].astype(np.float64)
    want = np.clip(want, (-128 - zero) * scale, (127 - zero) * scale)
    steps = np.abs(got - want) / scale
    print(f"{name}: step {scale:.3g}, largest difference {steps.max(initial=0):.3g} steps, "
          f"over half {np.mean(steps > 0.52):.2%}")
    assert steps.max(initial=0) <= 1.05
    assert np.sum(steps > 0.52) <= max(off_by_one * steps.size, 1)
    return got


def _round_trip(array: np.ndarray, scale: float, zero: int) -> np.ndarray:
    stored = np.clip(np.rint(array.astype(np.float64) / scale) + zero, -128, 127)
    return ((stored - zero) * scale).astype(np.float32)


def _round_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its Conv, Gemm and MatMul weights rounded to 255 levels for each output channel."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensors = {t.name: t for t in copy.graph.initializer}
    for node in copy.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or node.input[1] not in tensors:
            continue
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if node.op_type == "Conv" or transposed else 1
        weights = numpy_helper.to_array(tensors[node.input[1]]).astype(np.float64)
        stored, group = weights.shape, next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type == "ConvTranspose":  # (inputs, outputs of a group, ...): a scale for each output of each group
            weights = weights.reshape(group, -1, *stored[1:]).swapaxes(1, 2).reshape(group * stored[1], -1)
            axis = 0
        others = tuple(i for i in range(weights.ndim) if i != axis)
        step = np.maximum(np.abs(weights).max(axis=others, keepdims=True) / 127, 1e-300)
        rounded = (np.rint(weights / step) * step).astype(np.float32)
        if node.op_type == "ConvTranspose":
            rounded = rounded.reshape(group, stored[1], -1, *stored[2:]).swapaxes(1, 2).reshape(stored)
        tensors[node.input[1]].CopyFrom(numpy_helper.from_array(rounded, node.input[1]))
    return copy
