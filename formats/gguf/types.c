#include "formats/gguf/types.h"

#include "formats/gguf/blocks.h"

#define PLAIN(number, name, bytes)                       \
    {                                                    \
        number, #name, 1, bytes, GQA_##name, false, NULL \
    }
#define BLOCKS(number, name, elements, bytes, decode)        \
    {                                                        \
        number, name, elements, bytes, GQA_F32, true, decode \
    }

static const struct gqa_gguf_type types[] = {
    PLAIN(0, F32, 4),
    PLAIN(1, F16, 2),
    BLOCKS(2, "Q4_0", 32, 18, gqa_gguf_decode_q4_0),
    BLOCKS(3, "Q4_1", 32, 20, gqa_gguf_decode_q4_1),
    BLOCKS(6, "Q5_0", 32, 22, gqa_gguf_decode_q5_0),
    BLOCKS(7, "Q5_1", 32, 24, gqa_gguf_decode_q5_1),
    BLOCKS(8, "Q8_0", 32, 34, gqa_gguf_decode_q8_0),
    BLOCKS(10, "Q2_K", 256, 84, gqa_gguf_decode_q2_k),
    BLOCKS(11, "Q3_K", 256, 110, gqa_gguf_decode_q3_k),
    BLOCKS(12, "Q4_K", 256, 144, gqa_gguf_decode_q4_k),
    BLOCKS(13, "Q5_K", 256, 176, gqa_gguf_decode_q5_k),
    BLOCKS(14, "Q6_K", 256, 210, gqa_gguf_decode_q6_k),
    BLOCKS(16, "IQ2_XXS", 256, 66, NULL),
    BLOCKS(17, "IQ2_XS", 256, 74, NULL),
    BLOCKS(18, "IQ3_XXS", 256, 98, NULL),
    BLOCKS(19, "IQ1_S", 256, 50, NULL),
    BLOCKS(20, "IQ4_NL", 32, 18, NULL),
    BLOCKS(21, "IQ3_S", 256, 110, NULL),
    BLOCKS(22, "IQ2_S", 256, 82, NULL),
    BLOCKS(23, "IQ4_XS", 256, 136, NULL),
    PLAIN(24, I8, 1),
    PLAIN(25, I16, 2),
    PLAIN(26, I32, 4),
    PLAIN(27, I64, 8),
    PLAIN(28, F64, 8),
    BLOCKS(29, "IQ1_M", 256, 56, NULL),
    PLAIN(30, BF16, 2),
    BLOCKS(34, "TQ1_0", 256, 54, NULL),
    BLOCKS(35, "TQ2_0", 256, 66, NULL),
    BLOCKS(39, "MXFP4", 32, 17, NULL),
};

const struct gqa_gguf_type *gqa_gguf_type_find(uint32_t number)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].number == number)
            return &types[i];
    return NULL;
}
