"""Flat HDF5 state dicts (torch names at the root) in many storage layouts.

    python make_h5.py      (writes below good/)

Written with h5py 3.16.0 (HDF5 2.0.0) and hdf5plugin 7.1.0.
"""
import json
import os
import shutil

import h5py
import hdf5plugin
import numpy as np

from weights import llama, state, t5


def create(name, config, **options):
    path = os.path.join("good", name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
    return h5py.File(os.path.join(path, "model.h5"), "w", **options)


def chunked(key):
    return key.split(".")[-2] in ("k_proj", "v_proj", "down_proj")


def chunks(shape):
    """Some that leave edge chunks: 5 and 7 divide none of the shapes."""
    return tuple(min(n, c) for n, c in zip(shape, (5, 7) if len(shape) == 2 else (5,)))


def plain(name, model, seed, dtype="F32", stored=None, options=None, **file_options):
    shapes, config = model
    n_kv = config.get("num_key_value_heads") or config["num_heads"]
    tensors = state(shapes, seed, n_kv, dtype)
    with create(name, config, **file_options) as f:
        for key, value in tensors.items():
            value = value.astype(stored) if stored else value
            f.create_dataset(key, data=value, **(options(value.shape) if options and chunked(key) else {}))


def filtered(**filters):
    return lambda shape: {"chunks": chunks(shape), **filters}


def gzip():
    """Deflate and shuffle, with an extendible dataset and a chunk that skips its filters."""
    shapes, config = llama(6, 6, 2)
    tensors = state(shapes, "gzip", 6, "F32")
    with create("flat-gzip", config) as f:
        for key, value in tensors.items():
            if key == "model.norm.weight":  # one chunk, larger than the dataset
                f.create_dataset(key, data=value, chunks=(64,), maxshape=(None,), compression="gzip")
                continue
            if not chunked(key):
                f.create_dataset(key, data=value)
                continue
            data = f.create_dataset(key, data=value, chunks=chunks(value.shape), compression="gzip", shuffle=True)
            if key.endswith("k_proj.weight"):  # chunk (0, 0) as plain bytes, chunk (5, 7) shuffled, not deflated
                data.id.write_direct_chunk((0, 0), value[:5, :7].tobytes(), 0b11)
                block = np.zeros((5, 7), "<f4")
                part = value[5:10, 7:14]
                block[: part.shape[0], : part.shape[1]] = part
                data.id.write_direct_chunk((5, 7), block.view("u1").reshape(-1, 4).T.tobytes(), 0b10)
                assert np.array_equal(data[()], value)


def late():
    """Space never allocated: the fill value counts. One dataset is compact, one early and contiguous."""
    shapes, config = llama(6, 3, 2)
    tensors = state(shapes, "late", 3, "F32")
    with create("flat-late", config) as f:
        for key, value in tensors.items():
            if key == "model.norm.weight":
                f.create_dataset(key, shape=value.shape, dtype="<f4", fillvalue=1.5)
            elif key.endswith("post_attention_layernorm.weight"):
                f.create_dataset(key, shape=value.shape, dtype="<f4")
            elif key == "lm_head.weight":  # 3 x 2 chunks, two of them written
                data = f.create_dataset(key, shape=value.shape, dtype="<f4", chunks=(5, 7), fillvalue=-0.25,
                                        compression="gzip")
                data[:5, :7] = value[:5, :7]
                data[10:, 7:] = value[10:, 7:]
            elif key.endswith("v_proj.weight"):  # K or V too may have holes
                data = f.create_dataset(key, shape=value.shape, dtype="<f4", chunks=(2, 12))
                data[2:] = value[2:]
            elif key.endswith("input_layernorm.weight"):
                plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plist.set_layout(h5py.h5d.COMPACT)
                f.create_dataset(key, data=value, dcpl=plist)
            else:
                f.create_dataset(key, data=value)


def odd():
    """What else lies in such files: a scalar, an empty array, a NULL dataspace, a string."""
    shapes, config = llama(6, 6, 2)
    tensors = state(shapes, "odd", 6, "F32")
    with create("flat-odd", config) as f:
        for key, value in tensors.items():
            f.create_dataset(key, data=value)
        f.create_dataset("step", data=np.float32(12.5))
        f.create_dataset("history", shape=(0, 4), dtype="<f4")
        f.create_dataset("nothing", data=h5py.Empty("<f4"))
        f.create_dataset("comment", data="not a tensor")


def user_block():
    """512 bytes in front; chunked and unallocated datasets, whose addresses libraries get wrong here."""
    shapes, config = llama(6, 6, 2)
    tensors = state(shapes, "userblock", 6, "F32")
    with create("flat-userblock", config, userblock_size=512) as f:
        for key, value in tensors.items():
            if key == "model.norm.weight":
                f.create_dataset(key, shape=value.shape, dtype="<f4", fillvalue=1.0)
            elif key.endswith(("v_proj.weight", "o_proj.weight")):
                f.create_dataset(key, data=value, chunks=chunks(value.shape))
            else:
                f.create_dataset(key, data=value)
    with open("good/flat-userblock/model.h5", "r+b") as f:
        f.write(b"A user block: 512 bytes that are not HDF5.\n")


def main():
    gzip()
    plain("flat-zstd", llama(6, 6, 2), "zstd", "F16", options=filtered(**hdf5plugin.Zstd(clevel=3)))
    # The format of HDF5 1.10 has other chunk indexes (single chunk, fixed and extensible array) and takes less room.
    newer = {"libver": ("v110", "v110"), "meta_block_size": 256}
    plain("flat-t5", t5(6, 5, 8), "flat-t5", **newer)
    plain("flat-fletcher32", llama(6, 6, 2), "fletcher", options=filtered(fletcher32=True), **newer)
    plain("flat-f64", llama(6, 6, 2), "f64", "F64", **newer, options=lambda shape: {
        "chunks": (5, shape[1]) if shape[0] > 7 else shape, "maxshape": (None, shape[1]) if shape[0] > 7 else None,
        "compression": "gzip", "shuffle": True, "fletcher32": True})
    plain("flat-f16", llama(6, 6, 2), "f16", "F16")
    plain("flat-bigendian", llama(6, 6, 2), "bigendian", stored=">f4")
    late()
    odd()
    user_block()


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    main()
