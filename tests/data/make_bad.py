"""Files with one fault each, and what the fault is.

    python make_bad.py      (writes below bad/, bad.json, and good/unknown-family)

Written with h5py 3.16.0 (HDF5 2.0.0), hdf5plugin 7.1.0. The safetensors faults are put together byte by byte.
"""
import json
import os
import shutil
import struct
import zlib

import h5py
import hdf5plugin
import numpy as np

from bad_sizes import bad_sizes
from weights import llama, state, t5

CASES = []
NEWER = {"libver": ("v110", "v110"), "meta_block_size": 256}  # smaller files
DTYPE = {"<f8": "F64", "<f4": "F32", "<f2": "F16", "|i1": "I8", "<i8": "I64", "|u1": "U8", "|b1": "BOOL", "<c8": "C64"}


def case(name, status, fault, **more):
    """-> the path to write. status: what opening, understanding or converting it has to end in."""
    CASES.append({"path": "bad/" + name, "status": status, "fault": fault, **more})
    path = os.path.join("bad", name)
    if "." not in name:
        os.makedirs(path)
    return path


def write(path, data):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


# ---- safetensors ----

def entry(begin, end, dtype="F32", shape=None):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def raw(header, data=b"", length=None):
    text = header if isinstance(header, (bytes, str)) else json.dumps(header, separators=(",", ":"))
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors(tensors, metadata={"format": "pt"}):
    header, data = {"__metadata__": metadata}, b""
    for name, value in tensors.items():
        dtype, value = value if isinstance(value, tuple) else (DTYPE[value.dtype.str], value)
        header[name] = entry(len(data), len(data) + value.nbytes, dtype, list(value.shape))
        data += value.tobytes()
    return raw(header, data)


