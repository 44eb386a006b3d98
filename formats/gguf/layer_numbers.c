#include "formats/gguf/layer_numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/families/family.h"
#include "formats/gguf/keys.h"
#include "formats/gguf/pattern.h"
#include "formats/model/model.h"

static size_t n_kinds(const struct gqa_gguf_architecture *a)
{
    size_t n = 0;

    while (a->layer_numbers && a->layer_numbers[n].theirs)
        n++;
    return n;
}

/* --- Writing -------------------------------------------------------------- */

const struct gqa_gguf_layer_number *gqa_gguf_layer_number_find(
    size_t *layer, const struct gqa_gguf_architecture *a,
    const struct gqa_family *family, const char *name)
{
    const char *prefix = family->names.prefixes[0];
    const size_t n = strlen(prefix);
    struct gqa_gguf_numbers found;

    for (size_t i = 0; i < n_kinds(a); i++) {
        const struct gqa_gguf_layer_number *number = &a->layer_numbers[i];
        const bool begins = strncmp(number->ours, prefix, n) == 0;

        if (!gqa_gguf_fits(name, number->ours, &found) &&
            !(begins && gqa_gguf_fits(name, number->ours + n, &found)))
            continue;
        *layer = gqa_gguf_layer(&found);
        return number;
    }
    return NULL;
}

static json_t *list_of(const struct gqa_gguf_draft *d,
                       const struct gqa_gguf_layer_number *number)
{
    char key[GQA_GGUF_MAX_KEY];

    gqa_gguf_key_name(key, d->architecture, number->theirs);
    return json_object_get(d->header.keys, key);
}

/* How many layers have each of them. */
static enum gqa_status count_layers(const struct gqa_gguf_draft *d,
                                    const struct gqa_output *output,
                                    size_t *n_found)
{
    const struct gqa_model *model = output->options->model;

    for (size_t i = 0; i < output->n_tensors; i++) {
        const struct gqa_output_tensor *t = &output->tensors[i];
        size_t layer;
        const struct gqa_gguf_layer_number *number = gqa_gguf_layer_number_find(
            &layer, d->architecture, model->family, t->name);
        uint64_t n = 1;

        if (!number)
            continue;
        for (unsigned k = 0; k < t->rank; k++)
            n *= t->shape[k];
        if (n != 1 || layer >= model->n_layers)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "'%s' has no place in a GGUF file of the "
                            "architecture %s: one number of each layer has",
                            t->name, d->architecture->name);
        n_found[number - d->architecture->layer_numbers]++;
    }
    return GQA_OK;
}

enum gqa_status gqa_gguf_layer_numbers_add(struct gqa_gguf_draft *d,
                                           const struct gqa_output *output)
{
    const uint64_t n_layers = output->options->model->n_layers;
    const size_t n = n_kinds(d->architecture);
    size_t *n_found = calloc(n + 1, sizeof *n_found);
    enum gqa_status st =
        n_found ? count_layers(d, output, n_found) : gqa_fail_nomem();

    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const struct gqa_gguf_layer_number *number =
            &d->architecture->layer_numbers[i];
        json_t *list = json_array();

        for (uint64_t k = 0; k < n_layers; k++)
            json_array_append_new(list, json_real(0));
        gqa_gguf_key_set(d, number->theirs, list);
        if (n_found[i] != n_layers)
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "not each layer has a '%s', which llama.cpp demands "
                          "in the architecture %s",
                          number->ours, d->architecture->name);
    }
    free(n_found);
    return st;
}

enum gqa_status gqa_gguf_layer_numbers_fill(struct gqa_gguf_draft *d,
                                            const struct gqa_output *output)
{
    const struct gqa_model *model = output->options->model;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < output->n_tensors && st == GQA_OK; i++) {
        const struct gqa_output_tensor *t = &output->tensors[i];
        unsigned char bytes[sizeof(double)] = {0};
        double value = 0;
        size_t layer;
        const struct gqa_gguf_layer_number *number = gqa_gguf_layer_number_find(
            &layer, d->architecture, model->family, t->name);

        if (!number)
            continue;
        st = output->produce(output->produce_ctx, 0, i, 0, (size_t)t->n_bytes,
                             bytes);
        gqa_load_f64(&value, bytes, t->dtype, 1);
        json_array_set_new(list_of(d, number), layer, json_real(value));
    }
    return st == GQA_OK ? gqa_json_check() : st;
}

/* --- Reading -------------------------------------------------------------- */

static const json_t *said(const struct gqa_gguf_header *h,
                          const struct gqa_gguf_architecture *a,
                          const char *name)
{
    char key[GQA_GGUF_MAX_KEY];

    gqa_gguf_key_name(key, a, name);
    return json_object_get(h->keys, key);
}

static uint64_t layers_of(const struct gqa_gguf_architecture *a,
                          const struct gqa_gguf_header *h)
{
    uint64_t n = 0;

    (void)gqa_json_u64(said(h, a, "%.block_count"), &n);
    return n;
}

enum gqa_status gqa_gguf_layer_numbers_count(
    size_t *n, const struct gqa_gguf_architecture *a,
    const struct gqa_gguf_header *h)
{
    const uint64_t n_layers = a ? layers_of(a, h) : 0;

    *n = a ? n_kinds(a) : 0;
    /* Each layer has tensors, too. */
    if (*n > 0 && (n_layers == 0 || n_layers > h->n))
        return gqa_fail(GQA_ERR_FORMAT,
                        "block_count is %llu, where there are %zu tensors",
                        ULL(n_layers), h->n);
    *n *= (size_t)n_layers;
    return GQA_OK;
}

enum gqa_status gqa_gguf_layer_numbers_take(
    char **name, unsigned *rank, float *value, size_t index,
    const struct gqa_gguf_architecture *a, const struct gqa_gguf_header *h)
{
    const size_t n_layers = (size_t)layers_of(a, h);
    const size_t layer = index % n_layers;
    const struct gqa_gguf_layer_number *number =
        &a->layer_numbers[index / n_layers];
    const json_t *key = said(h, a, number->theirs);
    const json_t *one = json_is_array(key) ? json_array_get(key, layer) : key;
    char digits[24];
    struct gqa_gguf_numbers at = {.digits = {digits}, .n = 1};

    if (!json_is_number(one) ||
        (json_is_array(key) && json_array_size(key) != n_layers))
        return gqa_fail(GQA_ERR_FORMAT,
                        "no %s that says a number for each of %zu layers",
                        number->theirs, n_layers);
    at.lengths[0] = (size_t)snprintf(digits, sizeof digits, "%zu", layer);
    *rank = number->rank;
    *value = (float)json_number_value(one);
    *name = gqa_gguf_make_name(number->ours, &at);
    return *name ? GQA_OK : gqa_fail_nomem();
}
