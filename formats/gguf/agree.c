#include "formats/gguf/agree.h"

#include <math.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/meaning.h"
#include "formats/gguf/architecture_table.h"
#include "formats/gguf/scaling.h"

/* Two meanings, and the draft that they are of. */
struct pair {
    const struct gqa_gguf_draft *d;
    const struct gqa_output *output;
    json_t *ours, *theirs;
};

/* What scores are divided by the root of, by llama.cpp's own rule. */
static json_int_t taken_scale(const struct gqa_gguf_draft *d,
                              const struct gqa_model *model)
{
    json_int_t value = (json_int_t)model->attentions[0].head_dim;

    (void)gqa_gguf_known_value(&value, d->architecture, model->n_layers);
    return value;
}

/* Facts of things that begin so. */
static void forget(struct pair *p, const char *of)
{
    json_t *const meanings[] = {p->ours, p->theirs};

    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        const char *name;
        json_t *fact;
        void *next;

        json_object_foreach_safe(meanings[i], next, name, fact)
        {
            if (strncmp(name, of, strlen(of)) == 0)
                json_object_del(meanings[i], name);
        }
    }
}

static bool is_gelu(const json_t *meaning, const char *of)
{
    const json_int_t value = json_integer_value(
        json_object_get(json_object_get(meaning, of), "value"));

    return value == GQA_ACTIVATION_GELU || value == GQA_ACTIVATION_GELU_TANH ||
           value == GQA_ACTIVATION_GELU_BLOOM;
}

/* Where there are several, a key has one of them. */
static void forget_tokens(struct pair *p)
{
    static const char *const keys[] = {"bos_token_id", "eos_token_id",
                                       "pad_token_id"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        forget(p, keys[i]);
}

static const struct gqa_gguf_piece *find_piece(const struct gqa_gguf_draft *d,
                                               const char *name)
{
    for (size_t i = 0; i < d->header.n; i++)
        if (strcmp(d->header.tensors[i].name, name) == 0)
            return &d->pieces[i];
    return NULL;
}

/* Whether the embedding is there twice. */
static bool is_copied(const struct gqa_gguf_draft *d)
{
    const struct gqa_gguf_piece *output = find_piece(d, "output.weight");
    const struct gqa_gguf_piece *embedding = find_piece(d, "token_embd.weight");

    return output && embedding && output->parts[0] == embedding->parts[0];
}

/* What is told otherwise, or is llama.cpp's own. */
static void forget_told(struct pair *p)
{
    static const char activation[] = "stacks.decoder.feed_forward.activation";

    forget(p, "architectures");
    forget(p, "model_type");
    forget_tokens(p);
    if (!p->d->architecture->has_windows)
        forget(p, "stacks.decoder.self.window");
    if (p->d->window > 0)
        forget(p, "max_position_embeddings");
    if (is_copied(p->d))
        forget(p, "logits.tied");
    if (p->d->grows || gqa_gguf_scaling_is_by_tensors(p->output))
        forget(p, "rope_scaling");
    for (const struct gqa_gguf_key *k = p->d->architecture->keys; k->ours; k++)
        if (k->flags & GQA_GGUF_ONE_OR_ALL)
            forget(p, "n_kv_heads_by");
    /* It has one function for all of them. */
    if (is_gelu(p->ours, activation) && is_gelu(p->theirs, activation))
        forget(p, activation);
}

static enum gqa_status refuse(const json_t *difference,
                              const struct gqa_gguf_draft *d)
{
    const char *key = json_string_value(json_object_get(difference, "key"));
    const json_t *first = json_object_get(difference, "first");
    const json_t *second = json_object_get(difference, "second");
    char ours[41] = "not there", theirs[41] = "nothing";

    if (first)
        gqa_value_text(ours, sizeof ours, first);
    if (second)
        gqa_value_text(theirs, sizeof theirs, second);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s is %s in the configuration, and a GGUF file of the "
                    "architecture %s can say %s alone",
                    key ? key : "something", ours, d->architecture->name,
                    theirs);
}

static enum gqa_status compare(struct pair *p, const json_t *config)
{
    const struct gqa_model *model = p->output->options->model;
    const struct gqa_meaning_view view = {
        .n_layers = model->n_layers, .kv_heads = true, .network_alone = true};
    json_t *differences = NULL;
    json_t *flat = gqa_gguf_scaling_flat(model, p->output->options->config);
    enum gqa_status st =
        flat ? gqa_meaning_create(&p->ours, model->family, flat, &view)
             : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_meaning_create(&p->theirs, model->family, config, &view);
    if (st == GQA_OK) {
        forget_told(p);
        st = gqa_meaning_compare(&differences, p->ours, p->theirs);
    }
    if (st == GQA_OK && json_array_size(differences) > 0)
        st = refuse(json_array_get(differences, 0), p->d);
    json_decref(differences);
    json_decref(p->ours);
    json_decref(p->theirs);
    json_decref(flat);
    return st;
}

/* llama.cpp has one scale for scores: what the key says, or by the size of
 * heads. */
static double scale_of_scores(const struct gqa_gguf_draft *d,
                              const struct gqa_model *model)
{
    char key[GQA_GGUF_MAX_KEY];
    const json_t *said;

    gqa_gguf_key_name(key, d->architecture, "%.attention.scale");
    said = json_object_get(d->header.keys, key);
    return said ? json_number_value(said)
                : 1 / sqrt((double)taken_scale(d, model));
}