def bad_safetensors():
    d8 = bytes(range(8))
    a, b = entry(0, 4), entry(4, 8)
    good = json.dumps({"a": a, "b": b})

    def st(name, fault, data, status="format"):
        write(case(f"st-{name}.safetensors", status, fault), data)

    st("empty", "no bytes at all", b"")
    st("short", "fewer than the 8 bytes of the length", b"\x10\0\0\0\0")
    st("header-100mb", "declares a header above 100 MB, and above the file", raw(good, d8, 100_000_001))
    st("header-huge", "declares a header of 2^63 bytes", raw(good, d8, 1 << 63))
    st("header-past-end", "declares a header longer than the file", raw(good, d8, 4096))
    st("header-zero", "declares an empty header", raw(b"", d8))
    st("utf8", "header is not UTF-8", raw(good.encode().replace(b'"b"', b'"\xff"'), d8))
    st("utf8-overlong", "header has an overlong UTF-8 sequence", raw(good.encode().replace(b'"b"', b'"\xc0\xaf"'), d8))
    st("json", "header is not JSON", raw(good[:-1], d8))
    st("json-trailing", "text after the header's object", raw(good + "x", d8))
    st("json-array", "header is an array", raw("[1,2]"))
    st("json-deep", "3000 brackets, one in another", raw('{"a":' + "[" * 3000, d8))
    st("name-duplicate", "two tensors of one name", raw(good.replace('"b"', '"a"'), d8))
    st("name-nul", "a name with a NUL", raw(good.replace('"b"', '"a\\u0000b"'), d8))
    st("name-surrogate", "a name with half a surrogate pair", raw(good.replace('"b"', '"\\ud800"'), d8))
    st("name-long", "a name of 2000 characters", raw(good.replace('"b"', '"%s"' % ("b" * 2000)), d8), "unsupported")
    st("overlap", "two tensors share bytes", raw({"a": entry(0, 8), "b": b}, d8))
    st("gap", "bytes between two tensors", raw({"a": a, "b": entry(8, 12)}, d8 + d8[:4]))
    st("gap-start", "bytes before the first tensor", raw({"b": b}, d8))
    st("trailing", "bytes after the last tensor", raw({"a": a}, d8))
    st("truncated", "data shorter than declared", raw({"a": a, "b": b}, d8[:6]))
    st("no-data", "no data at all", raw({"a": a, "b": b}))
    st("shape", "shape and size disagree", raw({"a": entry(0, 8, shape=[3])}, d8))
    st("dtype", "dtype and size disagree", raw({"a": entry(0, 8, "F64", [2])}, d8))
    st("dtype-unknown", "a dtype there is not", raw({"a": entry(0, 8, "F33", [2])}, d8), "unsupported")
    st("dtype-number", "dtype is a number", raw({"a": {**a, "dtype": 32}}, d8[:4]))
    st("dtype-f4-half-byte", "three 4-bit elements in one and a half bytes", raw({"a": entry(0, 2, "F4", [3])}, d8[:2]))
    st("offset-negative", "an offset below 0", raw({"a": entry(-4, 0, shape=[1])}, d8[:4]))
    st("offset-backwards", "ends before it begins", raw({"a": entry(8, 0, shape=[0])}, d8))
    st("offset-huge", "an offset above 2^64", raw({"a": entry(0, 1 << 65, shape=[1])}, d8))
    st("offset-float", "an offset that is no integer", raw({"a": {**a, "data_offsets": [0, 4.5]}}, d8[:4]))
    st("offset-one", "one offset only", raw({"a": {**a, "data_offsets": [4]}}, d8[:4]))
    st("shape-negative", "a dimension below 0", raw({"a": entry(0, 4, shape=[-1, -1])}, d8[:4]))
    st("shape-overflow", "dimensions whose product wraps around to the right size",
       raw({"a": entry(0, 0, shape=[1 << 32, 1 << 32])}))
    st("shape-float", "a dimension that is no integer", raw({"a": entry(0, 4, shape=[1.5])}, d8[:4]))
    st("shape-huge", "a dimension above 2^64", raw({"a": entry(0, 4, shape=[1 << 70])}, d8[:4]))
    st("rank", "nine dimensions", raw({"a": entry(0, 4, shape=[1] * 9)}, d8[:4]), "unsupported")
    st("no-dtype", "a tensor without dtype", raw({"a": {"shape": [1], "data_offsets": [0, 4]}}, d8[:4]))
    st("no-shape", "a tensor without shape", raw({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, d8[:4]))
    st("no-offsets", "a tensor without offsets", raw({"a": {"dtype": "F32", "shape": [1]}}, d8[:4]))
    st("tensor-number", "a tensor that is a number", raw({"a": 5}))
    st("metadata-number", "metadata with a number", raw({"__metadata__": {"format": 1}, "a": a}, d8[:4]))
    st("metadata-text", "metadata that is text", raw({"__metadata__": "pt", "a": a}, d8[:4]))


def bad_index():
    first = safetensors({"a": np.float32([1, 2])})

    def index(name, fault, weight_map, files={}, status="format", index_name="model.safetensors.index.json"):
        path = case(name, status, fault)
        text = weight_map if isinstance(weight_map, str) else json.dumps({"metadata": {}, "weight_map": weight_map})
        write(os.path.join(path, index_name), text)
        for file, data in files.items():
            write(os.path.join(path, file), data)

    s1, s2 = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    second = safetensors({"b": np.float32([3])})
    index("index-dotdot", "a shard outside the folder", {"a": "../st-gap.safetensors"})
    index("index-absolute", "a shard named by an absolute path", {"a": "/etc/passwd"})
    index("index-dot", "a shard named '.'", {"a": "."})
    index("index-empty-name", "a shard without a name", {"a": ""})
    index("index-nul", "a shard with a NUL in its name", '{"weight_map": {"a": "%s\\u0000x"}}' % s1, {s1: first})
    index("index-shard-missing", "a shard is not there", {"a": s1, "b": s2}, {s1: first}, "io")
    index("index-tensor-missing", "a tensor is not in the shard named", {"a": s1, "c": s2}, {s1: first, s2: second})
    index("index-wrong-shard", "a tensor lies in another shard", {"a": s2, "b": s1}, {s1: first, s2: second})
    index("index-json", "the index is not JSON", '{"weight_map": {')
    index("index-number", "a shard's name is a number", {"a": 1})
    index("index-no-map", "no weight_map", '{"metadata": {}}')
    index("index-keras-dotdot", "a Keras shard outside the folder", {
        "/layers/dense/vars": ["model_00000.weights.h5", "../h5-magic.h5"]}, index_name="model.weights.json")
    index("index-tf-dotdot", "a TensorFlow shard outside the folder", {
        "m/a/kernel:0": "../h5-magic.h5"}, index_name="tf_model.h5.index.json")


# ---- models ----

def bad_models():
    def model(name, status, fault, change, base=None, config_text=None):
        shapes, config = base or llama(2, 2, 2, vocab=3, d_ff=2)
        n_kv = config.get("num_key_value_heads") or config["num_heads"]
        tensors = {k: np.float32(0.25) * i + np.zeros(s, "<f4") for i, (k, s) in enumerate(shapes.items())}
        assert n_kv
        change(tensors, config)
        path = case(name, status, fault)
        write(os.path.join(path, "model.safetensors"), safetensors(tensors))
        if config is not None and config_text is not False:
            write(os.path.join(path, "config.json"), config_text or json.dumps(config))

    small_t5 = t5(2, 2, 4, vocab=3, d_ff=2, buckets=2)

    def small(change, **more):
        return {"change": change, "base": (dict(small_t5[0]), dict(small_t5[1])), **more}

    self_k, self_v = (f"decoder.block.0.layer.0.SelfAttention.{x}.weight" for x in "kv")
    model("t5-k-missing", "format", "no k in the decoder's self-attention", **small(lambda t, c: t.pop(self_k)))
    model("t5-cross-missing", "format", "no q in the cross-attention", **small(
        lambda t, c: t.pop("decoder.block.0.layer.1.EncDecAttention.q.weight")))
    model("t5-extra-q", "format", "a q of a layer that the model has not", **small(
        lambda t, c: t.update({"decoder.block.7.layer.0.SelfAttention.q.weight": np.zeros((4, 4), "<f4")})))
    model("t5-v-shape", "format", "v with one row too few", **small(
        lambda t, c: t.update({self_v: np.zeros((3, 4), "<f4")})))
    model("t5-k-rank", "format", "k with three dimensions", **small(
        lambda t, c: t.update({self_k: np.zeros((2, 2, 4), "<f4")})))
    model("t5-heads", "format", "3 heads in 4 rows", **small(lambda t, c: c.update(num_heads=3)))
    model("t5-d_kv", "format", "d_kv does not fit the shapes", **small(lambda t, c: c.update(d_kv=3)))
    model("t5-layers", "format", "config.json says two decoder layers", **small(
        lambda t, c: c.update(num_decoder_layers=2)))
    k = "model.layers.0.self_attn.k_proj.weight"
    model("llama-int8-k", "unsupported", "k of 8-bit integers", lambda t, c: t.update({k: np.ones((4, 4), "|i1")}))
    model("llama-f8-k", "unsupported", "k of 8-bit floats", lambda t, c: t.update({
        k: ("F8_E4M3", np.ones((4, 4), "|u1"))}))
    model("stablelm-k-norm", "unsupported", "a norm for each K head (StableLM)", lambda t, c: (
        c.update(model_type="stablelm", qk_layernorm=True, architectures=["StableLmForCausalLM"]),
        t.update({f"model.layers.0.self_attn.{x}_layernorm.norms.{h}.weight": np.ones(2, "<f4") * (h + 1)
                  for x in "qk" for h in range(2)})))
    model("cohere-k-norm", "unsupported", "a norm of shape (heads, d) on K (Cohere)", lambda t, c: (
        c.update(model_type="cohere", use_qk_norm=True, architectures=["CohereForCausalLM"]),
        t.update({f"model.layers.0.self_attn.{x}_norm.weight": np.float32([[1, 2], [3, 4]]) for x in "qk"})))
    model("llama-per-head-norm", "unsupported", "the same under the name of Llama", lambda t, c: t.update({
        f"model.layers.0.self_attn.{x}_norm.weight": np.float32([[1, 2], [3, 4]]) for x in "qk"}))

    bias = "model.layers.{}.self_attn.{}_proj.bias".format
    model("llama-k-bias-missing", "format", "biases of q and v, none of k", lambda t, c: t.update({
        bias(0, x): np.ones(4, "<f4") for x in "qv"}))
    model("llama-layer-bias-missing", "format", "biases in the first layer, none in the second", lambda t, c: t.update({
        bias(0, x): np.ones(4, "<f4") for x in "qkvo"}), base=llama(2, 2, 2, layers=2, vocab=3, d_ff=2))

    def nothing(t, c):
        pass

    model("config-json", "format", "config.json is not JSON", nothing, config_text='{"model_type": "llama",')
    model("config-array", "format", "config.json is an array", nothing, config_text="[]")
    model("config-empty", "format", "config.json is empty", nothing, config_text=" ")
    for name, fault, value in (
            ("negative", "-2 heads", -2), ("zero", "no heads", 0), ("huge", "10^18 heads", 10**18),
            ("above-64-bit", "10^30 heads", 10**30), ("wrong", "4 heads, which K has not the rows for", 4),
            ("odd", "3 heads in 4 rows", 3), ("text", "'two' heads", "two"), ("float", "2.5 heads", 2.5),
            ("null", "heads: null", None)):
        model("config-heads-" + name, "format", "config.json: " + fault, lambda t, c: c.update(num_attention_heads=value))
    model("config-kv-heads", "format", "config.json: 4 heads on 3 KV heads", lambda t, c: c.update(
        num_attention_heads=4, num_key_value_heads=3))
    model("config-kv-more", "format", "config.json: more KV heads than heads", lambda t, c: c.update(
        num_key_value_heads=4))
    model("config-kv-list", "format", "config.json: KV heads of three layers, where there is one", lambda t, c: c.update(
        num_key_value_heads=[2, 2, 2]))
    model("config-other-family", "format", "config.json of a GPT-2 beside a Llama", lambda t, c: c.update(
        model_type="gpt2", n_head=2, n_layer=1, n_embd=4))


# ---- HDF5 ----

def bad_h5():
    def h5(name, status, fault, **options):
        return h5py.File(case(f"h5-{name}.h5", status, fault), "w", **(options or NEWER))

    def folder(name, status, fault):
        """A whole Llama but for k_proj, to be added by the caller."""
        shapes, config = llama(2, 2, 2, vocab=3, d_ff=2)
        path = case("h5-" + name, status, fault)
        write(os.path.join(path, "config.json"), json.dumps(config))
        f = h5py.File(os.path.join(path, "model.h5"), "w", **NEWER)
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        for i, (key, shape) in enumerate(shapes.items()):
            if "k_proj" not in key:
                f.create_dataset(key, data=np.full(shape, 0.25 * i, "<f4"), dcpl=compact)
        return f, "model.layers.0.self_attn.k_proj.weight"

    x = np.arange(8, dtype="<f4")
    write(case("h5-empty.h5", "format", "no bytes at all"), b"")
    write(case("h5-magic.h5", "format", "wrong magic"), b"\x89HDG\r\n\x1a\n" + bytes(88))
    write(case("h5-magic-only.h5", "format", "the magic and no more"), b"\x89HDF\r\n\x1a\n")
    with h5("truncated", "format", "cut after 700 bytes") as f:
        f["a.weight"] = np.arange(200, dtype="<f4")
    with open("bad/h5-truncated.h5", "r+b") as f:
        f.truncate(700)
    with h5("truncated-old", "format", "cut after 900 bytes, of the earliest format", libver="earliest") as f:
        f["a.weight"] = x
    with open("bad/h5-truncated-old.h5", "r+b") as f:
        f.truncate(900)

    with h5("external-link", "unsupported", "a link to another file") as f:
        f["a.weight"] = x
        f["b.weight"] = h5py.ExternalLink("h5-soft-cycle.h5", "/a.weight")
    with h5("external-link-absolute", "unsupported", "a link to a file by absolute path") as f:
        f["b.weight"] = h5py.ExternalLink("/etc/passwd", "/x")
    f, k = folder("external-storage", "unsupported", "k lies in /etc/passwd")
    with f:
        f.create_dataset(k, shape=(4, 4), dtype="<f4", external=[("/etc/passwd", 0, 64)])
    f, k = folder("virtual", "unsupported", "k is a virtual dataset")
    with f:
        layout = h5py.VirtualLayout(shape=(4, 4), dtype="<f4")
        layout[:2] = h5py.VirtualSource("../h5-soft-cycle.h5", "a.weight", shape=(2, 4))
        f.create_virtual_dataset(k, layout, fillvalue=7)

    with h5("soft-cycle", "unsupported", "soft links in a circle: reading has to end") as f:
        f["a.weight"] = x
        f["p"], f["q"] = h5py.SoftLink("/q"), h5py.SoftLink("/p")
        f.create_group("g")["up"] = h5py.SoftLink("/g")
    with h5("hard-cycle", "unsupported", "groups that hold each other: reading has to end") as f:
        f["a.weight"] = x
        g = f.create_group("g")
        g["root"] = f["/"]
        g["self"] = g
    with h5("deep", "unsupported", "40 groups, one in another") as f:
        f["/".join(["g"] * 40)] = x
    with h5("rank", "unsupported", "nine dimensions") as f:
        f["a.weight"] = x.reshape((2, 2, 2) + (1,) * 6)

    f, k = folder("huge-shape", "format", "k declares 4 TiB and stores nothing")
    with f:
        f.create_dataset(k, shape=(1 << 20, 1 << 20), dtype="<f4", chunks=(64, 64))
    f, k = folder("huge-contiguous", "format", "the same, contiguous")
    with f:
        f.create_dataset(k, shape=(1 << 20, 1 << 20), dtype="<f4")
    f, k = folder("overflow-shape", "format", "k declares 2^64 elements and stores nothing")
    with f:
        space = h5py.h5s.create_simple((1, 1), (h5py.h5s.UNLIMITED,) * 2)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((64, 64))
        h5py.h5d.create(f.id, k.encode(), h5py.h5t.IEEE_F32LE, space, plist).set_extent((1 << 32, 1 << 32))
    f, k = folder("huge-chunk", "format", "k has one chunk of 1 GiB, deflated from zeros that are not there")
    with f:
        f.create_dataset(k, shape=(4, 4), dtype="<f4", chunks=(1 << 14, 1 << 14), maxshape=(None, None),
                         compression="gzip").id.write_direct_chunk((0, 0), zlib.compress(bytes(64)))

    def chunk(name, fault, data, mask=0, status="format", **filters):
        f, k = folder(name, status, fault)
        with f:
            f.create_dataset(k, shape=(4, 4), dtype="<f4", chunks=(4, 4), **filters).id.write_direct_chunk(
                (0, 0), data, mask)

    good = np.arange(16, dtype="<f4").tobytes()
    deflated = zlib.compress(good)
    chunk("deflate-corrupt", "a chunk of k that is not deflate", b"\xff" * 40, compression="gzip")
    chunk("deflate-checksum", "a chunk of k with a wrong Adler-32", deflated[:-1] + b"\0", compression="gzip")
    chunk("deflate-short", "a chunk of k that gives too few bytes", zlib.compress(good[:32]), compression="gzip")
    chunk("deflate-bomb", "a chunk of k that gives a megabyte for 64 bytes", zlib.compress(bytes(1 << 20), 9),
          compression="gzip")
    chunk("deflate-cut", "a chunk of k that ends early", deflated[:-12], compression="gzip")
    chunk("raw-short", "a chunk of k that skips its filter and is too short", good[:20], 1, compression="gzip")
    chunk("fletcher32", "a chunk of k with a wrong checksum", good + b"\1\2\3\4", fletcher32=True)
    chunk("fletcher32-short", "a chunk of k too short for its checksum", b"\1\2", fletcher32=True)
    zstd = dict(hdf5plugin.Zstd())
    chunk("zstd-corrupt", "a chunk of k that is not zstd", b"\xff" * 40, **zstd)
    # A frame header that claims 2^40 bytes, then an empty last block.
    chunk("zstd-bomb", "a chunk of k that claims a terabyte",
          b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 40) + b"\x01\0\0", **zstd)
    for number, name, options in ((32000, "lzf", {"compression": "lzf"}), (32004, "lz4", dict(hdf5plugin.LZ4()))):
        f, k = folder("filter-" + name, "unsupported", f"k goes through filter {number}")
        with f:
            f.create_dataset(k, data=np.zeros((4, 4), "<f4"), chunks=(4, 4), **options)
    f, k = folder("filter-unknown", "unsupported", "k goes through filter 40000, optional, which nobody has")
    with f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 4))
        plist.set_filter(40000, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((4, 4))
        h5py.h5d.create(f.id, k.encode(), h5py.h5t.IEEE_F32LE, space, plist).write_direct_chunk((0, 0), good)

    def typed(name, fault, kind, attribute=None, data=None):
        f, k = folder(name, "unsupported", fault)
        with f:
            data = np.zeros((4, 4), kind) if data is None else data
            f.create_dataset(k, data=data)
            if attribute:
                f[k].attrs["dtype"] = attribute

    typed("type-int8", "k of 8-bit integers", "|i1")
    typed("type-compound", "k of records", [("re", "<f4"), ("im", "<f4")])
    typed("type-opaque3", "k opaque, 3 bytes", "V3")
    typed("type-opaque-float8", "k opaque, 2 bytes, said to be a float8", "V2", "float8_e4m3fn")
    typed("type-uint16", "k of plain 16-bit integers", "<u2")
    f, k = folder("type-float24", "unsupported", "k of 24-bit floats")
    with f:
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(23, 15, 8, 0, 15)
        kind.set_precision(24)
        kind.set_size(3)
        h5py.h5d.create(f.id, k.encode(), kind, h5py.h5s.create_simple((4, 4)))

    with h5("cerebras", "unsupported", "a Cerebras checkpoint with a pickled object, never to be decoded") as f:
        f["model.layers.0.self_attn.k_proj.weight"] = x
        f["model.layers.0.self_attn.k_proj.weight"].attrs["__H5_TYPE__"] = "TorchTensor"
        f["optimizer"] = h5py.Empty("<f4")
        f["optimizer"].attrs["__H5_TYPE__"] = "ObjectH5Type"
        f["optimizer"].attrs["object_value"] = "gASVBQAAAAAAAACMAWGULg=="

    def layered(name, fault, layers, weights):
        with h5(name, "format", fault) as f:
            f.attrs["layer_names"] = np.array(layers, "S")
            g = f.create_group("shared")
            g.attrs["weight_names"] = np.array(weights, "S")
            g["m/shared/weight:0"] = x
    layered("layer-missing", "layer_names names a group that is not there", ["shared", "decoder"], ["m/shared/weight:0"])
    layered("weight-missing", "weight_names names a dataset that is not there", ["shared"], ["m/shared/bias:0"])
    layered("weight-group", "weight_names names a group", ["shared"], ["m/shared"])
    layered("weight-absolute", "weight_names names what lies outside its group", ["shared"], ["/shared/m/shared/weight:0"])
    layered("weight-twice", "weight_names names a dataset twice", ["shared"], ["m/shared/weight:0"] * 2)
    with h5("layer-number", "format", "layer_names holds numbers") as f:
        f.attrs["layer_names"] = np.arange(3)
    with h5("layer-many", "format", "layer_names names 1 group 2000 times") as f:
        f.attrs["layer_names"] = np.full(2000, b"s", "S1")
        f.create_group("s").attrs["weight_names"] = np.zeros(0)


def unknown_family():
    path = "good/unknown-family"
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    rng = np.random.default_rng(1)
    write(os.path.join(path, "model.safetensors"), safetensors({
        "blocks/0/gate": rng.standard_normal((3, 5)).astype("<f4"),
        "gr\u00f6\u00dfe": rng.standard_normal(3).astype("<f2"),
        "counts": np.arange(4, dtype="<i8"), "mask": np.array([True, False, True]),
        "phase": (rng.standard_normal(2) + 1j).astype("<c8"), "scale": np.array(0.5, "<f8"),
        "nothing": np.zeros((0, 4), "<f4"), "codes": ("F8_E4M3", np.arange(6, dtype="|u1").reshape(2, 3)),
    }, {"format": "pt", "note": "tensors of no family"}))


def main():
    shutil.rmtree("bad", ignore_errors=True)
    os.makedirs("bad")
    bad_safetensors()
    bad_index()
    bad_models()
    bad_h5()
    bad_sizes(case)
    unknown_family()
    with open("bad.json", "w") as f:
        f.write("[\n" + ",\n".join(" " + json.dumps(c, ensure_ascii=False) for c in CASES) + "\n]\n")


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
