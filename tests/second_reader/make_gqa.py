"""Write .gqa files with one thing different, after docs/gqa-format.md.

variants() takes a sound file and yields (verdict, what, bytes):

  good    another way to write the same tensors, which readers must accept
  bad     a file that readers must refuse
  forged  everything fits but the digest of a tensor, which only a reader
          that verifies the file compares (section 9, check 10)
"""
import ctypes
import hashlib
import json
import struct

from read_gqa import CONTENT_MAX, MAGIC_END, MAGIC_MANIFEST, MAGIC_TABLE

# ZSTD_cParameter
LEVEL, WINDOW_LOG, SIZE_FLAG, CHECKSUM_FLAG = 100, 101, 200, 201

lib = ctypes.CDLL("libzstd.so.1")
lib.ZSTD_createCCtx.restype = ctypes.c_void_p
for function in (lib.ZSTD_CCtx_setParameter, lib.ZSTD_compress2,
                 lib.ZSTD_compressBound):
    function.restype = ctypes.c_size_t
lib.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
lib.ZSTD_CCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int,
                                       ctypes.c_int]
lib.ZSTD_compress2.argtypes = [ctypes.c_void_p, ctypes.c_void_p,
                               ctypes.c_size_t, ctypes.c_char_p,
                               ctypes.c_size_t]
lib.ZSTD_freeCCtx.argtypes = [ctypes.c_void_p]


def compress(content, **parameters):
    """One Zstandard frame, with checksum and size unless told otherwise."""
    values = {"level": 1, "window_log": 0, "size_flag": 1,
              "checksum_flag": 1} | parameters
    context = lib.ZSTD_createCCtx()
    for key, value in values.items():
        number = {"level": LEVEL, "window_log": WINDOW_LOG,
                  "size_flag": SIZE_FLAG, "checksum_flag": CHECKSUM_FLAG}[key]
        lib.ZSTD_CCtx_setParameter(context, number, value)
    room = lib.ZSTD_compressBound(len(content))
    out = ctypes.create_string_buffer(room)
    size = lib.ZSTD_compress2(context, out, room, content, len(content))
    lib.ZSTD_freeCCtx(context)
    return out.raw[:size]


def by_hand(content, checksum, window=None, blocks=None):
    """A frame of raw blocks; window: a Window_Descriptor byte."""
    if blocks is None:
        blocks = [content[at:at + 65536]
                  for at in range(0, len(content), 65536)]
    flags = 0x84 if window is not None else 0xA4
    out = struct.pack("<IB", 0xFD2FB528, flags)
    out += b"" if window is None else bytes([window])
    out += struct.pack("<I", len(content))
    parts = [(len(block) << 3).to_bytes(3, "little") + block
             for block in blocks]
    parts[-1] = bytes([parts[-1][0] | 1]) + parts[-1][1:]
    return out + b"".join(parts) + checksum


def skippable(magic, text):
    return struct.pack("<II", magic, len(text)) + text


class Frame:
    """A frame and what its entry in the table says."""

    def __init__(self, content, **parameters):
        self.raw = compress(content, **parameters)
        self.size = len(content)
        # The frame's last 4 bytes are what the entry has to hold.
        self.checksum = compress(content)[-4:]

    def remade(self, raw, size=None):
        other = Frame.__new__(Frame)
        other.raw = raw
        other.size = self.size if size is None else size
        other.checksum = self.checksum
        return other


def sealed(manifest):
    """The manifest's text with its own digest put in."""
    text = json.dumps(manifest | {"manifest_sha256": "0" * 64}).encode()
    return reseal(text)


def reseal(text):
    digest = hashlib.sha256(text).hexdigest().encode()
    return text.replace(b'"manifest_sha256": "' + b"0" * 64,
                        b'"manifest_sha256": "' + digest)


