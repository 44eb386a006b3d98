#!/usr/bin/env python3
"""Read .gqa files and check all that docs/gqa-format.md asks of a reader.

A second reader, written from that document alone, so that the document and
the tools are each checked by something that was not made from the other.
Nothing but Python's standard library, and libzstd to decompress.

usage: read_gqa.py [--list] [--against FILE.safetensors] FILE.gqa...

  --list       one line for each tensor: name, dtype, shape, SHA-256
  --against    the content must equal this file, byte by byte

Exit status: 0 every file is sound, 2 one is not, or the usage is wrong.
"""
import argparse
import collections
import ctypes
import hashlib
import json
import math
import os
import re
import struct
import sys

import heads

MIB = 1 << 20
CONTENT_MAX = 16 * MIB      # of a data frame; also the largest window
FRAME_MAX = CONTENT_MAX + 64 * 1024     # a data frame in the file
BLOCK_MAX = 128 * 1024      # content of a block: RFC 8878, 3.1.1.2.4
HEADER_MAX = 100_000_000    # N
MANIFEST_MAX = 100_000_000
ENTRIES_MAX = 1 << 27
NAME_MAX = 1024
DIMENSIONS_MAX = 8

MAGIC_FRAME = 0xFD2FB528
MAGIC_MANIFEST = 0x184D2A5D
MAGIC_TABLE = 0x184D2A5E
MAGIC_END = 0x8F92EAB1

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F32": 32, "I32": 32, "U32": 32, "F64": 64, "I64": 64,
    "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

Tensor = collections.namedtuple("Tensor", "name dtype shape begin end")
Entry = collections.namedtuple("Entry", "offset packed size checksum")


class Refused(Exception):
    """The file is not what the document says; why is the text."""


def need(condition, why):
    if not condition:
        raise Refused(why)


# JSON, section 1: RFC 8259, no byte order mark, no key twice

def unique(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("the same key twice")
    return result


def no_constant(text):
    raise ValueError(f"{text} is not JSON")


def integer(text):
    value = int(text)
    if not -1 << 63 <= value < 1 << 63:
        raise ValueError(f"{text} is more than 64 bits")
    return value


def real(text):
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is not in the range of binary64")
    return value


def json_object(raw, what):
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        value = json.loads(text, object_pairs_hook=unique,
                           parse_constant=no_constant,
                           parse_int=integer, parse_float=real)
        # An escape can name what text must not hold: half of a surrogate
        # pair, which has no UTF-8, or U+0000.
        again = json.dumps(value, ensure_ascii=False).encode()
        if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", again):
            raise ValueError("U+0000 in a string")
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what}: not JSON: {error}") from None
    need(isinstance(value, dict), f"{what}: not a JSON object")
    return value


def is_count(value):
    return type(value) is int and value >= 0    # True is an int to Python


# The Zstandard frames, section 3

class Zstd:
    """Decompresses one frame at a time; keeps its context."""

    def __init__(self):
        lib = ctypes.CDLL("libzstd.so.1")
        lib.ZSTD_createDCtx.restype = ctypes.c_void_p
        lib.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
        lib.ZSTD_decompressDCtx.restype = ctypes.c_size_t
        lib.ZSTD_decompressDCtx.argtypes = [
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,
            ctypes.c_char_p, ctypes.c_size_t]
        lib.ZSTD_isError.argtypes = [ctypes.c_size_t]
        lib.ZSTD_getErrorName.restype = ctypes.c_char_p
        lib.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
        self.lib = lib
        self.context = lib.ZSTD_createDCtx()

    def __del__(self):
        self.lib.ZSTD_freeDCtx(self.context)

    def decompress(self, raw, size, what):
        """The content of one frame, its XXH64 checked by the library."""
        out = ctypes.create_string_buffer(size)
        got = self.lib.ZSTD_decompressDCtx(self.context, out, size, raw,
                                           len(raw))
        if self.lib.ZSTD_isError(got):
            why = self.lib.ZSTD_getErrorName(got).decode()
            raise Refused(f"{what}: {why}")
        need(got == size, f"{what}: {got} bytes of content, not {size}")
        return out.raw


