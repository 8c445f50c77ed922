"""What a shared library says about itself, read from its headers: ELF, Mach-O (64 bits) or PE (64 bits)."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from dataclasses import dataclass, field


@dataclass
class Library:
    machine: str = ""
    exports: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    # glibc's of the symbols it uses; macOS: the oldest it runs on
    versions: set[tuple[int, ...]] = field(default_factory=set)
    signed: bool = False  # Mach-O: carries a code signature


def read(data: bytes) -> Library:
    if data[:4] == b"\x7fELF":
        return _elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return _mach(data)
    if data[:2] == b"MZ":
        return _pe(data)
    raise ValueError("neither ELF nor 64-bit Mach-O nor PE")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split("."))


# ---- ELF, little-endian


def _elf(data: bytes) -> Library:
    wide = data[4] == 2
    machine = struct.unpack_from("<H", data, 18)[0]
    library = Library({62: "x86_64", 183: "aarch64", 40: "arm"}[machine])
    table = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)[0]
    entry, count = struct.unpack_from("<HH", data, 58 if wide else 46)
    sections = []  # type, offset, size, link
    for i in range(count):
        fields = struct.unpack_from("<IIQQQQI" if wide else "<IIIIIII", data, table + i * entry)
        sections.append((fields[1], fields[4], fields[5], fields[6]))
    for kind, offset, size, link in sections:
        strings = sections[link][1] if link < len(sections) else 0
        if kind == 6:  # dynamic
            for tag, value in struct.iter_unpack("<qQ" if wide else "<iI", data[offset : offset + size]):
                if tag == 0:
                    break
                if tag == 1:
                    library.needs.add(_text(data, strings + value))
        elif kind == 11:  # dynamic symbols
            for raw in struct.iter_unpack("<IBBHQQ" if wide else "<IIIBBH", data[offset : offset + size]):
                name, info, section = (raw[0], raw[1], raw[3]) if wide else (raw[0], raw[3], raw[5])
                if section and info >> 4 in (1, 2):
                    library.exports.add(_text(data, strings + name))
        elif kind == 0x6FFFFFFE:  # versions needed
            library.versions |= _versions(data, offset, strings)
    return library


def _versions(data: bytes, offset: int, strings: int) -> set[tuple[int, ...]]:
    """The glibc versions named in a section of needed versions."""
    found = set()
    while True:
        _, count, _, first, following = struct.unpack_from("<HHIII", data, offset)
        at = offset + first
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from("<IHHII", data, at)
            version = _text(data, strings + name)
            if version.startswith("GLIBC_"):
                found.add(_numbers(version[len("GLIBC_") :]))
            at += step
        if not following:
            return found
        offset += following


# ---- Mach-O


def _mach(data: bytes) -> Library:
    machine, _, _, commands = struct.unpack_from("<IIII", data, 4)
    library = Library({0x01000007: "x86_64", 0x0100000C: "aarch64"}[machine])
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, at)
        if command == 0xC:  # loads a library
            library.needs.add(_text(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        elif command in (0x24, 0x32):  # the oldest system: LC_VERSION_MIN_MACOSX, LC_BUILD_VERSION
            version = struct.unpack_from("<I", data, at + (8 if command == 0x24 else 12))[0]
            library.versions.add((version >> 16, version >> 8 & 255))
        elif command == 0x1D:
            library.signed = True
        elif command == 2:  # symbols
            symbols, count, strings, _ = struct.unpack_from("<IIII", data, at + 8)
            for name, kind, section, _, _ in struct.iter_unpack("<IBBHQ", data[symbols : symbols + 16 * count]):
                if kind & 0xE0 == 0 and kind & 0x11 == 1 and section:  # no debugging entry, external, not private
                    library.exports.add(_text(data, strings + name)[1:])
        at += size
    return library


# ---- PE


def _pe(data: bytes) -> Library:
    header = struct.unpack_from("<I", data, 0x3C)[0]
    assert data[header : header + 4] == b"PE\0\0"
    machine, count = struct.unpack_from("<HH", data, header + 4)
    library = Library({0x8664: "x86_64", 0xAA64: "aarch64"}[machine])
    optional, size = header + 24, struct.unpack_from("<H", data, header + 20)[0]
    sections = [struct.unpack_from("<IIII", data, optional + size + 40 * i + 8) for i in range(count)]

    def offset(address: int) -> int:
        return next(raw + address - start for memory, start, _, raw in sections if start <= address < start + memory)

    exports, _, imports, _ = struct.unpack_from("<IIII", data, optional + 112)
    (listed,) = struct.unpack_from("<I", data, offset(exports) + 24)
    (names,) = struct.unpack_from("<I", data, offset(exports) + 32)
    for (name,) in struct.iter_unpack("<I", data[offset(names) : offset(names) + 4 * listed]):
        library.exports.add(_text(data, offset(name)))
    at = offset(imports)
    while name := struct.unpack_from("<I", data, at + 12)[0]:
        library.needs.add(_text(data, offset(name)))
        at += 20
    return library