class Model:
    """The parts of a sound file, to be put together in another way."""

    def __init__(self, gqa):
        self.fields = json.loads(gqa.header[8:])
        self.data = {}
        for tensor, entries in gqa.frames:
            self.data[tensor.name] = b"".join(map(gqa.frame, entries))

    def copy(self):
        other = Model.__new__(Model)
        other.fields = json.loads(json.dumps(self.fields))
        other.data = dict(self.data)
        return other

    def add(self, name, dtype, shape, data):
        end = sum(map(len, self.data.values()))
        self.fields[name] = {"dtype": dtype, "shape": shape,
                             "data_offsets": [end, end + len(data)]}
        self.data[name] = data

    def header(self, text=None, length=None):
        if text is None:
            text = json.dumps(self.fields).encode()
        return struct.pack("<Q", len(text) if length is None else length) \
            + text

    def manifest(self, header):
        """The manifest's keys without its own digest."""
        digests = [hashlib.sha256(data).hexdigest()
                   for data in self.data.values()]
        own = hashlib.sha256(header).hexdigest()
        joined = bytes.fromhex("".join([own, *digests]))
        return {
            "gqa.manifest": 1,
            "content_bytes": len(header) + sum(map(len, self.data.values())),
            "header_sha256": own,
            "tensors": [{"name": name, "sha256": digest}
                        for name, digest in zip(self.data, digests)],
            "stream_digest": hashlib.sha256(joined).hexdigest(),
        }

    def frames(self, split=4 << 20, **parameters):
        return [Frame(data[at:at + split], **parameters)
                for data in self.data.values()
                for at in range(0, len(data), split)]

    def file(self, header=None, frames=None, manifest=None, text=None,
             entries=None, footer=None):
        """The whole file; what is given replaces what would be right."""
        header = self.header() if header is None else header
        if not isinstance(header, Frame):
            header = Frame(header)
        if frames is None:
            frames = self.frames()
        frames = [header, *frames]
        if text is None:
            text = sealed(manifest or self.manifest(self.header()))
        text = text if isinstance(text, Frame) else skippable(
            MAGIC_MANIFEST, text)
        rows = [struct.pack("<II", len(frame.raw), frame.size)
                + frame.checksum for frame in frames]
        rows.append(struct.pack("<III", len(text), 0, 0))
        rows = entries(rows) if entries else rows
        footer = footer or struct.pack("<IBI", len(rows), 0x80, MAGIC_END)
        return b"".join(frame.raw for frame in frames) + text + skippable(
            MAGIC_TABLE, b"".join(rows) + footer)


def good(model):
    yield "put together again", model.file()
    yield "frames of 7 bytes", model.file(frames=model.frames(7))
    yield "level 19", model.file(frames=model.frames(level=19))
    yield "a window of 16 MiB", model.file(frames=[
        frame.remade(by_hand(data, frame.checksum, window=14 << 3))
        for frame, data in zip(model.frames(),
                               filter(None, model.data.values()))])
    yield "raw blocks, empty ones between them", model.file(frames=[
        frame.remade(by_hand(data, frame.checksum,
                             blocks=[b"", data[:5], b"", data[5:], b""]))
        for frame, data in zip(model.frames(),
                               filter(None, model.data.values()))])
    text = model.header()[8:] + b" " * 11
    header = model.header(text)
    yield "a header that ends in spaces", model.file(
        header, manifest=model.manifest(header))
    manifest = model.manifest(model.header())
    manifest["tensors"][0]["note"] = [None]
    yield "unknown keys in the manifest", model.file(
        manifest=manifest | {"note": {}})
    other = model.copy()
    other.add("empty.b", "F64", [3, 0], b"")
    other.add("empty.a", "BOOL", [0], b"")
    other.add("small", "F6_E2M3", [4], b"abc")
    other.fields["small"]["note"] = "more"
    yield "tensors of no bytes in the header's order", other.file()
    other = model.copy()
    other.add("n" * 1024, "U8", [1] * 8, b"x")
    other.add("", "C64", [0, 2**63 - 1], b"")
    yield "the longest name, the most dimensions", other.file()
    other = model.copy()
    other.add("wide", "U8", [CONTENT_MAX], bytes(CONTENT_MAX))
    yield "a frame of 16 MiB", other.file(
        frames=other.frames(CONTENT_MAX))