def check_frame(raw, entry, what):
    """What the frame's own bytes say, before anything is decompressed."""
    need(len(raw) >= 6 and raw[:4] == struct.pack("<I", MAGIC_FRAME),
         f"{what}: not a Zstandard frame")
    flags = raw[4]
    single = flags >> 5 & 1
    need(not flags >> 3 & 1, f"{what}: a reserved bit is set")
    need(flags >> 2 & 1, f"{what}: no checksum")
    need(not flags & 3, f"{what}: needs a dictionary")

    at, window = 5, 0
    if not single:
        exponent, mantissa = raw[5] >> 3, raw[5] & 7
        window = (1 << 10 + exponent) * (8 + mantissa) // 8
        at = 6
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    need(width, f"{what}: does not say the size of its content")
    need(len(raw) >= at + width, f"{what}: too short")
    size = int.from_bytes(raw[at:at + width], "little")
    size += 256 if width == 2 else 0
    at += width
    window = size if single else window
    need(window <= CONTENT_MAX, f"{what}: a window of {window} bytes")
    need(size == entry.size,
         f"{what}: {size} bytes of content, {entry.size} in the table")

    capacity, last = 0, False
    while not last:
        need(len(raw) >= at + 3, f"{what}: a block is cut")
        block = int.from_bytes(raw[at:at + 3], "little")
        last, kind, length = block & 1, block >> 1 & 3, block >> 3
        need(kind != 3, f"{what}: a block of the reserved type")
        at += 3 + (1 if kind == 1 else length)
        capacity += BLOCK_MAX
    need(len(raw) == at + 4,
         f"{what}: takes {at + 4} bytes, {len(raw)} in the table")
    need(size <= capacity, f"{what}: {size} bytes are more than its blocks")
    need(raw[at:] == struct.pack("<I", entry.checksum),
         f"{what}: its checksum is not the table's")


# The seek table, section 5

class Table:
    """Checks 1, 2 and the sizes of 4; iterates over Entry in file order."""

    def __init__(self, file):
        size = file.seek(0, os.SEEK_END)
        need(size >= 9, f"{size} bytes: too short for a seek table")
        file.seek(size - 9)
        count, descriptor, magic = struct.unpack("<IBI", file.read(9))
        need(magic == MAGIC_END, "does not end with a seek table")
        need(descriptor & ~3 == 0x80,
             f"seek table: descriptor {descriptor:#x}")
        need(2 <= count <= ENTRIES_MAX, f"seek table: {count} entries")
        need(12 * count + 17 <= size,
             f"seek table: {count} entries are longer than the file")
        self.count = count
        self.offset = size - (12 * count + 17)
        file.seek(self.offset)
        magic, length = struct.unpack("<II", file.read(8))
        need(magic == MAGIC_TABLE, "seek table: does not begin where it "
             "should")
        need(length == 12 * count + 9, "seek table: wrong size")
        self.raw = file.read(12 * count)

        empty = 0
        for entry in self:
            need(entry.offset + entry.packed <= self.offset,
                 "seek table: the frames are longer than the file")
            if entry.size == 0:
                empty += 1
        need(entry.offset + entry.packed == self.offset,
             "seek table: the frames are shorter than the file")
        need(entry.size == 0 and entry.checksum == 0 and empty == 1,
             "seek table: the last entry, and no other, is for the manifest")
        self.last = entry

    def __iter__(self):
        offset = 0
        for packed, size, checksum in struct.iter_unpack("<III", self.raw):
            yield Entry(offset, packed, size, checksum)
            offset += packed


# The content's header, section 2

def parse_tensor(name, value):
    what = f"header: tensor {name!r}"
    need(len(name.encode()) <= NAME_MAX
         and not re.search("[\x00-\x1f\x7f]", name),
         f"{what}: a name that is too long, or has a control character")
    need(isinstance(value, dict)
         and value.keys() >= {"dtype", "shape", "data_offsets"},
         f"{what}: not an object of dtype, shape and data_offsets")
    dtype, shape, offsets = (value["dtype"], value["shape"],
                             value["data_offsets"])
    need(isinstance(dtype, str) and dtype in BITS, f"{what}: dtype {dtype!r}")
    need(isinstance(shape, list) and all(map(is_count, shape)),
         f"{what}: shape is not an array of integers")
    need(len(shape) <= DIMENSIONS_MAX, f"{what}: {len(shape)} dimensions")
    need(isinstance(offsets, list) and len(offsets) == 2
         and all(map(is_count, offsets)) and offsets[0] <= offsets[1],
         f"{what}: bad data_offsets")
    count = 1
    for dimension in shape:
        count *= dimension
        need(count < 1 << 64, f"{what}: its elements cannot be counted in 64 "
             "bits")
    bits = count * BITS[dtype]
    need(bits % 8 == 0, f"{what}: does not fill whole bytes")
    need(bits // 8 == offsets[1] - offsets[0],
         f"{what}: its shape takes {bits // 8} bytes, its offsets "
         f"{offsets[1] - offsets[0]}")
    return Tensor(name, dtype, tuple(shape), *offsets)


