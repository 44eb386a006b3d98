#include "formats/torch/globals.h"

#include <string.h>

#define STORAGE(name, dtype, bytes)                                        \
    {                                                                      \
        "torch", name "Storage", GQA_PICKLE_IS_STORAGE, true, dtype, bytes \
    }
#define UNREAD(module, name, bytes)                                    \
    {                                                                  \
        module, name "Storage", GQA_PICKLE_IS_STORAGE, false, 0, bytes \
    }
#define DTYPE(name, dtype)                                 \
    {                                                      \
        "torch", name, GQA_PICKLE_IS_DTYPE, true, dtype, 0 \
    }
#define OTHER(module, name, role)                       \
    {                                                   \
        module, name, GQA_PICKLE_IS_##role, false, 0, 0 \
    }

const struct gqa_pickle_global gqa_pickle_globals[] = {
    OTHER("collections", "OrderedDict", DICT),
    OTHER("collections", "Counter", DICT),
    OTHER("collections", "defaultdict", DEFAULT),
    OTHER("torch", "Size", SIZE),
    OTHER("builtins", "set", SET),
    OTHER("builtins", "frozenset", SET),
    OTHER("__builtin__", "set", SET),
    OTHER("__builtin__", "frozenset", SET),

    OTHER("torch._utils", "_rebuild_tensor", REBUILD),
    OTHER("torch._utils", "_rebuild_tensor_v2", REBUILD),
    OTHER("torch._utils", "_rebuild_tensor_v3", REBUILD_3),
    OTHER("torch._utils", "_rebuild_parameter", PARAMETER),
    OTHER("torch._utils", "_rebuild_parameter_with_state", PARAMETER),
    OTHER("torch._tensor", "_rebuild_from_type_v2", FROM_TYPE),
    OTHER("torch", "Tensor", TENSOR),
    OTHER("torch.nn.parameter", "Parameter", TENSOR),
    OTHER("torch.nn.parameter", "Buffer", TENSOR),

    STORAGE("Double", GQA_F64, 8),
    STORAGE("Float", GQA_F32, 4),
    STORAGE("Half", GQA_F16, 2),
    STORAGE("BFloat16", GQA_BF16, 2),
    STORAGE("Long", GQA_I64, 8),
    STORAGE("Int", GQA_I32, 4),
    STORAGE("Short", GQA_I16, 2),
    STORAGE("Char", GQA_I8, 1),
    STORAGE("Byte", GQA_U8, 1),
    STORAGE("Bool", GQA_BOOL, 1),
    STORAGE("ComplexFloat", GQA_C64, 8),
    /* Of bytes, and of elements that no weight of ours has */
    UNREAD("torch", "Untyped", 1),
    UNREAD("torch.storage", "Untyped", 1),
    UNREAD("torch", "ComplexDouble", 16),
    UNREAD("torch", "QInt8", 1),
    UNREAD("torch", "QUInt8", 1),
    UNREAD("torch", "QInt32", 4),

    DTYPE("float64", GQA_F64),
    DTYPE("float32", GQA_F32),
    DTYPE("float16", GQA_F16),
    DTYPE("bfloat16", GQA_BF16),
    DTYPE("float8_e4m3fn", GQA_F8_E4M3),
    DTYPE("float8_e5m2", GQA_F8_E5M2),
    DTYPE("float8_e4m3fnuz", GQA_F8_E4M3FNUZ),
    DTYPE("float8_e5m2fnuz", GQA_F8_E5M2FNUZ),
    DTYPE("float8_e8m0fnu", GQA_F8_E8M0),
    DTYPE("int64", GQA_I64),
    DTYPE("int32", GQA_I32),
    DTYPE("int16", GQA_I16),
    DTYPE("int8", GQA_I8),
    DTYPE("uint64", GQA_U64),
    DTYPE("uint32", GQA_U32),
    DTYPE("uint16", GQA_U16),
    DTYPE("uint8", GQA_U8),
    DTYPE("bool", GQA_BOOL),
    DTYPE("complex64", GQA_C64),
    OTHER("torch", "complex128", DTYPE),
    OTHER("torch", "qint8", DTYPE),
    OTHER("torch", "quint8", DTYPE),
    OTHER("torch", "qint32", DTYPE),

    /* What stands beside weights in what trainers save */
    OTHER("torch", "device", OBJECT),
    OTHER("torch.serialization", "_get_layout", OBJECT),
    OTHER("argparse", "Namespace", OBJECT),
    OTHER("types", "SimpleNamespace", OBJECT),
    OTHER("collections", "deque", OBJECT),
    OTHER("datetime", "datetime", OBJECT),
    OTHER("datetime", "timedelta", OBJECT),
    OTHER("pathlib", "Path", OBJECT),
    OTHER("pathlib", "PosixPath", OBJECT),
    OTHER("pathlib", "WindowsPath", OBJECT),
    OTHER("_codecs", "encode", OBJECT),
    OTHER("numpy", "dtype", OBJECT),
    OTHER("numpy", "ndarray", OBJECT),
    OTHER("numpy.core.multiarray", "scalar", OBJECT),
    OTHER("numpy.core.multiarray", "_reconstruct", OBJECT),
    OTHER("numpy._core.multiarray", "scalar", OBJECT),
    OTHER("numpy._core.multiarray", "_reconstruct", OBJECT),
    OTHER("builtins", "bytearray", OBJECT),
    OTHER("builtins", "complex", OBJECT),
    OTHER("builtins", "range", OBJECT),
    OTHER("builtins", "slice", OBJECT),
    OTHER("builtins", "list", OBJECT),
    OTHER("builtins", "dict", OBJECT),
    OTHER("builtins", "int", OBJECT),
    OTHER("builtins", "float", OBJECT),
    OTHER("builtins", "str", OBJECT),
};

bool gqa_pickle_global_find(size_t *out, const char *module, const char *name)
{
    const size_t n = sizeof gqa_pickle_globals / sizeof *gqa_pickle_globals;

    for (size_t i = 0; i < n; i++)
        if (strcmp(gqa_pickle_globals[i].name, name) == 0 &&
            strcmp(gqa_pickle_globals[i].module, module) == 0) {
            *out = i;
            return true;
        }
    return false;
}