def bad_headers(model):
    """Faults of the header, each with a manifest that fits it."""
    def with_text(text, length=None):
        header = model.header(text, length)
        return model.file(header, manifest=model.manifest(header))

    def changed(change):
        other = model.copy()
        other.data = model.data
        change(other.fields)
        return with_text(json.dumps(other.fields).encode())

    def metadata(key, value):
        def change(fields):
            fields["__metadata__"][key] = value
            if value is None:
                del fields["__metadata__"][key]
        return changed(change)

    text = model.header()[8:]
    name = next(name for name, data in model.data.items() if data)
    quoted = json.dumps(name).encode()
    value = json.dumps(model.fields[name]).encode()
    config = json.loads(model.fields["__metadata__"]["gqa.config"])
    kv_heads = config["num_key_value_heads"]

    yield "header: a space before it", with_text(b" " + text)
    yield "header: cut", with_text(text[:-1])
    yield "header: longer than its frame", with_text(text, len(text) + 8)
    yield "header: a length near 2^64", with_text(text, 2**64 - 8)
    yield "header: a name twice", with_text(
        b"{" + quoted + b": " + value + b", " + text[1:])
    yield "header: not UTF-8", with_text(
        text.replace(quoted, quoted[:-1] + b'\xff"'))
    yield "header: a list", with_text(b"[]")
    for what, change in {
        "no metadata": lambda f: f.pop("__metadata__"),
        "unknown dtype": lambda f: f[name].update(dtype="F128"),
        "another dtype": lambda f: f[name].update(dtype="I8"),
        "no dtype": lambda f: f[name].pop("dtype"),
        "a dimension more": lambda f: f[name]["shape"].append(2),
        "a negative shape": lambda f: f[name].update(
            shape=[-n for n in f[name]["shape"]]),
        "a fraction in a shape": lambda f: f[name].update(
            shape=[n + 0.5 for n in f[name]["shape"]]),
        "a shape past 2^64": lambda f: f[name].update(
            shape=[2**32, 2**32, 2] + f[name]["shape"]),
        "offsets moved": lambda f: f[name].update(
            data_offsets=[n + 1 for n in f[name]["data_offsets"]]),
        "offsets past the file": lambda f: f[name].update(
            data_offsets=[n + 2**40 for n in f[name]["data_offsets"]]),
        "offsets the wrong way": lambda f: f[name].update(
            data_offsets=f[name]["data_offsets"][::-1]),
        "a tensor less": lambda f: f.pop(name),
        "a tensor more": lambda f: f.update(more=dict(
            dtype="U8", shape=[4], data_offsets=[0, 4])),
    }.items():
        yield f"header: {what}", changed(change)
    for what, added in {
        "a name of 1025 bytes": ("n" * 1025, [1], b"x"),
        "a line end in a name": ("a\nb", [1], b"x"),
        "U+0000 in a name": ("a\0b", [1], b"x"),
        "nine dimensions": ("n", [1] * 9, b"x"),
        "an integer of 2^63": ("n", [0, 2**63], b""),
        "elements past 64 bits": ("n", [2**40, 2**40, 0], b""),
    }.items():
        other = model.copy()
        name, shape, data = added
        other.add(name, "U8", shape, data)
        yield f"header: {what}", other.file()
    yield "header: half a surrogate pair", metadata("note", "\ud800")
    yield "gqa.version 2", metadata("gqa.version", "2")
    yield "gqa.version missing", metadata("gqa.version", None)
    yield "gqa.version a number", metadata("gqa.version", 1)
    yield "gqa.config cut", metadata("gqa.config", "{")
    yield "other heads in gqa.config", metadata("gqa.config", json.dumps(
        config | {"num_key_value_heads": 2 * kv_heads}))


