/* What formats that are not read are, and what makes them readable: commands
 * that work as they stand, but for the names of files. */
#ifndef GQA_FORMATS_FOREIGN_WORDS_H
#define GQA_FORMATS_FOREIGN_WORDS_H

#define CONVERT_ITS_SOURCE "convert the checkpoint it was made from"

/* All files of a PyTorch checkpoint, as they are or in what trainers wrap them
 * in. */
#define SAVE_TORCH                                                        \
    "python3 -c 'import sys, torch, safetensors.torch as s; d = {}; "     \
    "[d.update(torch.load(f, map_location=\"cpu\", weights_only=True)) "  \
    "for f in sys.argv[1:]]; d = d.get(\"state_dict\", d.get(\"model\", " \
    "d)); s.save_file({k: v.clone().contiguous() for k, v in d.items() "  \
    "if torch.is_tensor(v)}, \"model.safetensors\")' FILE..."

#define PICKLE_WORDS                                                         \
    "a Python pickle, which may run code when it is read; if PyTorch wrote " \
    "it, write safetensors: " SAVE_TORCH

#define META_WORDS                                                            \
    "Meta's own layout, in several files; write Hugging Face's, in a source " \
    "tree of transformers: python3 "                                          \
    "src/transformers/models/llama/convert_llama_weights_to_hf.py "           \
    "--input_dir FOLDER --model_size SIZE --output_dir OUT"

#define DCP_WORDS                                                          \
    "a distributed checkpoint of PyTorch (torch.distributed.checkpoint), " \
    "pickles that hold pieces of tensors; put it together: python3 -m "    \
    "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER "       \
    "model.pt; then write safetensors: " SAVE_TORCH

#define DEEPSPEED_WORDS                                                    \
    "a checkpoint of DeepSpeed, pickles that hold pieces of tensors; put " \
    "it together with the script that lies beside it: python3 "            \
    "zero_to_fp32.py --safe_serialization FOLDER OUT"

#define ADAPTER_WORDS                                                       \
    "an adapter, which holds only what is added to a model; merge it into " \
    "that: python3 -c 'from peft import AutoPeftModelForCausalLM as M; "    \
    "M.from_pretrained(\"FOLDER\").merge_and_unload()"                      \
    ".save_pretrained(\"merged\")'"

#define FLAX_WORDS                                                         \
    "a Flax checkpoint (msgpack); write safetensors, with transformers 4 " \
    "and flax: python3 -c 'from transformers import AutoModelForCausalLM " \
    "as M; M.from_pretrained(\"FOLDER\", from_flax=True)"                  \
    ".save_pretrained(\"out\")' (T5: AutoModelForSeq2SeqLM)"

#define ORBAX_WORDS                                                     \
    "a checkpoint of Orbax (JAX), arrays in pieces; restore it with "   \
    "orbax.checkpoint and export it in Hugging Face's form, which the " \
    "program that trained it has a script for"

#define SAVED_MODEL_WORDS                                                    \
    "a TensorFlow SavedModel, a graph with its variables; load it where it " \
    "was made and write the weights: model.save_weights("                    \
    "\"model.weights.h5\"), or with transformers 4 "                         \
    "model.save_pretrained(\"out\")"

#define TF_CHECKPOINT_WORDS                                              \
    "a TensorFlow checkpoint (.index and .data files); write Hugging "   \
    "Face's form with the script for its model, in a source tree of "    \
    "transformers 4: python3 src/transformers/models/gpt2/"              \
    "convert_gpt2_original_tf_checkpoint_to_pytorch.py "                 \
    "--gpt2_checkpoint_path FOLDER --pytorch_dump_folder_path OUT (T5: " \
    "t5/convert_t5_original_tf_checkpoint_to_pytorch.py)"

#define ONNX_WORDS "an ONNX model, a graph for runtimes; " CONVERT_ITS_SOURCE
#define EXPORTED_WORDS                                    \
    "a program of torch.export (.pt2), a graph with its " \
    "weights; " CONVERT_ITS_SOURCE
#define TFLITE_WORDS \
    "a TensorFlow Lite model, a graph for runtimes; " CONVERT_ITS_SOURCE
#define CTRANSLATE2_WORDS                                     \
    "a CTranslate2 model, fused and often quantised for its " \
    "runtime; " CONVERT_ITS_SOURCE
#define TENSORRT_WORDS \
    "a TensorRT engine, built for one kind of GPU; " CONVERT_ITS_SOURCE
#define OPENVINO_WORDS \
    "an OpenVINO model, a graph for runtimes; " CONVERT_ITS_SOURCE
#define CORE_ML_WORDS \
    "a Core ML model, a graph for runtimes; " CONVERT_ITS_SOURCE
#define LLM_C_WORDS                                                     \
    "weights of llm.c; write Hugging Face's form with its own script, " \
    "dev/eval/export_hf.py"
#define MMPROJ_WORDS                                                    \
    "what sees or hears for a model, as llama.cpp has it: a GGUF file " \
    "without "                                                          \
    "an attention that makes text; give the one of the model"
#define GGML_WORDS "a GGML file, what came before GGUF; " CONVERT_ITS_SOURCE
#define TENSORRT_LLM_WORDS                                              \
    "a part of a TensorRT-LLM checkpoint, whose tensors are fused and " \
    "split among GPUs; " CONVERT_ITS_SOURCE
#define NPZ_WORDS                                                          \
    "NumPy arrays (.npz); write safetensors: python3 -c 'import numpy as " \
    "n, safetensors.numpy as s; s.save_file(dict(n.load(\"FILE\")), "      \
    "\"model.safetensors\")'"
#define RUST_BERT_WORDS                                           \
    "a file of LibTorch (rust-bert's .ot), PyTorch's archive of " \
    "C++; " CONVERT_ITS_SOURCE

#endif
