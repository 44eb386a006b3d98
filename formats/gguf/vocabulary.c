#include "formats/gguf/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/checkpoint.h"
#include "formats/gguf/keys.h"
#include "formats/gguf/reader.h"
#include "formats/gguf/tokens.h"

/* Ten times what vocabularies take. */
#define MAX_BYTES ((uint64_t)256 << 20)

#define MODEL_KEY "tokenizer.ggml.model"

static enum gqa_status take_pairs(struct gqa_gguf_draft *d,
                                  const struct gqa_source *source,
                                  const struct gqa_gguf_pair *pairs, size_t n)
{
    uint64_t n_bytes = 0;
    enum gqa_status st = GQA_OK;

    /* They lie in a file, so that the sum is none that overflows. */
    for (size_t i = 0; i < n; i++)
        n_bytes += pairs[i].n_bytes;
    if (n_bytes > MAX_BYTES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %llu bytes of vocabulary, more than are taken",
                        source->path, (unsigned long long)n_bytes);
    d->pairs = malloc((size_t)n_bytes + 1);
    if (!d->pairs)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        st = gqa_gguf_source_pair_read(source, &pairs[i],
                                       d->pairs + d->pairs_bytes);
        d->pairs_bytes += (size_t)pairs[i].n_bytes;
        d->n_pairs++;
        json_object_del(d->header.keys, pairs[i].key);
    }
    return st;
}

static bool has_model(const struct gqa_gguf_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(pairs[i].key, MODEL_KEY) == 0)
            return true;
    return false;
}

enum gqa_status gqa_gguf_vocabulary_add(struct gqa_gguf_draft *d,
                                        const struct gqa_output *output)
{
    const struct gqa_checkpoint *from = output->options->source;
    const struct gqa_source *source =
        from ? gqa_checkpoint_source(from, 0) : NULL;
    const struct gqa_gguf_pair *pairs = NULL;
    const size_t n = source ? gqa_gguf_source_pairs(source, &pairs) : 0;
    const char *folder = output->options->copy_from;
    bool found = has_model(pairs, n);
    enum gqa_status st = GQA_OK;

    if (n == 0 && folder)
        st = gqa_gguf_tokens_add(&found, d, folder);
    /* How llama.cpp is told that there is none. */
    if (st == GQA_OK && !found)
        gqa_gguf_key_set(d, MODEL_KEY, json_string("no_vocab"));
    d->has_vocabulary = found;
    if (st == GQA_OK && n > 0)
        st = take_pairs(d, source, pairs, n);
    return st == GQA_OK ? gqa_json_check() : st;
}
