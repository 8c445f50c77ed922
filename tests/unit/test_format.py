"""The writer against format.h, against a plain loop, and against itself."""
# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import small_cnn

from support import make_model
from wisp import file as reader
from wisp_converter import convert, opcodes
from wisp_converter.target import format as fmt

ROOT = Path(__file__).resolve().parent.parent.parent
HEADER = (ROOT / "cbackend" / "src" / "format.h").read_text()
DOCUMENT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
SIZES = {"uint8_t": 1, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4, "uint64_t": 8, "wisp_checksum": 16}
DOCUMENT_SIZES = {"u8": 1, "u16": 2, "s32": 4, "u32": 4, "f32": 4, "u64": 8, "checksum": 16}

STRUCTS = {"wisp_file_header": fmt.HEADER, "wisp_file_section": fmt.SECTION, "wisp_file_tensor": fmt.TENSOR,
           "wisp_file_graph": fmt.GRAPH, "wisp_file_state": fmt.STATE, "wisp_file_operator": fmt.OPERATOR,
           "wisp_channels_s8": fmt.CHANNELS, "wisp_checksum": fmt.CHECKSUM}


def c_layout(name: str) -> tuple[dict[str, tuple[int, int]], int]:
    """{field: (offset, size)} of a struct in format.h, by C's rules of alignment, and the struct's size."""
    body = re.search(r"typedef struct %s \{.*?\n(.*?)\n\} %s;" % (name, name), HEADER, re.DOTALL).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    fields, offset, widest = {}, 0, 1
    for kind, names in re.findall(r"(\w+) ([^;]+);", body):
        size = SIZES[kind]
        align = min(size, 8)
        widest = max(widest, align)
        for item in names.split(","):
            field, count = re.fullmatch(r"\s*(\w+)(?:\[(\d+)\])?\s*", item).groups()
            offset = fmt.round_up(offset, align)
            fields[field] = offset, size * int(count or 1)
            offset += size * int(count or 1)
    return fields, fmt.round_up(offset, widest)


def document_layout(name: str) -> dict[str, tuple[int, int]]:
    """{field: (offset, size)} of a struct by its table in docs/format.md."""
    table = re.search(rf"<!-- struct {name} -->\n\n((?:\|.*\n)+)", DOCUMENT).group(1)
    rows = re.findall(r"^\| (\d+) \| (\w+?)(?:\[(\d+)\])? \| `(\w+)` \|", table, re.MULTILINE)
    assert len(rows) == table.count("\n") - 2, "a row is not understood"
    return {field: (int(offset), DOCUMENT_SIZES[kind] * int(count or 1)) for offset, kind, count, field in rows}


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_are_the_same_in_c_in_the_writer_and_in_the_document(name):
    fields, size = c_layout(name)
    dtype = STRUCTS[name]
    assert {f: (dtype.fields[f][1], dtype.fields[f][0].itemsize) for f in dtype.names} == fields
    assert dtype.itemsize == size
    assert document_layout(name) == fields


def test_the_second_reader_has_the_structs_of_the_document():
    """It is written from the text: where they differ, one of them is wrong."""
    for name in ("header", "section", "tensor", "graph", "state", "operator"):
        struct = getattr(reader, name.upper())
        assert {f: (at, one.size) for f, (at, one) in struct.fields.items()} == document_layout(f"wisp_file_{name}")


def test_every_struct_of_the_file_is_compared():
    assert set(re.findall(r"^typedef struct (\w+) \{", HEADER, re.MULTILINE)) == set(STRUCTS)


def test_constants_equal_those_in_c():
    def value(name):
        return int(re.search(r"%s(?: =)? (0x[0-9a-fA-F]+|\d+)" % name, HEADER).group(1), 0)

    stated = value("WISP_MAGIC"), value("WISP_FORMAT_MAJOR"), value("WISP_FORMAT_MINOR")
    assert stated == (fmt.MAGIC, fmt.MAJOR, fmt.MINOR)
    assert [value(f"WISP_SECTION_{s.upper()}") for s in fmt.SECTIONS] == list(range(value("WISP_SECTION_COUNT")))
    assert fmt.SECTIONS == reader.SECTIONS
    for prefix in ("KIND", "TENSOR"):
        names = re.findall(rf"WISP_{prefix}_(\w+) =", HEADER)
        assert names
        for name in names:
            assert value(f"WISP_{prefix}_{name}") == getattr(fmt, f"{prefix}_{name}")
    assert value("WISP_OPERATOR_AT_RESIZE") == fmt.OPERATOR_AT_RESIZE and value("WISP_NO_TENSOR") == fmt.NO_TENSOR
    assert value("WISP_FILE_STATIC") == fmt.FILE_STATIC and value("WISP_MAX_SECTIONS") == reader.MAX_SECTIONS
    assert value("WISP_SECTION_OPTIONAL") == reader.OPTIONAL


