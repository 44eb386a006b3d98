/*
 * Meta's layout: params.json up to a NUL, then a safetensors file, which is
 * all of the model, and each of its two parts. Where there is no NUL, all is
 * the file, beside params that fit the tests' own.
 */
#include <string.h>

#include "common/json.h"
#include "formats/original/original.h"
#include "formats/original/parts.h"
#include "formats/safetensors/reader.h"
#include "fuzz.h"

static const char usual[] =
    "{\"dim\": 16, \"n_layers\": 2, \"n_heads\": 4, \"n_kv_heads\": 2,"
    " \"norm_eps\": 1e-5}";

static struct gqa_source *open_file(const uint8_t *data, size_t size)
{
    struct gqa_source *source = NULL;

    return gqa_safetensors_open(
               &source,
               &(const struct gqa_file_handle){.path = "consolidated.00.x",
                                               .fd = fuzz_file(data, size),
                                               .size = size}) == GQA_OK
               ? source
               : NULL;
}

static void wrap(struct gqa_source *source, const json_t *params)
{
    if (source && gqa_original_is(source) &&
        gqa_original_wrap(&source, params, false) == GQA_OK)
        fuzz_read_tensors(source);
    gqa_source_close(source);
}

static struct gqa_source *join(const uint8_t *data, size_t size)
{
    struct gqa_source *parts[2] = {open_file(data, size),
                                   open_file(data, size)};
    struct gqa_source *whole = NULL;

    if (parts[0] && parts[1] && gqa_original_join(&whole, parts, 2) == GQA_OK) {
        /* The same part, where anything is cut; it is read all the same. */
        const enum gqa_status differ = gqa_original_parts_differ(whole);

        (void)differ;
        fuzz_read_tensors(whole);
        return whole;
    }
    gqa_source_close(parts[0]);
    gqa_source_close(parts[1]);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size < 512 ? size : 512);
    const bool has_params = end && size > 0 && data[0] == '{';
    const size_t n = has_params ? (size_t)(end - data) : 0;
    json_t *params = NULL;

    if (gqa_json_parse(&params, has_params ? (const char *)data : usual,
                       has_params ? n : sizeof usual - 1,
                       "params.json") != GQA_OK)
        return 0;
    data += has_params ? n + 1 : 0;
    size -= has_params ? n + 1 : 0;
    wrap(open_file(data, size), params);
    wrap(join(data, size), params);
    json_decref(params);
    return 0;
}