def bad_manifests(model):
    def changed(change):
        manifest = model.manifest(model.header())
        change(manifest)
        return model.file(manifest=manifest)

    def rejoin(manifest):
        joined = manifest["header_sha256"] + "".join(
            item["sha256"] for item in manifest["tensors"])
        manifest["stream_digest"] = hashlib.sha256(
            bytes.fromhex(joined)).hexdigest()

    def swap(manifest):
        manifest["tensors"][:2] = manifest["tensors"][1::-1]
        rejoin(manifest)

    def drop(manifest):
        manifest["tensors"].pop()
        rejoin(manifest)

    def double(manifest):
        manifest["tensors"].append(manifest["tensors"][-1])
        rejoin(manifest)

    def shout(manifest):
        manifest["tensors"][0]["sha256"] = \
            manifest["tensors"][0]["sha256"].upper()

    for what, change in {
        "version 2": lambda m: m.update({"gqa.manifest": 2}),
        "version true": lambda m: m.update({"gqa.manifest": True}),
        "content_bytes": lambda m: m.update(
            content_bytes=m["content_bytes"] + 1),
        "header_sha256": lambda m: (m.update(header_sha256="1" * 64),
                                    rejoin(m)),
        "stream_digest": lambda m: m.update(stream_digest="2" * 64),
        "stream_digest missing": lambda m: m.pop("stream_digest"),
        "tensors in another order": swap,
        "a tensor less": drop,
        "a tensor twice": double,
        "a digest in capitals": shout,
        "a tensor's name": lambda m: m["tensors"][0].update(name="x"),
        "tensors an object": lambda m: m.update(tensors={}),
    }.items():
        yield f"manifest: {what}", changed(change)

    manifest = model.manifest(model.header())
    text = sealed(manifest)
    right = json.loads(text)["manifest_sha256"].encode()
    yield "manifest: own digest", model.file(
        text=text.replace(right, right[::-1]))
    yield "manifest: own digest missing", model.file(
        text=json.dumps(manifest).encode())
    yield "manifest: a key twice", model.file(text=reseal(
        json.dumps(manifest | {"manifest_sha256": "0" * 64}).encode()
        .replace(b"{", b'{"content_bytes": 1, ', 1)))
    yield "manifest: not JSON", model.file(text=b"manifest")
    yield "manifest: empty", model.file(text=b"")


def bad_frames(model):
    contents = [data for data in model.data.values() if data]
    frames = model.frames()
    first, *others = frames
    content = contents[0]

    def replaced(frame):
        return model.file(frames=[frame, *others])

    yield "no checksum", replaced(first.remade(
        compress(content, checksum_flag=0)))
    yield "no content size", replaced(first.remade(
        compress(content, size_flag=0)))
    yield "a window over 16 MiB", replaced(first.remade(
        by_hand(content, first.checksum, window=14 << 3 | 1)))
    yield "a reserved bit of the frame header", replaced(first.remade(
        first.raw[:4] + bytes([first.raw[4] | 8]) + first.raw[5:]))
    yield "a dictionary", replaced(first.remade(
        first.raw[:4] + bytes([first.raw[4] | 1, *first.raw[5:]])))
    half = len(content) // 2
    yield "two frames in one entry", replaced(first.remade(
        compress(content[:half]) + compress(content[half:])))
    yield "a byte after the frame", replaced(first.remade(first.raw + b"\0"))
    yield "a skippable frame in the entry", replaced(first.remade(
        first.raw + skippable(MAGIC_MANIFEST, b"")))
    yield "the frame's checksum", replaced(first.remade(
        first.raw[:-4] + bytes(4)))
    yield "a frame of more blocks than 16 MiB", replaced(first.remade(
        by_hand(content, first.checksum,
                blocks=[b""] * 5_700_000 + [content])))
    yield "an empty frame", model.file(frames=[Frame(b""), *frames])
    yield "a skippable frame", model.file(frames=[
        first.remade(skippable(MAGIC_MANIFEST, b"x"), 0), *frames])
    yield "a frame over two tensors", model.file(
        frames=[Frame(content + contents[1]), *others[1:]])
    yield "a frame less", model.file(frames=frames[:-1])
    yield "a frame more", model.file(frames=[*frames, Frame(b"more")])
    other = model.copy()
    other.add("wide", "U8", [CONTENT_MAX + 1], bytes(CONTENT_MAX + 1))
    yield "a frame of 16 MiB and a byte", other.file(
        frames=other.frames(CONTENT_MAX + 1))