def parse_header(raw):
    """(metadata, tensors in data order, bytes of data)"""
    need(len(raw) >= 10, "header: too short")
    length = int.from_bytes(raw[:8], "little")
    need(length == len(raw) - 8,
         f"header: says {length} bytes, has {len(raw) - 8}")
    need(raw[8:9] == b"{", "header: does not begin with {")
    need(raw.rstrip(b" ").endswith(b"}"), "header: ends in neither } nor "
         "spaces")
    entries = json_object(raw[8:], "header")
    metadata = entries.pop("__metadata__", None)
    need(isinstance(metadata, dict)
         and all(isinstance(text, str) for text in metadata.values()),
         "header: __metadata__ is not an object of strings")
    tensors = [parse_tensor(*item) for item in entries.items()]
    # Stable: tensors of no bytes at one place stay in the header's order.
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end))
    end = 0
    for tensor in tensors:
        need(tensor.begin == end, f"header: tensor {tensor.name!r} begins at "
             f"{tensor.begin}, the one before it ends at {end}")
        end = tensor.end
    return metadata, tensors, end


# The metadata, section 6

def check_recipe(recipe):
    ok = {
        "tool": lambda v: isinstance(v, str),
        "source": lambda v: isinstance(v, dict)
        and isinstance(v.get("kind"), str) and isinstance(v.get("name"), str)
        and "/" not in v["name"]
        and isinstance(v.get("recipe", {}), dict),
        "method": lambda v: v in ("mean", "first", "random"),
        "dtype": lambda v: v in ("keep", "f32", "f16", "bf16"),
        "expanded": lambda v: isinstance(v, bool),
        "attentions": lambda v: isinstance(v, list)
        and all(isinstance(item, dict) for item in v),
    }
    for key, test in ok.items():
        need(key in recipe and test(recipe[key]),
             f"gqa.recipe: {key} is missing or wrong")
    need(is_count(recipe.get("seed")) or recipe["method"] != "random",
         "gqa.recipe: method is random and there is no seed")
    for item in recipe["attentions"]:
        need(item.get("stack") in ("encoder", "decoder")
             and item.get("kind") in ("self", "cross")
             and is_count(item.get("layer"))
             and is_count(item.get("n_heads"))
             and is_count(item.get("source_n_kv_heads"))
             and is_count(item.get("n_kv_heads")) and item["n_kv_heads"]
             and item["source_n_kv_heads"] % item["n_kv_heads"] == 0,
             "gqa.recipe: an attention that is not as the document says")


def check_metadata(metadata, tensors):
    version = metadata.get("gqa.version")
    need(version == "1", f"gqa.version is {version!r}: only 1 is known")
    need(metadata.get("format") == "pt", "format is not pt")
    for key in ("gqa.config", "gqa.recipe"):
        need(key in metadata, f"{key} is missing")
    config = json_object(metadata["gqa.config"], "gqa.config")
    recipe = json_object(metadata["gqa.recipe"], "gqa.recipe")
    check_recipe(recipe)
    try:
        heads.check(config, recipe, tensors)
    except heads.Disagree as why:
        raise Refused(f"configuration, recipe and shapes: {why}") from None


# The manifest, section 4

def is_digest(value):
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)


def check_manifest(text, header, tensors, data_bytes):
    """The digests of the tensors in data order, and the stream's."""
    manifest = json_object(text, "manifest")
    version = manifest.get("gqa.manifest")
    need(type(version) is int and version == 1,
         f"manifest: version {version!r}")
    for key in ("header_sha256", "stream_digest", "manifest_sha256"):
        need(is_digest(manifest.get(key)), f"manifest: {key} is no digest")

    own = manifest["manifest_sha256"].encode()
    places = [match.start() for match in re.finditer(b"(?=%b)" % own, text)]
    need(len(places) == 1, "manifest: the digits of its own digest occur "
         f"{len(places)} times")
    at = places[0]
    zeroed = text[:at] + b"0" * 64 + text[at + 64:]
    need(hashlib.sha256(zeroed).hexdigest().encode() == own,
         "manifest: its own digest is wrong")

    content = manifest.get("content_bytes")
    need(is_count(content) and content == len(header) + data_bytes,
         f"manifest: content_bytes is {content!r}, the content has "
         f"{len(header) + data_bytes} bytes")
    need(manifest["header_sha256"] == hashlib.sha256(header).hexdigest(),
         "manifest: header_sha256 is not that of the header")

    listed = manifest.get("tensors")
    need(isinstance(listed, list)
         and all(isinstance(item, dict) and isinstance(item.get("name"), str)
                 and is_digest(item.get("sha256")) for item in listed),
         "manifest: tensors is not an array of names and digests")
    need([item["name"] for item in listed] == [t.name for t in tensors],
         "manifest: the tensors are not the header's, in data order")

    digests = [item["sha256"] for item in listed]
    joined = b"".join(map(bytes.fromhex,
                          [manifest["header_sha256"], *digests]))
    need(hashlib.sha256(joined).hexdigest() == manifest["stream_digest"],
         "manifest: stream_digest does not follow from the others")
    return digests, manifest["stream_digest"]


