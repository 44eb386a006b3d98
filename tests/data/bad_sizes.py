"""HDF5 files whose sizes lie: what is stored is less, more or elsewhere than declared. For make_bad.py.

Written in the earliest format, which has no checksums, and patched byte by byte.
"""
import struct
import zlib

import h5py
import hdf5plugin
import numpy as np

CONTENT = b"".join(b"w%03d" % i for i in range(16))  # 16 floats that are found again
UNDEFINED = b"\xff" * 8


def dataset(f, plist, name=b"a.weight", n=16):
    kind = h5py.h5t.IEEE_F32LE
    return h5py.h5d.create(f.id, name, kind, h5py.h5s.create_simple((n,)), plist)


def properties(layout=None, chunk=None, filters=(), time=None, undefined=False):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)
    if layout is not None:
        plist.set_layout(layout)
    if chunk:
        plist.set_chunk((chunk,))
    for number in filters:
        plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL)
    if time is not None:
        plist.set_fill_time(time)
    return plist


def patched(path, changes):
    """changes: (a pattern that is there once, bytes from its beginning, a format, values)"""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    for pattern, offset, kind, *values in changes:
        assert data.count(pattern) == 1, (path, pattern, data.count(pattern))
        struct.pack_into(kind, data, data.find(pattern) + offset, *values)
    with open(path, "wb") as f:
        f.write(data)


def fletcher32(data):
    low = high = 0
    for at in range(0, len(data), 2):
        low = (low + (data[at] << 8 | data[at + 1])) % 65535
        high = (high + low) % 65535
    return struct.pack("<I", high << 16 | low)