static enum gqa_status check_scales(const struct gqa_gguf_draft *d,
                                    const struct gqa_model *model)
{
    struct gqa_network *network = NULL;
    enum gqa_status st = gqa_network_create(&network, model);
    const struct gqa_network_stack *stack =
        st == GQA_OK ? &network->stacks[network->n_stacks - 1] : NULL;

    for (size_t i = 0; st == GQA_OK && i < stack->n_blocks; i++) {
        const double scale = stack->blocks[i].self.scale;
        const double theirs = scale_of_scores(d, model);

        if (fabs(scale - theirs) > 1e-9 * theirs)
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "scores are scaled by %g in layer %zu, and by %g in "
                          "the architecture %s of llama.cpp",
                          scale, i, theirs, d->architecture->name);
    }
    gqa_network_free(network);
    return st;
}

/* What a layer does by either, where that differs. */
struct difference {
    const char *ours, *theirs;
};

static enum gqa_status find_difference(struct difference *out,
                                       const struct pair *p,
                                       const json_t *config, size_t layer)
{
    const struct gqa_behaviours *behaviours =
        &p->output->options->model->family->behaviours;
    const json_t *ours = p->output->options->config;
    bool a = false, b = false;
    enum gqa_status st = gqa_layer_turns(&a, behaviours, ours, layer);

    memset(out, 0, sizeof *out);
    if (st == GQA_OK)
        st = gqa_layer_turns(&b, behaviours, config, layer);
    if (st == GQA_OK && a != b)
        *out = (struct difference){a ? "turns" : "does not turn",
                                   b ? "does" : "does not"};
    if (st != GQA_OK || a != b)
        return st;
    st = gqa_layer_has_experts(&a, behaviours, ours, false, layer);
    if (st == GQA_OK)
        st = gqa_layer_has_experts(&b, behaviours, config, false, layer);
    if (st == GQA_OK && a != b)
        *out = (struct difference){a ? "has experts" : "has no experts",
                                   b ? "does" : "does not"};
    return st;
}

/* What is said of layers by behaviours, and not by one key. */
static enum gqa_status check_layers(const struct pair *p, const json_t *config)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < p->output->options->model->n_layers && st == GQA_OK;
         i++) {
        struct difference d;

        st = find_difference(&d, p, config, i);
        if (st == GQA_OK && d.ours)
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "layer %zu %s by the configuration, and %s in the "
                          "architecture %s of llama.cpp",
                          i, d.ours, d.theirs, p->d->architecture->name);
    }
    return st;
}

/* What is computed of a number, and rounded there, is it where it is as near as
 * float32 has it. */
static void take_near(json_t *theirs, const json_t *ours, const char *key)
{
    json_t *value = json_object_get(ours, key);
    const double said = json_number_value(json_object_get(theirs, key));

    if (value && said != 0 &&
        fabs(said - json_number_value(value)) <= 1e-6 * fabs(said))
        json_object_set(theirs, key, value);
}

/* The number of all layers; NULL: they differ, or there is none. */
static const json_t *one_of(const json_t *value)
{
    const json_t *first = json_array_get(value, 0);

    if (!json_is_array(value))
        return value;
    for (size_t i = 1; i < json_array_size(value); i++)
        if (!json_equal(json_array_get(value, i), first))
            return NULL;
    return first;
}

/* What is the same in all layers is said by one number, or by a list. */
static void take_list(json_t *theirs, const json_t *ours, const char *key)
{
    json_t *list = json_object_get(ours, key);
    const json_t *one = one_of(list);

    if (one && json_equal(one, one_of(json_object_get(theirs, key))))
        json_object_set(theirs, key, list);
}

static void take_ours(json_t *config, const struct gqa_gguf_draft *d,
                      const json_t *ours)
{
    for (const struct gqa_gguf_key *k = d->architecture->keys; k->ours; k++) {
        if (k->flags & (GQA_GGUF_OVER_ROOT_DEPTH | GQA_GGUF_WIDTH_OVER))
            take_near(config, ours, k->ours);
        take_list(config, ours, k->ours);
    }
    take_near(json_object_get(config, "rope_scaling"),
              gqa_gguf_scaling_said(ours), "attention_factor");
}

enum gqa_status gqa_gguf_agree(const struct gqa_gguf_draft *d,
                               const struct gqa_output *output)
{
    struct pair pair = {.d = d, .output = output};
    json_t *config = NULL;
    enum gqa_status st =
        gqa_gguf_config_said(&config, d->architecture, &d->header);

    if (st == GQA_OK && d->architecture->takes_head_dim)
        json_object_set_new(
            config, d->architecture->unsaid,
            json_integer(taken_scale(d, output->options->model)));
    if (st == GQA_OK && d->architecture->computes) {
        json_t *computes = gqa_json_own(d->architecture->computes);

        if (!computes || json_object_update(config, computes) != 0)
            st = gqa_fail_nomem();
        json_decref(computes);
    }
    if (st == GQA_OK) {
        json_t *flat = gqa_gguf_scaling_flat(output->options->model,
                                             output->options->config);

        take_ours(config, d, flat);
        json_decref(flat);
        st = compare(&pair, config);
    }
    if (st == GQA_OK)
        st = check_layers(&pair, config);
    if (st == GQA_OK)
        st = check_scales(d, output->options->model);
    json_decref(config);
    return st;
}