def test_the_document_lists_the_layouts():
    document = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    rows = {name: int(code) for code, name in re.findall(r"^\| (\d) (\w+) \|", document, re.MULTILINE)}
    assert rows == {"plain": fmt.PLAIN, **opcodes.layouts()}
    assert reader.LAYOUTS == ("plain", *(n.lower() for n, _ in sorted(opcodes.layouts().items(), key=lambda e: e[1])))


def plain_checksum(data: bytes) -> tuple[int, int]:
    a = b = 0
    data += bytes(-len(data) % 4)
    for i in range(0, len(data), 4):
        a = (a + int.from_bytes(data[i:i + 4], "little")) % 2**64
        b = (b + a) % 2**64
    return a, b


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 64, 1001, (1 << 22) + 7])
def test_checksum(size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    assert fmt.checksum(data) == plain_checksum(data)


def test_checksum_wraps():
    data = b"\xff" * (3 << 22)
    words = len(data) // 4
    assert fmt.checksum(data) == (words * 0xFFFFFFFF % 2**64, words * (words + 1) // 2 * 0xFFFFFFFF % 2**64)


def test_same_input_same_bytes(small_files):
    samples = [{"x": np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)}]
    assert convert(small_cnn()) == convert(small_cnn())
    once, again = (convert(small_cnn(), quantize="int8", calibration=samples) for _ in range(2))
    assert once == again


def test_sections_are_aligned_and_checked(small_files):
    for data in small_files.values():
        header = np.frombuffer(data, fmt.HEADER, 1)[0]
        table = np.frombuffer(data, fmt.SECTION, header["section_count"], fmt.HEADER.itemsize)
        assert header["file_size"] == len(data)
        assert list(table["id"]) == sorted(set(table["id"])) and all(table["size"] > 0)
        for entry in table:
            assert entry["offset"] % (4096 if fmt.SECTIONS[entry["id"]] == "weights" else 64) == 0
            start, size = int(entry["offset"]), int(entry["size"])
            assert plain_checksum(data[start:start + size]) == (entry["checksum"]["a"], entry["checksum"]["b"])


def test_equal_constants_are_stored_once():
    c = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    one = convert(make_model([("Add", ["x", "c"], ["y"])], {"x": c}, ["y"], {"c": c}), verify=False)
    two = convert(make_model([("Add", ["x", "c"], ["a"]), ("Mul", ["a", "d"], ["y"])], {"x": c}, ["y"],
                             {"c": c, "d": c.copy()}), verify=False)
    assert len(two) - len(one) < c.nbytes / 2


@pytest.mark.parametrize("second", ["OP(1, B, 0, NONE)", "OP(2, A, 0, NONE)"])
def test_no_two_operators_have_one_code_or_name(second):
    assert len(opcodes.parse("OP(1, A, 0, NONE)\nOP(2, B, 0, NONE)")) == 2
    with pytest.raises(ValueError, match="two operators"):
        opcodes.parse("OP(1, A, 0, NONE)\n" + second)


def test_every_entry_of_ops_def_is_read():
    text = opcodes.def_file("ops.def").read_text()
    table = opcodes.parse(text)
    assert len(table) == len(re.findall(r"^OP\(", text, re.MULTILINE)) == len({o.code for o in table.values()})
    words = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert len(re.findall(r"[IFVG]\(", words)) == sum(len(o.params) for o in table.values())
    documented = set(re.findall(r"^ \*   ([A-Z_]+) +\S", text, re.MULTILINE))
    assert set().union(*(o.traits for o in table.values())) == documented


def test_parameters_are_checked():
    with pytest.raises(KeyError, match="no parameter 'typo'|no parameter typo"):
        opcodes.pack_parameters("Relu", {"typo": 1})
    assert opcodes.pack_parameters("Relu", {}) == b""
    assert opcodes.pack_parameters("Clip", {"max": 6.0}) == np.float32([-np.inf, 6]).tobytes()
    assert opcodes.pack_parameters("Transpose", {"perm": (1, 0)}) == np.int32([2, 2, 1, 0]).tobytes()
    stated = opcodes.pack_parameters("Reshape", {"shape": (3, -1), "allowzero": 1})
    assert stated == np.int32([1, 2, 3, 3, -1]).tobytes()
    assert opcodes.pack_parameters("Reshape", {}) == np.int32([0, 0, 3]).tobytes()
    branches = opcodes.pack_parameters("If", {"then_branch": "a", "else_branch": "b"}, {"a": 3, "b": 4}.get)
    assert branches == np.int32([3, 4]).tobytes()


def test_the_dump_in_the_document_is_what_the_writer_writes():
    import format_dump

    written = format_dump.BLOCK.search(format_dump.DOCUMENT.read_text(encoding="utf-8")).group(2)
    assert written == format_dump.dump(format_dump.tiny_file()), "run tests/format_dump.py"
