#include "formats/foreign/names.h"

#include <fnmatch.h>
#include <string.h>

#include "formats/foreign/words.h"

const struct gqa_foreign_name gqa_foreign_names[] = {
    {"adapter_model.bin", ADAPTER_WORDS, false},
    {"adapter_model.pt", ADAPTER_WORDS, false},
    {"*.distcp", DCP_WORDS, true},
    {".metadata", DCP_WORDS, true},
    {"*_model_states.pt", DEEPSPEED_WORDS, true},
    {"*_optim_states.pt", DEEPSPEED_WORDS, true},
    {"zero_to_fp32.py", DEEPSPEED_WORDS, false},
    {"_CHECKPOINT_METADATA", ORBAX_WORDS, true},
    {"_METADATA", ORBAX_WORDS, true},
    {"manifest.ocdbt", ORBAX_WORDS, true},
    {"saved_model.pb", SAVED_MODEL_WORDS, true},
    {"*.data-0*-of-0*", TF_CHECKPOINT_WORDS, true},
    {"*.ckpt.index", TF_CHECKPOINT_WORDS, true},
    {"*.ckpt-*.index", TF_CHECKPOINT_WORDS, true},
    {"*.ckpt.meta", TF_CHECKPOINT_WORDS, true},
    {"*.ckpt-*.meta", TF_CHECKPOINT_WORDS, true},
    {"openvino_model.*", OPENVINO_WORDS, true},
    {"ggml*.bin", GGML_WORDS, false},
    {"*mmproj*.gguf", MMPROJ_WORDS, false},
    {"*.msgpack", FLAX_WORDS, false},
    {"*.npz", NPZ_WORDS, false},
    {"*.onnx", ONNX_WORDS, false},
    {"*.tflite", TFLITE_WORDS, false},
    {"*.engine", TENSORRT_WORDS, false},
    {"*.plan", TENSORRT_WORDS, false},
    {"*.mlmodel", CORE_ML_WORDS, false},
    {"*.mlpackage", CORE_ML_WORDS, true},
    {"coremldata.bin", CORE_ML_WORDS, true},
    {"*.ot", RUST_BERT_WORDS, true},
    {"*.nemo",
     "a NeMo archive; unpack it (tar -xf FILE) and convert what is in it to "
     "Hugging Face's form with NeMo's script",
     true},
    {"*.zst", "a compressed file; decompress it (zstd -d FILE)", false},
};

const size_t gqa_n_foreign_names =
    sizeof gqa_foreign_names / sizeof *gqa_foreign_names;

const struct gqa_foreign_name *gqa_foreign_name_find(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    for (size_t i = 0; i < gqa_n_foreign_names; i++)
        if (fnmatch(gqa_foreign_names[i].pattern, name, 0) == 0)
            return &gqa_foreign_names[i];
    return NULL;
}

bool gqa_foreign_name_is_made(const char *name)
{
    static const char *const made[] = {
        "adapter_model.*",
        "training_args.*",
        "optimizer.*",
        "scheduler.*",
        "scaler.*",
        "rng_state*.*",
        "*.gguf",
        "ggml*.bin",
        "openvino_model.*",
        "*.onnx",
        "*.tflite",
        "*.engine",
        "*.mlmodel",
        "*.ot",
        "*.py",
        "*.zst",
    };

    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (fnmatch(made[i], name, 0) == 0)
            return true;
    return false;
}
