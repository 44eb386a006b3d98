#include "formats/model/sizes.h"

#include <string.h>

#include "common/json.h"
#include "formats/model/tied.h"

void gqa_model_sizes(struct gqa_size out[GQA_N_SIZES],
                     const struct gqa_model *m,
                     const struct gqa_inventory *inventory)
{
    const struct gqa_config_keys *k = &m->family->keys;
    const bool two_stacks = gqa_model_is_encoder_decoder(m);
    const enum gqa_stack first = m->attentions[0].stack;
    const uint64_t d_ff = k->d_ff_per_d_model * m->d_model;
    /* The decoder's, and where no key is theirs, what its key says. */
    const uint64_t expert = inventory->expert_d_ff;
    const uint64_t dense = inventory->d_ff[first];
    const uint64_t decoder = inventory->d_ff[GQA_STACK_DECODER];
    const bool is_decoders = first == GQA_STACK_DECODER || !k->decoder_d_ff;
    /* Tables of codes have a row more. */
    const uint64_t vocab_size =
        m->family->stacks[GQA_STACK_DECODER].input == GQA_INPUT_CODES
            ? 0
            : inventory->vocab_size;
    const struct gqa_size sizes[] = {
        {k->d_model, m->d_model, 0},
        {k->d_ff, dense || k->expert_d_ff || !is_decoders ? dense : expert,
         d_ff},
        {k->expert_d_ff, expert, 0},
        {k->decoder_d_ff, decoder || k->expert_d_ff ? decoder : expert, d_ff},
        {k->n_layers, m->n_layers, 0},
        {k->n_decoder_layers, two_stacks ? m->n_decoder_layers : 0,
         m->n_layers},
        {k->n_heads, m->attentions[0].n_heads, 0},
        {k->n_decoder_heads, m->attentions[m->n_attentions - 1].n_heads, 0},
        {k->vocab_size, vocab_size, 0},
        {k->max_positions, inventory->n_positions, 0},
    };

    _Static_assert(sizeof sizes / sizeof *sizes == GQA_N_SIZES, "all of them");
    memcpy(out, sizes, sizeof sizes);
}

/* What loaders would take for a key that is not there: of most sizes their
 * class says something else. */
static uint64_t taken(const json_t *config, const struct gqa_model *model,
                      const struct gqa_size *size, const char *key)
{
    const uint64_t n = json_object_get(config, key)
                           ? 0
                           : gqa_family_default(model->family, config, key);

    return n ? n : size->otherwise;
}

static void say(json_t *config, const struct gqa_model *model,
                const struct gqa_size *size)
{
    const char *key = gqa_config_key(config, size->keys);
    const json_t *said = key ? json_object_get(config, key) : NULL;
    uint64_t n;

    if (!key || !size->fact || gqa_json_u64(said, &n))
        return;
    /* Something else than a number no loader takes. */
    if ((said && !json_is_null(said)) ||
        taken(config, model, size, key) != size->fact)
        json_object_set_new(config, key, json_integer((json_int_t)size->fact));
}

/* Loaders work these out where they are null, not always where they are not
 * there. */
static void say_absent(json_t *config, const struct gqa_model *model,
                       gqa_texts keys, uint64_t fact)
{
    const struct gqa_size size = {keys, fact, 0};
    const char *key = gqa_config_key(config, keys);

    if (key && !json_object_get(config, key))
        say(config, model, &size);
}

/* A null of this is worked out by classes whose configuration has the key
 * (Llama's); others (Qwen2's, OLMo's) compute with it, and fail. */
static void say_head_dim(json_t *config, gqa_texts keys, uint64_t fact)
{
    const char *key = gqa_config_key(config, keys);

    if (key && !json_is_number(json_object_get(config, key)))
        json_object_set_new(config, key, json_integer((json_int_t)fact));
    else if (json_is_null(json_object_get(config, "head_dim")))
        json_object_del(config, "head_dim");
}

bool gqa_model_pads_beyond(uint64_t *token, uint64_t *rows,
                           const json_t *config, const struct gqa_model *model)
{
    const char *key = gqa_config_key(config, model->family->keys.pad_token);
    size_t table;

    /* Tables of codes have a row for it. */
    if (model->family->stacks[GQA_STACK_DECODER].input == GQA_INPUT_CODES ||
        !key || json_object_get(config, key) ||
        !gqa_find_embedding(&table, model))
        return false;
    *token = gqa_family_default(model->family, config, key);
    *rows = model->params[table].rows;
    return *token >= *rows;
}

static void say_padding(json_t *config, const struct gqa_model *model)
{
    uint64_t token, rows;

    if (gqa_model_pads_beyond(&token, &rows, config, model))
        json_object_set_new(
            config, gqa_config_key(config, model->family->keys.pad_token),
            json_null());
}

void gqa_model_say_sizes(json_t *config, const struct gqa_model *model,
                         const struct gqa_inventory *inventory,
                         uint64_t n_kv_heads)
{
    const struct gqa_config_keys *k = &model->family->keys;
    const struct gqa_attention *a = &model->attentions[0];
    struct gqa_size sizes[GQA_N_SIZES];

    gqa_model_sizes(sizes, model, inventory);
    for (size_t i = 0; i < GQA_N_SIZES; i++)
        say(config, model, &sizes[i]);
    say_head_dim(config, k->head_dim, a->head_dim);
    say_padding(config, model);
    if (model->family->stock_grouped == GQA_STOCK_UNIFORM)
        say_absent(config, model, k->n_kv_heads, n_kv_heads);
}
