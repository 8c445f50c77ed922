"""Attention, caches and rotary embeddings of com.microsoft and TensorScatter, made of importers of other operators.
ONNX's own Attention and RotaryEmbedding are functions, whose bodies are imported."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools

import numpy as np

from ...ir import Value
from .emit import Emit
from .microsoft import MS
from .registry import importer

LOWEST = np.float32(np.finfo(np.float32).min)
TO_THE_END = 2**62


def _call(emit: Emit, op: str, *inputs, rank: int, output: Value | None = None, dtype=None, **attributes) -> Value:
    """An operator of ONNX on values, None, or numbers: a float is float32, integers are int64."""
    def operand(x):
        if x is None or isinstance(x, Value):
            return x
        return emit.constant(np.asarray(x, np.float32 if isinstance(x, float) else getattr(x, "dtype", np.int64)))
    return emit.call(op, [operand(x) for x in inputs], output, shape=(None,) * rank, dtype=dtype, **attributes)


def _extent(emit: Emit, x: Value, axis: int) -> Value:
    """Of one axis: int64[1]."""
    return _call(emit, "Shape", x, rank=1, dtype=np.int64, start=axis, end=axis + 1)


def _range(emit: Emit, n: Value) -> Value:
    """0 .. n - 1 for n int64[1]."""
    return _call(emit, "Range", np.int64(0), _call(emit, "Squeeze", n, [0], rank=0), np.int64(1), rank=1)


def _split(emit: Emit, x: Value, sizes: list[int]) -> list[Value]:
    """Parts of the last axis."""
    ends = np.cumsum([0, *sizes])
    return [_call(emit, "Slice", x, [a], [b], [-1], rank=len(x.shape)) for a, b in zip(ends, ends[1:])]


def _turn(emit: Emit, x: Value, output: Value | None = None) -> Value:
    """(batch, sequence, heads, size) to (batch, heads, sequence, size), and back."""
    return _call(emit, "Transpose", x, rank=4, output=output, perm=[0, 2, 1, 3])


def _attend(emit: Emit, q: Value, k: Value, v: Value, add: list[Value], *, scale: Value, kv_heads: int = 0,
            softcap: float = 0.0, sink: Value | float | None = None) -> None:
    """The node's output: softmax(scale q k^T + what is added) v, heads side by side again. q, k and v are
    (batch, heads, sequence, size); kv_heads: of k and v, each serving consecutive heads of q. A sink is one more score
    of each head, without a value."""
    heads = int(q.shape[1])
    shared = kv_heads not in (0, heads)
    if shared:  # the rows of all heads that share keys are one matrix
        q = _call(emit, "Reshape", q, [0, kv_heads, -1, q.shape[3]], rank=4)
    scores = _call(emit, "MatMul", _call(emit, "Mul", q, scale, rank=4),
                   _call(emit, "Transpose", k, rank=4, perm=[0, 1, 3, 2]), rank=4)
    if shared:
        scores = _call(emit, "Reshape", scores, [0, heads, -1, 0], rank=4)
    if softcap:
        scores = _call(emit, "Tanh", _call(emit, "Div", scores, softcap, rank=4), rank=4)
        scores = _call(emit, "Mul", scores, softcap, rank=4)
    for value in add:
        scores = _call(emit, "Add", scores, value, rank=4)
    weights = _softmax(emit, scores, sink)
    if shared:
        weights = _call(emit, "Reshape", weights, [0, kv_heads, -1, 0], rank=4)
    y = _call(emit, "MatMul", weights, v, rank=4)
    if shared:
        y = _call(emit, "Reshape", y, [0, heads, -1, 0], rank=4)
    _call(emit, "Reshape", _turn(emit, y), [0, 0, -1], rank=3, output=emit.outputs[0])


def _softmax(emit: Emit, scores: Value, sink: Value | float | None) -> Value:
    if sink is None:
        return _call(emit, "Softmax", scores, rank=4, axis=-1)
    column = _call(emit, "Slice", _call(emit, "Shape", scores, rank=1, dtype=np.int64), [0], [3], [0], rank=1)
    column = _call(emit, "Concat", column, [1], rank=1, axis=0)
    if isinstance(sink, Value):
        sink = _call(emit, "Reshape", sink, [1, -1, 1, 1], rank=4)
    joined = _call(emit, "Concat", scores, _call(emit, "Expand", sink, column, rank=4, dtype=np.float32), rank=4,
                   axis=3)
    return _call(emit, "Slice", _call(emit, "Softmax", joined, rank=4, axis=-1), [0], [-1], [3], rank=4)


def _scale(emit: Emit, scale: float, size: int) -> Value:
    return emit.constant(np.float32(scale or 1 / np.sqrt(size)), "scale")


# ---- masks: what is added to scores (batch, heads, sequence, keys)


def _unless(emit: Emit, allowed: Value, rank: int, below: float) -> Value:
    """0 where allowed (bool), else `below`."""
    return _call(emit, "Where", allowed, 0.0, float(below), rank=rank, dtype=np.float32)


def _compare(emit: Emit, op: str, a: Value, b, rank: int) -> Value:
    return _call(emit, op, a, b, rank=rank, dtype=np.bool_)


def _both(emit: Emit, a: Value, b: Value, rank: int) -> Value:
    return _call(emit, "And", a, b, rank=rank)


def _padding(emit: Emit, mask: Value | None, keys: Value, batch, below: float) -> list[Value]:
    """From a mask of keys: lengths (batch), ends then starts (2 batch), or numbers above 0 for what counts, as
    (batch, keys) or (batch, sequence, keys). keys: how many, int64[1]."""
    if mask is None:
        return []
    rank = len(mask.shape)
    if rank in (2, 3):
        allowed = _compare(emit, "Greater", mask, np.zeros((), mask.dtype), rank)
        allowed = _call(emit, "Unsqueeze", allowed, [1, 2] if rank == 2 else [1], rank=4)
    elif rank == 1:
        ends_only = mask.shape[0] == batch
        if not (ends_only or isinstance(batch, int) and mask.shape[0] == 2 * batch):
            raise emit.unsupported("the mask's length must be that of the batch, or twice that; bind them with shapes=")
        wide = _call(emit, "Cast", mask, rank=1, dtype=np.int64, to=7)
        wide = _call(emit, "Reshape", wide, [1 if ends_only else 2, -1, 1, 1, 1], rank=5)
        index = _range(emit, keys)
        ends = _call(emit, "Gather", wide, np.int64(0), rank=4, axis=0)
        allowed = _compare(emit, "Less", index, ends, 4)
        if not ends_only:
            starts = _call(emit, "Gather", wide, np.int64(1), rank=4, axis=0)
            allowed = _both(emit, allowed, _compare(emit, "GreaterOrEqual", index, starts, 4), 4)
    else:
        raise emit.unsupported(f"a mask of {rank} axes")
    return [_unless(emit, allowed, 4, below)]


def _causal(emit: Emit, rows: Value, keys: Value) -> Value:
    """Each of the last `rows` positions sees itself and what is before it."""
    first = _call(emit, "Sub", keys, rows, rank=1)
    position = _call(emit, "Unsqueeze", _call(emit, "Add", _range(emit, rows), first, rank=1), [1], rank=2)
    return _unless(emit, _compare(emit, "LessOrEqual", _range(emit, keys), position, 2), 2, LOWEST)


def _refuse(emit: Emit, what: dict[str, object]) -> None:
    for name, value in what.items():
        if value is not None and not (isinstance(value, (int, float)) and value == 0):
            raise emit.unsupported(f"{name} is not supported")


def _out(emit: Emit, i: int) -> Value | None:
    return emit.outputs[i] if i < len(emit.outputs) else None


def _state_cache(emit: Emit, outputs: tuple[int, ...], shape: tuple) -> None:
    for i in outputs:
        emit.state_type(emit.inputs[0].dtype, shape, i)


# ---- the operators


@importer("Attention", domain=MS)
def Attention(emit: Emit, *, num_heads: int, unidirectional: int = 0, qkv_hidden_sizes=None, scale: float = 0.0,
              mask_filter_value: float = -10000.0, do_rotary: int = 0, past_present_share_buffer: int = 0,
              rotary_embedding_dim: int = 0) -> None:
    """Of x (batch, sequence, n): x W + bias are query, key and value. past and present: (2, batch, heads, ...)."""
    _refuse(emit, {"do_rotary": do_rotary, "past_present_share_buffer": past_present_share_buffer,
                   "past_sequence_length": emit.input(6)})
    x, weights, past = emit.inputs[0], emit.inputs[1], emit.input(4)
    if not isinstance(weights.shape[1], int):
        raise emit.unsupported("the extents of the weights must be known")
    sizes = list(qkv_hidden_sizes or [weights.shape[1] // 3] * 3)
    emit.state_type(x.dtype, (*x.shape[:2], sizes[2]))
    _state_cache(emit, (1,), (2, x.shape[0], num_heads, None, sizes[0] // num_heads))
    y = _call(emit, "MatMul", x, weights, rank=3)
    if emit.input(2) is not None:
        y = _call(emit, "Add", y, emit.inputs[2], rank=3)
    q, k, v = (_turn(emit, _call(emit, "Reshape", part, [0, 0, num_heads, size // num_heads], rank=4))
               for part, size in zip(_split(emit, y, sizes), sizes))
    q.shape = (None, num_heads, None, sizes[0] // num_heads)
    if past is not None:
        k, v = (_call(emit, "Concat", _call(emit, "Gather", past, np.int64(i), rank=4, axis=0), new, rank=4, axis=2)
                for i, new in enumerate((k, v)))
    if _out(emit, 1) is not None:
        both = [_call(emit, "Unsqueeze", t, [0], rank=5) for t in (k, v)]
        _call(emit, "Concat", *both, rank=5, axis=0, output=emit.outputs[1])
    _finish(emit, x, q, k, v, emit.input(3), emit.input(5), unidirectional, mask_filter_value, scale)


def _finish(emit: Emit, x: Value, q: Value, k: Value, v: Value, mask: Value | None, bias: Value | None,
            unidirectional: int, below: float, scale: float) -> None:
    keys = _extent(emit, k, 2)
    add = _padding(emit, mask, keys, x.shape[0], below) + ([bias] if bias is not None else [])
    if unidirectional:
        add.append(_causal(emit, _extent(emit, q, 2), keys))
    _attend(emit, q, k, v, add, scale=_scale(emit, scale, q.shape[3]))


@importer("MultiHeadAttention", domain=MS)
def MultiHeadAttention(emit: Emit, *, num_heads: int, unidirectional: int = 0, scale: float = 0.0,
                       mask_filter_value: float = -10000.0) -> None:
    """Query (batch, sequence, n), key and value alike or (batch, heads, keys, size), or all packed in the query as
    (batch, sequence, heads, 3, size), or the last two in the key."""
    _refuse(emit, {"past_sequence_length": emit.input(8), "cache_indirection": emit.input(9),
                   "output qk": _out(emit, 3)})
    query, bias = emit.inputs[0], emit.input(3)
    parts = _unpack(emit, [query, emit.input(1), emit.input(2)])
    sizes = [_head_size(emit, p, num_heads) * num_heads for p in parts]
    biases = [None] * 3 if bias is None else _split(emit, bias, sizes)
    emit.state_type(query.dtype, (*query.shape[:2], sizes[2]))
    for i, size in ((1, sizes[1]), (2, sizes[2])):
        emit.state_type(query.dtype, (query.shape[0], num_heads, None, size // num_heads), i)
    q, k, v = (_with_heads(emit, p, b, num_heads, size) for p, b, size in zip(parts, biases, sizes))
    q.shape = (None, num_heads, None, sizes[0] // num_heads)
    k, v = (_grown(emit, emit.input(6 + i), new, _out(emit, 1 + i)) for i, new in enumerate((k, v)))
    _finish(emit, query, q, k, v, emit.input(4), emit.input(5), unidirectional, mask_filter_value, scale)


def _unpack(emit: Emit, parts: list[Value | None]) -> list[Value]:
    """Query, key and value, those left out taken from the one before them."""
    given = [p for p in parts if p is not None]
    packed = given[-1]
    if len(given) == 3:
        return given
    if len(packed.shape) != 5:
        raise emit.unsupported("key and value are left out, so they must be packed: 5 axes")
    taken = []
    for i in range(4 - len(given)):
        part = _call(emit, "Gather", packed, np.int64(i), rank=4, axis=3)
        part.shape = (*packed.shape[:3], packed.shape[4])
        flat = _call(emit, "Reshape", part, [0, 0, -1], rank=3)
        flat.shape = (*packed.shape[:2], packed.shape[2] * packed.shape[4])
        taken.append(flat)
    return [*given[:-1], *taken]


def _head_size(emit: Emit, x: Value, heads: int) -> int:
    size = x.shape[-1]
    if not isinstance(size, int):
        raise emit.unsupported(f"the last extent of {x.name!r} is not known")
    return size if len(x.shape) == 4 else size // heads


def _with_heads(emit: Emit, x: Value, bias: Value | None, heads: int, size: int) -> Value:
    """(batch, heads, sequence, size); what has that form already gets no bias."""
    if len(x.shape) == 4:
        return x
    if bias is not None:
        x = _call(emit, "Add", x, bias, rank=3)
    return _turn(emit, _call(emit, "Reshape", x, [0, 0, heads, size // heads], rank=4))


def _grown(emit: Emit, past: Value | None, new: Value, present: Value | None) -> Value:
    """Keys or values: those of the past, then the new ones."""
    if past is not None:
        return _call(emit, "Concat", past, new, rank=4, axis=2, output=present)
    if present is not None:
        emit.alias(new, present)
    return new


@importer("GroupQueryAttention", domain=MS)
def GroupQueryAttention(emit: Emit, *, num_heads: int, kv_num_heads: int, do_rotary: int = 0,
                        local_window_size: int = -1, rotary_interleaved: int = 0, scale: float = 0.0,
                        smooth_softmax: int = 0, softcap: float = 0.0, qk_output: int = 0, **unsupported) -> None:
    """Causal, with a cache: past (batch, kv heads, length, size), of which a row has seqlens_k + 1 - sequence in use;
    new ones go behind those. Positions count from there."""
    _refuse(emit, {"qk_output": qk_output, "output qk": _out(emit, 3),
                   **{n: v for n, v in unsupported.items() if v != "NONE"}})
    query = emit.inputs[0]
    size = _head_size(emit, query, num_heads if emit.input(1) is not None else num_heads + 2 * kv_num_heads)
    parts = emit.inputs[:3] if emit.input(1) is not None else _split(
        emit, query, [size * num_heads, size * kv_num_heads, size * kv_num_heads])
    emit.state_type(query.dtype, (*query.shape[:2], num_heads * size))
    _state_cache(emit, (1, 2), (query.shape[0], kv_num_heads, None, size))
    q, k, v = (_call(emit, "Reshape", p, [0, 0, n, size], rank=4)
               for p, n in zip(parts, (num_heads, kv_num_heads, kv_num_heads)))
    rows = _extent(emit, query, 1)
    position = _positions(emit, rows)
    if do_rotary:
        angles = position if emit.input(9) is None else emit.inputs[9]
        q, k = (_rotate(emit, x, angles, emit.inputs[7], emit.inputs[8], rotary_interleaved, size) for x in (q, k))
    k, v = (_written(emit, emit.input(3 + i), new, position, _out(emit, 1 + i)) for i, new in enumerate((k, v)))
    q = _turn(emit, q)
    q.shape = (None, num_heads, None, size)
    index, position = _range(emit, _extent(emit, k, 2)), _call(emit, "Unsqueeze", position, [1, 3], rank=4)
    allowed = _compare(emit, "LessOrEqual", index, position, 4)
    if local_window_size >= 0:
        oldest = _call(emit, "Sub", position, [local_window_size], rank=4)
        allowed = _both(emit, allowed, _compare(emit, "Greater", index, oldest, 4), 4)
    bias, sink = emit.input(10), emit.input(11) or (0.0 if smooth_softmax > 0 else None)
    add = [*([bias] if bias is not None else []), _unless(emit, allowed, 4, LOWEST)]
    _attend(emit, q, k, v, add, scale=_scale(emit, scale, size), kv_heads=kv_num_heads, softcap=softcap, sink=sink)


def _positions(emit: Emit, rows: Value) -> Value:
    """Of the new tokens: int64 (batch, sequence). A first prompt (as long as the total) begins at 0."""
    lengths = _call(emit, "Reshape", emit.inputs[5], [-1, 1], rank=2)
    lengths = _call(emit, "Add", _call(emit, "Cast", lengths, rank=2, dtype=np.int64, to=7), [1], rank=2)
    first = _compare(emit, "Equal", _total(emit), rows, 1)
    start = _call(emit, "Where", first, [0], _call(emit, "Sub", lengths, rows, rank=2), rank=2, dtype=np.int64)
    return _call(emit, "Add", start, _range(emit, rows), rank=2)


def _total(emit: Emit) -> Value:
    """total_sequence_length as int64[1]."""
    total = _call(emit, "Cast", emit.inputs[6], rank=len(emit.inputs[6].shape), dtype=np.int64, to=7)
    return _call(emit, "Reshape", total, [-1], rank=1)


def _written(emit: Emit, past: Value | None, new: Value, position: Value, present: Value | None) -> Value:
    """The cache (batch, heads, length, size), with `new` (batch, sequence, heads, size) at its positions. It grows by
    zeros where the total is longer."""
    if past is None:
        return _turn(emit, new, present)
    missing = _call(emit, "Max", _call(emit, "Sub", _total(emit), _extent(emit, past, 2), rank=1), [0], rank=1)
    pads = _call(emit, "Concat", [0, 0, 0, 0, 0, 0], missing, [0], rank=1, axis=0)
    cache = _turn(emit, _call(emit, "Pad", past, pads, rank=4))
    return _turn(emit, _put(emit, cache, new, position), present)


def _put(emit: Emit, cache: Value, new: Value, position: Value, output: Value | None = None) -> Value:
    """The cache (batch, length, ...) with `new` (batch, sequence, ...) at positions (batch, sequence) of the length."""
    rows = _call(emit, "Reshape", _range(emit, _extent(emit, new, 0)), [-1, 1], rank=2)
    row = _call(emit, "Expand", rows, _call(emit, "Shape", position, rank=1, dtype=np.int64), rank=2)
    index = _call(emit, "Concat", *(_call(emit, "Unsqueeze", i, [2], rank=3) for i in (row, position)), rank=3, axis=2)
    return _call(emit, "ScatterND", cache, index, new, rank=len(cache.shape), output=output)


@importer("TensorScatter", any_dtype=True)
def TensorScatter(emit: Emit, *, axis: int = -2, mode: str = "linear") -> None:
    """The cache with the update from write_indices (0 where left out) of each batch on; circular: over the end."""
    cache, new, start = emit.inputs[0], emit.inputs[1], emit.input(2)
    order = list(range(len(cache.shape)))
    order.insert(1, order.pop(axis % len(order)))
    moved = order != sorted(order)
    if moved:
        cache, new = (_call(emit, "Transpose", x, rank=len(order), perm=order) for x in (cache, new))
    rows = _range(emit, _extent(emit, new, 1))
    if start is None:
        start = _call(emit, "Expand", np.int64(0), _extent(emit, new, 0), rank=1)
    position = _call(emit, "Add", _call(emit, "Unsqueeze", start, [1], rank=2), rows, rank=2)
    if mode == "circular":
        position = _call(emit, "Mod", position, _extent(emit, cache, 1), rank=2)
    y = _put(emit, cache, new, position, None if moved else emit.out)
    if moved:
        _call(emit, "Transpose", y, rank=len(order), output=emit.out, perm=np.argsort(order).tolist())


@importer("RotaryEmbedding", domain=MS)
def RotaryEmbedding(emit: Emit, *, interleaved: int = 0, num_heads: int = 0, rotary_embedding_dim: int = 0,
                    scale: float = 1.0, is_packed_batching: int = 0) -> None:
    """x (batch, sequence, heads * size) or (batch, heads, sequence, size) at positions (batch, sequence), or that many
    from one position on."""
    _refuse(emit, {"is_packed_batching": is_packed_batching, "scale": scale - 1})
    x, position, cos, sin = emit.inputs[:4]
    emit.keep_type()
    if len(x.shape) == 4:
        size, heads_first = _head_size(emit, x, 1), True
        parts = _turn(emit, x)
    else:
        size, heads_first = _head_size(emit, x, num_heads) if num_heads else 2 * cos.shape[1], False
        parts = _call(emit, "Reshape", x, [0, 0, -1, size], rank=4)
    if len(position.shape) == 1:
        position = _call(emit, "Add", _range(emit, _extent(emit, parts, 1)), position, rank=1)
        position = _call(emit, "Unsqueeze", position, [0], rank=2)
    y = _rotate(emit, parts, position, cos, sin, interleaved, size, rotary_embedding_dim)
    if heads_first:
        _turn(emit, y, emit.out)
    else:
        _call(emit, "Reshape", y, [0, 0, -1], rank=3, output=emit.out)


def _rotate(emit: Emit, x: Value, position: Value, cos: Value, sin: Value, interleaved: int, size: int,
            rotated: int = 0) -> Value:
    """x (batch, sequence, heads, size): pairs of its first `rotated` numbers (0: twice the tables' width) turned by the
    angles of their positions. Pairs are neighbours, or half of that apart."""
    rotated = rotated or 2 * cos.shape[1]
    cos, sin = (_call(emit, "Unsqueeze", _call(emit, "Gather", t, position, rank=3, axis=0), [2], rank=4)
                for t in (cos, sin))
    step, half = (2, 1) if interleaved else (1, rotated // 2)
    a, b = (_call(emit, "Slice", x, [start], [end], [3], [step], rank=4)
            for start, end in (((0, rotated), (1, rotated)) if interleaved else ((0, half), (half, rotated))))
    times = functools.partial(_call, emit, "Mul", rank=4)
    pair = (_call(emit, "Sub", times(a, cos), times(b, sin), rank=4),
            _call(emit, "Add", times(a, sin), times(b, cos), rank=4))
    if interleaved:
        y = _call(emit, "Concat", *(_call(emit, "Unsqueeze", p, [4], rank=5) for p in pair), rank=5, axis=4)
        pair = (_call(emit, "Reshape", y, [0, 0, 0, rotated], rank=4),)
    rest = [_call(emit, "Slice", x, [rotated], [TO_THE_END], [3], rank=4)] if rotated < size else []
    return _call(emit, "Concat", *pair, *rest, rank=4, axis=3)