def bad_sizes(case):
    def h5(name, fault, status="format", **more):
        path = case(f"h5-{name}.h5", status, fault, **more)
        return path, h5py.File(path, "w", libver="earliest", meta_block_size=256)

    # The dataspace: 16 elements, at most 16.
    shape = struct.pack("<QQ", 16, 16)

    def values(name, fault, plist, changes, data=CONTENT):
        path, f = h5(name, fault)
        with f:
            dataset(f, plist).write(h5py.h5s.ALL, h5py.h5s.ALL, np.frombuffer(data, "<f4"))
        patched(path, changes)

    compact = properties(h5py.h5d.COMPACT)
    values("compact-short", "compact, 64 bytes for a shape of 60000", compact, [(shape, 0, "<QQ", 15000, 15000)])
    values("compact-long", "compact, 64 bytes for a shape of 32", compact, [(shape, 0, "<QQ", 8, 8)])
    values("compact-past-message", "compact, a size beyond its message", compact, [
        (shape, 0, "<QQ", 1024, 1024), (CONTENT, -2, "<H", 4096)])

    # The layout message: version 3, contiguous, address, size.
    contiguous = properties(h5py.h5d.CONTIGUOUS)
    place = b"\x08\x00\x18\x00\x00\x00\x00\x00\x03\x01"
    values("contiguous-short", "contiguous, 32 bytes for a shape of 64", contiguous, [(place, 18, "<Q", 32)])
    values("contiguous-none", "contiguous, no bytes at an address", contiguous, [(place, 18, "<Q", 0)])
    values("contiguous-long", "contiguous, 64 bytes for a shape of 4 GB", contiguous, [
        (shape, 0, "<QQ", 1 << 30, 1 << 30)])
    values("contiguous-past-end", "contiguous, past the end of the file by a byte", contiguous, [
        (CONTENT, 0, "<4s", b"w000")])
    path = "bad/h5-contiguous-past-end.h5"
    size = len(open(path, "rb").read())
    patched(path, [(place, 10, "<Q", size - 63)])
    values("contiguous-wrapped", "contiguous, at an address that wraps around", contiguous, [
        (place, 10, "<Q", (1 << 64) - 32)])

    # A node of the B-tree of chunks: entries, neighbours; size, mask, offsets, address.
    node = b"TREE\x01\x00"

    def chunk(name, fault, data, changes=(), mask=0, filters=()):
        path, f = h5(name, fault)
        with f:
            dataset(f, properties(chunk=16, filters=filters)).write_direct_chunk((0,), data, mask)
        patched(path, changes)

    chunk("chunk-short", "a chunk of 60 bytes instead of 64", CONTENT, [(node, 24, "<I", 60)])
    chunk("chunk-none", "a chunk of no bytes at an address", CONTENT, [(node, 24, "<I", 0)])
    chunk("chunk-long", "a chunk of 4096 bytes instead of 64", CONTENT, [(node, 24, "<I", 4096)])
    chunk("chunk-elsewhere", "a chunk of elements that the shape has not", CONTENT, [(node, 32, "<Q", 1 << 40)])
    chunk("chunk-past-end", "a chunk past the end of the file", CONTENT, [(node, 48, "<Q", 1 << 30)])
    chunk("chunk-undefined", "a chunk without an address", CONTENT, [(node, 48, "<8s", UNDEFINED)])
    deflated = zlib.compress(CONTENT)
    chunk("deflate-skipped", "a chunk that skips its filter and is too long", CONTENT + bytes(8), (), 1, (1,))
    chunk("deflate-long", "a chunk that gives 4 bytes too many", zlib.compress(CONTENT + bytes(4)), (), 0, (1,))
    chunk("shuffle-short", "a chunk that is shuffled and too short", CONTENT[:62], (), 0, (2,))
    short = CONTENT[:60]
    chunk("fletcher32-right-short", "a chunk too short, of a right checksum", short + fletcher32(short), (), 0, (3,))
    # One raw block, last: 4 bytes too few.
    frame = b"\x28\xb5\x2f\xfd\x20" + bytes([60]) + struct.pack("<I", 60 << 3 | 1)[:3] + short
    chunk("zstd-short", "a chunk of zstd that gives too few bytes", frame, (), 0, (32015,))

    # What nobody wrote, and has no fill value
    for name, fault, chunked in (("fill-none", "never written, and no fill value", None),
                                 ("fill-none-chunk", "half of its chunks never written, and no fill value", 8)):
        path, f = h5(name, fault)
        with f:
            d = dataset(f, properties(chunk=chunked, time=h5py.h5d.FILL_TIME_NEVER))
            if chunked:
                d.write_direct_chunk((0,), CONTENT[:32])

    # Names and texts
    path, f = h5("name-past-heap", "a name without an end in its heap", library_overreads=True)
    with f:
        dataset(f, contiguous)
    with open(path, "rb") as f:
        data = bytearray(f.read())
    heap = data.find(b"HEAP")
    length, _, address = struct.unpack_from("<QQQ", data, heap + 8)
    start = data.find(b"a.weight")
    data[start:address + length] = b"n" * (address + length - start)
    # Where malloc() has no byte to spare behind it; no free blocks.
    struct.pack_into("<QQ", data, heap + 8, length - 8, 1)
    with open(path, "wb") as f:
        f.write(data)

    def text(name, fault, value, kind, change):
        path, f = h5(name, fault)
        with f:
            h5py.h5a.create(f.id, b"layer_names", h5py.h5t.py_create(kind, logical=True),
                            h5py.h5s.create_simple((1,))).write(np.array([value], kind))
        with open(path, "rb") as f:
            heap = f.read().find(b"GCOL")
        patched(path, [change(heap)])

    text("text-past-message", "a list of names larger than its message", b"sixteen letters!", np.dtype("S16"),
         lambda heap: (b"\x13\x01\0\0\x10\0\0\0\x01\x01\x01", 16, "<QQ", 64, 64))
    text("text-past-object", "a name longer than what is stored of it", "short", h5py.string_dtype("ascii"),
         lambda heap: (struct.pack("<IQI", 5, heap, 1), 0, "<I", 5000))

    for name, fault, place in (("named-type", "a type where a weight is expected", "a.weight"),
                               ("named-type-keras", "the same, named as Keras does", "layers/dense/vars/1")):
        path, f = h5(name, fault, status="unsupported")
        with f:
            dataset(f, contiguous, b"b.weight").write(h5py.h5s.ALL, h5py.h5s.ALL, np.frombuffer(CONTENT, "<f4"))
            if "vars" in place:
                f.move("b.weight", "layers/dense/vars/0")
            f[place] = np.dtype("<f4")
