#include "inspect/names.h"

const char *gqa_naming_word(enum gqa_naming naming)
{
    static const char *const words[] = {
        [GQA_NAMES_TORCH] = "torch",
        [GQA_NAMES_TF] = "tf",
        [GQA_NAMES_KERAS] = "keras",
        [GQA_NAMES_KERAS_LEGACY] = "keras_legacy",
    };

    return words[naming];
}

const char *gqa_position_word(enum gqa_position_scheme scheme)
{
    static const char *const words[] = {
        [GQA_POSITION_NONE] = "none",
        [GQA_POSITION_ROPE] = "rope",
        [GQA_POSITION_RELATIVE_BIAS] = "relative_bias",
        [GQA_POSITION_ALIBI] = "alibi",
        [GQA_POSITION_LEARNED] = "learned",
        [GQA_POSITION_SINUSOIDAL] = "sinusoidal",
    };

    return words[scheme];
}

const char *gqa_layout_word(enum gqa_head_layout layout)
{
    static const char *const words[] = {
        [GQA_HEADS_SEPARATE] = "separate",
        [GQA_HEADS_FUSED_QKV] = "fused_qkv",
        [GQA_HEADS_FUSED_GROUP] = "fused_group",
        [GQA_HEADS_FUSED_KV] = "fused_kv",
        [GQA_HEADS_FUSED_BLOCKS] = "fused_blocks",
    };

    return words[layout];
}

const char *gqa_axis_word(const struct gqa_slice *slice)
{
    return slice->axis == 0 ? "rows" : "columns";
}
