"""Einsum: contracted two operands at a time, by MatMul where axes can be merged, otherwise by Mul and ReduceSum."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...ir import Dim, Value
from .emit import Emit
from .registry import importer


@dataclass
class Term:
    """A value whose axes have letters; those of an ellipsis are called by numbers, counted from the last one."""

    value: Value
    letters: list[str]

    def extent(self, letter: str) -> Dim:
        return self.value.shape[self.letters.index(letter)]


@importer("Einsum")
def Einsum(emit: Emit, *, equation: str) -> None:
    terms, output = _parse(emit, equation.replace(" ", ""))
    emit.state_rank(len(output))
    terms = [_without_repeats(emit, t) for t in terms]
    while len(terms) > 1:
        a, b, *rest = terms
        kept = {*output, *(x for t in rest for x in t.letters)}
        a, b = _summed(emit, a, kept | set(b.letters)), _summed(emit, b, kept | set(a.letters))
        terms = [_contract(emit, a, b, kept), *rest]
    last = _arranged(emit, _summed(emit, terms[0], set(output)), output)
    emit.alias(last.value)


def _parse(emit: Emit, equation: str) -> tuple[list[Term], list[str]]:
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    if len(parts) != len(emit.inputs):
        raise emit.unsupported(f"the equation {equation!r} has {len(parts)} operands, the node {len(emit.inputs)}")
    terms = []
    for part, value in zip(parts, emit.inputs):
        if value.shape is None:
            raise emit.unsupported(f"the number of axes of {value.name!r} is not known")
        letters = _letters(part, len(value.shape) - len(part.replace("...", "")))
        if len(letters) != len(value.shape):
            raise emit.unsupported(f"{part!r} does not fit the {len(value.shape)} axes of {value.name!r}")
        terms.append(Term(value, letters))
    every = [x for t in terms for x in t.letters]
    dots = sorted({x for x in every if x.isdigit()}, key=int, reverse=True)
    if arrow:
        return terms, _letters(right, len(dots) if "..." in right else 0)
    return terms, [*dots, *sorted(x for x in set(every) if not x.isdigit() and every.count(x) == 1)]


def _letters(part: str, dots: int) -> list[str]:
    before, ellipsis, after = part.partition("...")
    return [*before, *(str(i) for i in reversed(range(dots if ellipsis else 0))), *after]


def _without_repeats(emit: Emit, term: Term) -> Term:
    """The diagonal where one letter stands at two axes: all off it set to 0, then summed over one of them."""
    for letter in dict.fromkeys(term.letters):
        while term.letters.count(letter) > 1:
            first = term.letters.index(letter)
            second = term.letters.index(letter, first + 1)
            n, rank = term.value.shape[first], len(term.letters)
            if not isinstance(n, int):
                raise emit.unsupported("the extent of a diagonal must be known")
            shape = [n if axis in (first, second) else 1 for axis in range(rank)]
            mask = emit.constant(np.eye(n, dtype=bool).reshape(shape), "diagonal")
            zero = emit.constant(np.zeros((), term.value.dtype), "zero")
            value = emit.add("Where", [mask, term.value, zero], shape=term.value.shape, dtype=term.value.dtype)
            letters = [x for axis, x in enumerate(term.letters) if axis != second]
            term = Term(_sum(emit, value, [second]), letters)
    return term


def _sum(emit: Emit, value: Value, axes: list[int]) -> Value:
    shape = tuple(d for axis, d in enumerate(value.shape) if axis not in axes)
    return emit.add("ReduceSum", [value, emit.constant(np.int64(axes), "axes")], shape=shape)


def _summed(emit: Emit, term: Term, kept: set[str]) -> Term:
    """Without the letters that nothing needs."""
    gone = [axis for axis, letter in enumerate(term.letters) if letter not in kept]
    return Term(_sum(emit, term.value, gone), [x for x in term.letters if x in kept]) if gone else term


def _arranged(emit: Emit, term: Term, letters: list[str]) -> Term:
    """Its axes in the order of `letters`; those that it lacks become axes of extent 1."""
    own = [x for x in letters if x in term.letters]
    value = term.value
    if own != term.letters:
        perm = tuple(term.letters.index(x) for x in own)
        value = emit.add("Transpose", [value], shape=tuple(value.shape[p] for p in perm), perm=perm)
    missing = [axis for axis, x in enumerate(letters) if x not in own]
    if missing:
        extents = dict(zip(own, value.shape))
        value = emit.add("Unsqueeze", [value, emit.constant(np.int64(missing), "axes")],
                         shape=tuple(extents.get(x, 1) for x in letters))
    return Term(value, letters)


def _contract(emit: Emit, a: Term, b: Term, kept: set[str]) -> Term:
    """The product of two, summed over what both have and nothing else needs."""
    both = [x for x in a.letters if x in b.letters]
    inner = [x for x in both if x not in kept]
    batch = [x for x in both if x in kept]
    rows, columns = [x for x in a.letters if x not in both], [x for x in b.letters if x not in both]
    batch += [x for x in rows + columns if x.isdigit()]  # an ellipsis that only one has is broadcast
    rows, columns = ([x for x in part if x not in batch] for part in (rows, columns))
    batch.sort(key=lambda x: -int(x) if x.isdigit() else 1)
    outer = [*(a.extent(x) for x in rows), *(b.extent(x) for x in columns)]
    if inner and sum(not isinstance(d, int) for d in outer) <= 1 and all(
            _merges(t, group) for t, group in ((a, rows), (a, inner), (b, inner), (b, columns))):
        return _multiply(emit, a, b, batch, rows, inner, columns)
    letters = batch + rows + inner + columns
    x, y = (_arranged(emit, t, letters).value for t in (a, b))
    shape = tuple(q if p == 1 else p for p, q in zip(x.shape, y.shape))
    return _summed(emit, Term(emit.add("Mul", [x, y], shape=shape), letters), kept)


def _merges(term: Term, group: list[str]) -> bool:
    return len(group) == 1 or all(isinstance(term.extent(x), int) for x in group)


def _multiply(emit: Emit, a: Term, b: Term, batch: list[str], rows: list[str], inner: list[str],
              columns: list[str]) -> Term:
    x = _merged(emit, _arranged(emit, a, batch + rows + inner), len(batch), len(rows))
    y = _merged(emit, _arranged(emit, b, batch + inner + columns), len(batch), len(inner))
    outer = tuple(q if p == 1 else p for p, q in zip(x.shape[:len(batch)], y.shape[:len(batch)]))
    product = emit.add("MatMul", [x, y], shape=(*outer, x.shape[-2], y.shape[-1]))
    extents = [*(a.extent(r) for r in rows), *(b.extent(c) for c in columns)]
    if len(rows) != 1 or len(columns) != 1:
        to = [0] * len(batch) + [d if isinstance(d, int) else -1 for d in extents]
        product = emit.add("Reshape", [product, emit.constant(np.int64(to), "shape")], shape=(*outer, *extents))
    return Term(product, batch + rows + columns)


def _merged(emit: Emit, term: Term, batch: int, first: int) -> Value:
    """A matrix for each index of the batch: its rows are the next `first` axes, its columns the others."""
    shape = term.value.shape
    groups = [shape[batch:batch + first], shape[batch + first:]]
    if all(len(g) == 1 for g in groups):
        return term.value
    extents = [g[0] if len(g) == 1 else math.prod(g) for g in groups]
    to = [0] * batch + [d if isinstance(d, int) else -1 for d in extents]
    return emit.add("Reshape", [term.value, emit.constant(np.int64(to), "shape")], shape=(*shape[:batch], *extents))
