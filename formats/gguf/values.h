/* Types of the values that keys of a GGUF file have. */
#ifndef GQA_FORMATS_GGUF_VALUES_H
#define GQA_FORMATS_GGUF_VALUES_H

enum gqa_gguf_value_type {
    GQA_GGUF_U8,
    GQA_GGUF_I8,
    GQA_GGUF_U16,
    GQA_GGUF_I16,
    GQA_GGUF_U32,
    GQA_GGUF_I32,
    GQA_GGUF_F32,
    GQA_GGUF_BOOL,
    GQA_GGUF_TEXT,
    GQA_GGUF_LIST,
    GQA_GGUF_U64,
    GQA_GGUF_I64,
    GQA_GGUF_F64,
    GQA_GGUF_N_VALUE_TYPES,
};

#endif