# The file

def fit(tensors, entries):
    """Pair each data frame with its tensor (check 6): [(tensor, [entry])]."""
    entries = iter(entries)
    result = []
    for tensor in tensors:
        left, own = tensor.end - tensor.begin, []
        while left:
            entry = next(entries, None)
            need(entry is not None,
                 f"tensor {tensor.name!r}: the frames end before it does")
            need(entry.size <= CONTENT_MAX and entry.packed <= FRAME_MAX,
                 f"frame at {entry.offset}: {entry.size} bytes of content "
                 f"in {entry.packed}")
            need(entry.size <= left, f"frame at {entry.offset}: passes the "
                 f"end of tensor {tensor.name!r}")
            left -= entry.size
            own.append(entry)
        result.append((tensor, own))
    need(next(entries, None) is None, "frames are left after the last tensor")
    return result


class Gqa:
    """A .gqa file; opening it makes checks 1 to 7, content() the others."""

    def __init__(self, file):
        self.file = file
        self.zstd = Zstd()
        table = Table(file)
        first, *data = list(table)[:-1]

        last = table.last
        need(8 <= last.packed <= 8 + MANIFEST_MAX,
             f"manifest: {last.packed} bytes")
        raw = self.read(last)
        magic, size = struct.unpack("<II", raw[:8])
        need(magic == MAGIC_MANIFEST, "manifest: wrong magic number")
        need(size == last.packed - 8, "manifest: its size is not the table's")

        need(10 <= first.size <= 8 + HEADER_MAX,
             f"header: {first.size} bytes")
        self.header = self.frame(first)
        self.metadata, self.tensors, data_bytes = parse_header(self.header)
        check_metadata(self.metadata, self.tensors)
        self.digests, self.digest = check_manifest(
            raw[8:], self.header, self.tensors, data_bytes)
        self.content_bytes = len(self.header) + data_bytes
        self.frames = fit(self.tensors, data)

    def read(self, entry):
        self.file.seek(entry.offset)
        return self.file.read(entry.packed)

    def frame(self, entry):
        """Checks 8 and 9, and the content."""
        what = f"frame at {entry.offset}"
        raw = self.read(entry)
        check_frame(raw, entry, what)
        return self.zstd.decompress(raw, entry.size, what)

    def content(self):
        """The content in pieces, the header first; ends with check 10."""
        yield self.header
        for (tensor, entries), expected in zip(self.frames, self.digests):
            digest = hashlib.sha256()
            for entry in entries:
                piece = self.frame(entry)
                digest.update(piece)
                yield piece
            need(digest.hexdigest() == expected,
                 f"tensor {tensor.name!r}: its SHA-256 is not the manifest's")

    def verify(self, against=None):
        """Read everything; against is a file that must hold the same."""
        at = 0
        for piece in self.content():
            if against is not None:
                need(against.read(len(piece)) == piece,
                     f"another content than {against.name}, between byte "
                     f"{at} and {at + len(piece)}")
            at += len(piece)
        need(at == self.content_bytes, "the content has another length")
        need(against is None or not against.read(1),
             "the content ends before the file that it should equal")

    def rows(self):
        """[name, dtype, shape, sha256] of each tensor, in data order."""
        return [[tensor.name, tensor.dtype, list(tensor.shape), digest]
                for tensor, digest in zip(self.tensors, self.digests)]


def main():
    parser = argparse.ArgumentParser(
        description="Check .gqa files as docs/gqa-format.md says.")
    parser.add_argument("--list", action="store_true",
                        help="print name, dtype, shape and SHA-256 of each "
                        "tensor")
    parser.add_argument("--against", metavar="FILE.safetensors",
                        help="the content must equal this file")
    parser.add_argument("files", nargs="+", metavar="FILE.gqa")
    args = parser.parse_args()

    status = 0
    for path in args.files:
        try:
            with open(path, "rb") as file:
                gqa = Gqa(file)
                if args.against:
                    with open(args.against, "rb") as plain:
                        gqa.verify(plain)
                else:
                    gqa.verify()
        except (Refused, OSError) as error:
            print(f"{path}: refused: {error}", file=sys.stderr)
            status = 2
            continue
        if args.list:
            for name, dtype, shape, digest in gqa.rows():
                print(json.dumps(name), dtype, json.dumps(shape), digest,
                      sep="\t")
        else:
            print(f"{path}: ok: {len(gqa.tensors)} tensors, "
                  f"{gqa.content_bytes} bytes, stream {gqa.digest}")
    return status


if __name__ == "__main__":
    sys.exit(main())
