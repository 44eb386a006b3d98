#include "formats/foreign/words.h"
#include "formats/formats.h"
#include "formats/start.h"

const struct gqa_format gqa_format_llama2c = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "24ka"), {0}},
    .advice = "a llama2.c model; " CONVERT_ITS_SOURCE,
};

/* Its first format has no mark: seven plausible 32-bit numbers. */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    static const uint32_t most[7] = {1u << 17, 1u << 20, 1u << 10, 1u << 12,
                                     1u << 12, 1u << 22, 1u << 22};
    uint32_t v[7];

    if (start->n < sizeof v)
        return GQA_OK;
    for (size_t i = 0; i < 7; i++) {
        v[i] = gqa_start_u32(start, 4 * i);
        if (i == 5 && v[i] > INT32_MAX) /* negative: unshared classifier */
            v[i] = 0u - v[i];
        if (v[i] == 0 || v[i] > most[i])
            return GQA_OK;
    }
    *is = v[0] % v[3] == 0 && v[3] % v[4] == 0;
    return GQA_OK;
}

const struct gqa_format gqa_format_llama2c_bare = {
    .recognise = recognise,
    .advice = "looks like a llama2.c model; " CONVERT_ITS_SOURCE,
};