def bad_tables(model):
    """The table alone is bad; the frames are as they should be."""
    def row(index, offset, value):
        def change(rows):
            old = rows[index]
            rows[index] = old[:offset] + struct.pack("<I", value) \
                + old[offset + 4:]
            return rows
        return change

    def longer(rows):
        return [rows[0], struct.pack("<III", 0, 0, 0), *rows[1:]]

    whole = model.file()
    count = len(model.frames()) + 2
    for what, change in {
        "no checksum": row(1, 8, 0),
        "a size of nothing": row(1, 4, 0),
        "a size of 4 GiB": row(1, 4, 2**32 - 1),
        "a header of 4 GiB": row(0, 4, 2**32 - 1),
        "a frame of 4 GiB": row(1, 0, 2**32 - 1),
        "an entry more": longer,
        "an entry less": lambda rows: rows[1:],
    }.items():
        yield f"table: {what}", model.file(entries=change)
    for what, footer in {
        "2^27 + 1 entries": (2**27 + 1, 0x80),
        "2^32 - 1 entries": (2**32 - 1, 0x80),
        "no entries": (0, 0x80),
        "a reserved bit": (count, 0xC0),
        "another reserved bit": (count, 0x84),
    }.items():
        yield f"table: {what}", model.file(
            footer=struct.pack("<IBI", *footer, MAGIC_END))
    start = len(whole) - 12 * count - 17
    for what, at in {
        "its magic number": start, "its size": start + 4,
        "a frame's length": start + 20, "a frame's content": start + 24,
        "a frame's checksum": start + 28, "number of entries":
        len(whole) - 9, "descriptor": len(whole) - 5,
        "its last byte": len(whole) - 1,
    }.items():
        yield f"a bit of the table: {what}", flip(whole, at)


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


def damaged(model):
    """Bits turned, the end cut off, bytes put after it."""
    header = Frame(model.header())
    frames = [header, *[
        frame.remade(by_hand(data, frame.checksum)) for frame, data in
        zip(model.frames(), filter(None, model.data.values()))]]
    whole = model.file(frames=frames[1:])
    ends = [0]
    for frame in frames:
        ends.append(ends[-1] + len(frame.raw))
    text = ends[-1]
    middle = (ends[-3] + ends[-2]) // 2
    for what, at in {
        "the first byte": 0, "the header frame's middle": ends[1] // 2,
        "the header frame's checksum": ends[1] - 1,
        "a data frame's magic number": ends[1],
        "a data frame's middle": middle,
        "a data frame's checksum": ends[-2] - 1,
        "the last byte of data": text - 5,
        "the manifest's magic number": text,
        "the manifest's size": text + 4,
        "the manifest's first byte": text + 8,
        "the manifest's text": text + 200,
    }.items():
        yield f"a bit of {what}", flip(whole, at)

    table = whole.rindex(struct.pack("<I", MAGIC_TABLE))
    for what, size in {
        "everything": 0, "all but 8 bytes": 8, "within the header":
        ends[1] // 2, "after the header": ends[1], "within a frame":
        middle, "between frames": ends[-2], "before the manifest": text,
        "within the manifest": text + 100, "before the table": table,
        "within the table": table + 20, "the last 9 bytes": len(whole) - 9,
        "the last byte": len(whole) - 1,
    }.items():
        yield f"cut off: {what}", whole[:size]
    for what, more in {
        "a byte": b"\0", "a line end": b"\n", "its last 9 bytes again":
        whole[-9:], "itself": whole, "an empty skippable frame":
        skippable(MAGIC_MANIFEST, b""),
    }.items():
        yield f"put after it: {what}", whole + more
    yield "put before it: a byte", b"\0" + whole


def forged(model):
    frames = model.frames()
    frames[0] = Frame(bytes(frames[0].size))
    yield "other values, frame and table fitting", model.file(frames=frames)
    other = model.copy()
    other.data[next(reversed(other.data))] = b"other"
    yield "the digest of a tensor", model.file(
        manifest=other.manifest(model.header()) | {
            "content_bytes": model.manifest(model.header())["content_bytes"]})


def variants(gqa):
    model = Model(gqa)
    for verdict, makers in {
        "good": [good],
        "bad": [bad_headers, bad_manifests, bad_frames, bad_tables, damaged],
        "forged": [forged],
    }.items():
        for maker in makers:
            for what, data in maker(model):
                yield verdict, what, data
