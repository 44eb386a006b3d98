#!/usr/bin/env python3
"""Write foreign/: checkpoints that are not read, each by the library that
writes such, as small as it makes them. What the tools say of them is tested by
tests/cli/foreign.sh.

usage: make_foreign.py FOLDER
"""

import os
import sys

import coremltools
import ctranslate2
import numpy as np
import onnx
import openvino
import peft
import torch
import torch.distributed.checkpoint as dcp
import transformers
from ctranslate2.converters import TransformersConverter
from flax.serialization import msgpack_serialize
from onnx import helper, numpy_helper

torch.manual_seed(1)
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])

STATE = {f"model.layers.0.self_attn.{p}_proj.weight": torch.ones(2, 2)
         for p in "qkvo"}


def folder(name):
    os.makedirs(name, exist_ok=True)
    return name


def save(model, name, **options):
    model.save_pretrained(name, **options)
    for left in ("README.md", "generation_config.json"):
        if os.path.exists(f"{name}/{left}"):
            os.remove(f"{name}/{left}")


def write_torch():
    dcp.save(STATE, checkpoint_id="dcp")


def write_graphs():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [value("x", onnx.TensorProto.FLOAT, [1, 2])],
        [value("y", onnx.TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.eye(2, dtype="f4"), "w")])
    onnx.save(helper.make_model(graph), folder("onnx") + "/model.onnx")


def write_arrays():
    np.savez(folder("npz") + "/weights.npz",
             **{k: v.numpy() for k, v in STATE.items()})
    with open(folder("flax") + "/flax_model.msgpack", "wb") as file:
        file.write(msgpack_serialize(
            {"transformer": {"wte": {"embedding": np.zeros((2, 2), "f4")}}}))


def write_core_ml():
    """A network, the first version of its file, and a program in a folder."""
    array = coremltools.models.datatypes.Array(2)
    network = coremltools.models.neural_network.NeuralNetworkBuilder(
        [("x", array)], [("y", array)])
    network.add_inner_product(
        "y", np.ones((2, 2), "f4"), None, 2, 2, False, "x", "y")
    coremltools.models.MLModel(network.spec).save(
        folder("core-ml") + "/model.mlmodel")
    mil = coremltools.converters.mil.Builder

    @mil.program(input_specs=[mil.TensorSpec(shape=(1, 2))])
    def program(x):
        return mil.linear(x=x, weight=np.ones((2, 2), "f4"))

    coremltools.convert(program, convert_to="mlprogram").save(
        "core-ml-package.mlpackage")
    os.rename("core-ml-package.mlpackage", "core-ml-package")


def write_openvino():
    x = openvino.opset13.parameter([1, 2], np.float32, name="x")
    y = openvino.opset13.matmul(
        x, openvino.opset13.constant(np.ones((2, 2), "f4")), False, False)
    openvino.save_model(
        openvino.Model([y], [x], "m"), folder("openvino") + "/model.xml")


class Tokenizer:
    unk_token, bos_token, eos_token = "u", "b", "e"

    def get_vocab(self):
        return {f"t{i}": i for i in range(8)}

    def __getattr__(self, name):
        return None


class Converter(TransformersConverter):
    def load_tokenizer(self, *args, **options):
        return Tokenizer()


def write_llamas():
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, vocab_size=8, max_position_embeddings=8)
    save(transformers.LlamaForCausalLM(config), "base")
    model = transformers.LlamaForCausalLM.from_pretrained("base")
    adapter = peft.get_peft_model(
        model, peft.LoraConfig(r=1, target_modules=["q_proj"]))
    save(adapter, "peft")
    save(adapter, "peft-bin", safe_serialization=False)
    Converter("base").convert("ctranslate2", force=True)
    for name in os.listdir("base"):
        os.remove("base/" + name)
    os.rmdir("base")


def write_others():
    small = {"num_hidden_layers": 1, "num_attention_heads": 2}
    save(transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config(
        hidden_size=8, intermediate_size=8, moe_intermediate_size=4,
        num_key_value_heads=2, n_routed_experts=2, n_group=1, topk_group=1,
        num_experts_per_tok=1, first_k_dense_replace=1, kv_lora_rank=4,
        q_lora_rank=4, qk_rope_head_dim=4, v_head_dim=4, qk_nope_head_dim=4,
        vocab_size=8, **small)), "mla")
    text = {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 8,
            "max_position_embeddings": 8}
    save(transformers.BertModel(transformers.BertConfig(**text, **small)),
         "bert")
    save(transformers.ViTModel(transformers.ViTConfig(
        hidden_size=8, intermediate_size=8, image_size=4, patch_size=2,
        **small)), "vit")
    save(transformers.T5EncoderModel(transformers.T5Config(
        d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=8)),
        "t5-encoder")


write_torch()
write_graphs()
write_core_ml()
write_openvino()
write_arrays()
write_llamas()
write_others()
