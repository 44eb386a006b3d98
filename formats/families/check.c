/* Contradictions: what each key alone does not show. */
#include <string.h>

#include "formats/families/description.h"
#include "formats/families/nested.h"
#include "formats/families/remote_code.h"
#include "formats/model/network_config.h"

/* A place of at most four keys, for errors. */
struct path {
    struct gqa_place at[4];
};

static const struct gqa_place *path_of(struct path *path, const char *a,
                                       const char *b, const char *c,
                                       const char *d)
{
    const char *const keys[] = {a, b, c, d};
    const struct gqa_place *up = NULL;

    for (int i = 0; i < 4 && keys[i]; i++) {
        path->at[i] = (struct gqa_place){up, keys[i], 0};
        up = &path->at[i];
    }
    return up;
}

#define FAIL(family, a, b, c, d, ...)                                \
    gqa_description_fail((family)->description,                      \
                         path_of(&(struct path){{{0}}}, a, b, c, d), \
                         __VA_ARGS__)

static bool is_literal(const struct gqa_setting *s, bool value)
{
    return json_is_boolean(s->json) && json_is_true(s->json) == value;
}

/* --- Configuration ------------------------------------------------------- */

/* What says how many KV heads there are is written, too: its keys are plain
 * ones, and what they stand for are numbers. */
static enum gqa_status check_kv_setting(const struct gqa_family *f,
                                        const json_t *setting)
{
    static const char *const inner[] = {"default", "null"};
    const json_t *key = json_object_get(setting, "key");
    const char *name = json_string_value(key), *word;
    json_t *value;
    enum gqa_status st = GQA_OK;

    if (!name || strchr(name, '.'))
        return FAIL(f, "config", "n_kv_heads_by", NULL, NULL,
                    "is written as well as read: each setting needs one key, "
                    "without a dot");
    for (size_t i = 0; i < sizeof inner / sizeof *inner && st == GQA_OK; i++) {
        value = json_object_get(setting, inner[i]);
        if (gqa_is_setting(value))
            st = check_kv_setting(f, value);
    }
    json_object_foreach(json_object_get(setting, "map"), word, value)
    {
        if (st == GQA_OK && gqa_is_setting(value))
            st = check_kv_setting(f, value);
    }
    return st;
}

static enum gqa_status check_only(const struct gqa_family *f)
{
    if (f->only_key && !f->only_is == !f->only_is_not)
        return FAIL(f, "only", NULL, NULL, NULL,
                    "says one of 'is' and 'is_not'");
    return GQA_OK;
}

static enum gqa_status check_kv_heads(const struct gqa_family *f)
{
    const json_t *by = f->keys.n_kv_heads_by.json;

    if (!by)
        return GQA_OK;
    if (f->keys.n_kv_heads)
        return FAIL(f, "config", "n_kv_heads_by", NULL, NULL,
                    "says how many KV heads there are, and 'n_kv_heads' does "
                    "too");
    return check_kv_setting(f, by);
}

/* --- Positions ----------------------------------------------------------- */

/* What belongs to one scheme does not stand beside another. */
static enum gqa_status check_positions(const struct gqa_family *f)
{
    const struct gqa_position_rule *p = &f->positions;
    const struct {
        const char *key;
        bool given;
        enum gqa_position_scheme scheme;
    } parts[] = {
        {"theta", p->theta.json != NULL, GQA_POSITION_ROPE},
        {"theta_factor", p->theta_factor.json != NULL, GQA_POSITION_ROPE},
        {"local_theta", p->local_theta.json != NULL, GQA_POSITION_ROPE},
        {"original_context", p->original_context.json != NULL,
         GQA_POSITION_ROPE},
        {"magnitude", p->magnitude.json != NULL, GQA_POSITION_ROPE},
        {"long_magnitude", p->long_magnitude.json != NULL, GQA_POSITION_ROPE},
        {"alpha", p->alpha.json != NULL, GQA_POSITION_ROPE},
        {"share", p->share.json != NULL, GQA_POSITION_ROPE},
        {"dims", p->dims.json != NULL, GQA_POSITION_ROPE},
        {"kinds", p->kinds != NULL, GQA_POSITION_ROPE},
        {"longrope_names", p->longrope_names != NULL, GQA_POSITION_ROPE},
        {"interleaved", p->interleaved, GQA_POSITION_ROPE},
        {"at_end", p->at_end, GQA_POSITION_ROPE},
        {"alibi", p->alibi.json != NULL, GQA_POSITION_ROPE},
        {"slopes", p->slopes != GQA_SLOPES_NONE, GQA_POSITION_ALIBI},
        {"slopes_scaled", p->slopes_scaled, GQA_POSITION_ALIBI},
        {"sinusoids", p->sinusoids != GQA_SINUSOIDS_NONE,
         GQA_POSITION_SINUSOIDAL},
        {"table", p->table != NULL, GQA_POSITION_RELATIVE_BIAS},
        {"buckets", p->buckets.json != NULL, GQA_POSITION_RELATIVE_BIAS},
        {"max_distance", p->max_distance.json != NULL,
         GQA_POSITION_RELATIVE_BIAS},
        {"per_layer", p->per_layer, GQA_POSITION_RELATIVE_BIAS},
    };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].given && parts[i].scheme != p->scheme &&
            (parts[i].scheme != GQA_POSITION_ALIBI || !p->alibi.json))
            return FAIL(f, "positions", parts[i].key, NULL, NULL,
                        "belongs to another scheme than this one");
    /* Where its key says nothing the share counts. */
    if (p->share.json && p->dims.json &&
        (!gqa_is_setting(p->dims.json) ||
         json_object_get(p->dims.json, "default")))
        return FAIL(f, "positions", "dims", NULL, NULL,
                    "says how much of a head is rotated, and 'share' does too");
    if (p->scheme == GQA_POSITION_ROPE && !p->theta.json)
        return FAIL(f, "positions", "theta", NULL, NULL,
                    "is missing, and RoPE needs it");
    if ((p->scheme == GQA_POSITION_ALIBI || p->alibi.json) && !p->slopes)
        return FAIL(f, "positions", "slopes", NULL, NULL,
                    "is missing, and ALiBi needs it");
    if (p->scheme == GQA_POSITION_RELATIVE_BIAS && !p->table)
        return FAIL(f, "positions", "table", NULL, NULL,
                    "is missing, and a relative bias needs it");
    if (p->scheme == GQA_POSITION_SINUSOIDAL && !p->sinusoids)
        return FAIL(f, "positions", "sinusoids", NULL, NULL,
                    "is missing, and sinusoidal positions need it");
    if (p->scheme == GQA_POSITION_SINUSOIDAL && !f->keys.max_positions)
        return FAIL(f, "config", "max_positions", NULL, NULL,
                    "is missing: it says how many sinusoidal positions there "
                    "are");
    return GQA_OK;
}

/* What a stack adds to its embedding; it may be said of the whole. */
static enum gqa_status check_embedding(const struct gqa_family *f,
                                       const struct gqa_embedding_rule *e)
{
    const enum gqa_position_scheme scheme = f->positions.scheme;

    if (scheme != GQA_POSITION_SINUSOIDAL &&
        (scheme == GQA_POSITION_LEARNED) != (e->positions != NULL))
        return FAIL(f, "embedding", "positions", NULL, NULL,
                    e->positions ? "stands for learned positions, but "
                                   "'positions.scheme' is another"
                                 : "is missing, and learned positions need it");
    if (e->norm_first && (!e->norm.json || !e->positions))
        return FAIL(f, "embedding", "norm_first", NULL, NULL,
                    "there are no norm and positions that it could go between");
    if (e->position_offset && !e->positions &&
        scheme != GQA_POSITION_SINUSOIDAL)
        return FAIL(f, "embedding", "position_offset", NULL, NULL,
                    "has no 'embedding.positions' to be the offset of");
    for (size_t i = 0; e->places && e->places[i]; i++)
        if (i >= GQA_MAX_PLACES)
            return FAIL(f, "embedding", "places", NULL, NULL,
                        "there are more than %d", GQA_MAX_PLACES);
    if (f->embedding.width.json && !f->embedding.widened != !f->logits.narrowed)
        return FAIL(f, "embedding", "width", NULL, NULL,
                    "is not the stream's, which needs 'embedding.widened' and "
                    "'logits.narrowed', or neither");
    if (f->logits.transform.given && (f->logits.narrowed || f->logits.addend))
        return FAIL(f, "logits", "transform", NULL, NULL,
                    "goes with neither 'narrowed' nor 'addend'");
    if (f->embedding.table.json)
        return FAIL(f, "embedding", "table", NULL, NULL,
                    "is of one stack; 'names.embedding' is of all");
    if (f->embedding.widened_behind && (f->embedding.widened || e->norm_first))
        return FAIL(f, "embedding", "widened_behind", NULL, NULL,
                    "goes with neither 'widened' nor 'norm_first'");
    if (e->positions_behind.json && e->position_offset)
        return FAIL(f, "embedding", "positions_behind", NULL, NULL,
                    "stands in place of 'position_offset', which is there");
    if (e->zero_row.json && f->positions.scheme != GQA_POSITION_SINUSOIDAL)
        return FAIL(f, "embedding", "zero_row", NULL, NULL,
                    "no positions are computed");
    if (e->positions_behind.json && !e->positions &&
        scheme != GQA_POSITION_SINUSOIDAL)
        return FAIL(f, "embedding", "positions_behind", NULL, NULL,
                    "there are no positions that could be behind it");
    return GQA_OK;
}

/* place: of the norm. */
static enum gqa_status check_norm(const struct gqa_family *f,
                                  const struct gqa_norm_rule *norm,
                                  const struct gqa_place *place)
{
    const struct gqa_place bias = {place, "bias", 0};
    const struct gqa_place one_plus = {place, "one_plus", 0};

    if (norm->kind == GQA_NORM_RMS && norm->bias.json &&
        !is_literal(&norm->bias, false))
        return gqa_description_fail(f->description, &bias,
                                    "an RMS norm has no bias");
    if (norm->one_plus && is_literal(&norm->weight, false))
        return gqa_description_fail(f->description, &one_plus,
                                    "has no weight to add 1 to");
    return GQA_OK;
}

/* --- Stacks -------------------------------------------------------------- */

static enum gqa_status check_head_norms(const struct gqa_family *f,
                                        const struct gqa_attention_rule *a)
{
    const struct gqa_head_norms_rule *norms = &a->head_norms;
    struct path path;
    const struct gqa_place *at =
        path_of(&path, "stacks", gqa_stack_name(a->stack),
                gqa_attention_kind_name(a->kind), "head_norms");
    const struct gqa_place norm = {at, "norm", 0};

    if (norms->weights != GQA_HEAD_NORM_SHARED && !norms->module[0].json &&
        !norms->module[1].json)
        return gqa_description_fail(f->description, at,
                                    "says neither of 'q' and 'k' which module "
                                    "it is");
    return check_norm(f, &norms->norm, &norm);
}

static enum gqa_status check_attention(const struct gqa_family *f,
                                       const struct gqa_attention_rule *a)
{
    static const char *const keys[] = {"q", "k", "v", "o"};
    const char *stack = gqa_stack_name(a->stack);
    const char *kind = gqa_attention_kind_name(a->kind);
    const bool fused = a->layout == GQA_HEADS_FUSED_QKV ||
                       a->layout == GQA_HEADS_FUSED_GROUP ||
                       a->layout == GQA_HEADS_FUSED_BLOCKS;

    if (a->scale.json && a->scale_rsqrt.json)
        return FAIL(f, "stacks", stack, kind, "scale_rsqrt",
                    "says what scores are multiplied with, and 'scale' does "
                    "too");
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++) {
            const bool same = strcmp(a->names[i], a->names[k]) == 0;
            const bool together =
                i < 3 && (fused || (k > 0 && a->layout == GQA_HEADS_FUSED_KV));

            if (same == together)
                continue;
            return FAIL(f, "stacks", stack, kind, keys[i],
                        same ? "is '%s', as '%s' is, which the layout does "
                               "not allow"
                             : "is '%s', but in a fused layout '%s' is the "
                               "same",
                        a->names[i], keys[k]);
        }
    if (strchr(a->module, '%'))
        return FAIL(f, "stacks", stack, kind, "module",
                    "'%s': '%%' stands in 'layers' alone", a->module);
    if (a->kind == GQA_ATTENTION_CROSS && fused)
        return FAIL(f, "stacks", stack, kind, "layout",
                    "cross-attention takes keys and values from elsewhere "
                    "than queries: they cannot be fused");
    if (a->kind == GQA_ATTENTION_SELF && a->when.json)
        return FAIL(f, "stacks", stack, kind, "when",
                    "a layer always has its self-attention");
    if ((a->within.json || a->span.json || a->causal) &&
        (a->stack != GQA_STACK_ENCODER || a->kind != GQA_ATTENTION_SELF))
        return FAIL(f, "stacks", stack, kind,
                    a->within.json ? "within"
                    : a->span.json ? "span"
                                   : "causal",
                    "it is for encoders");
    if (a->within.json && a->span.json)
        return FAIL(f, "stacks", stack, kind, "span",
                    "says what is seen, and 'within' does too");
    if (a->first_unnormed && !a->norms.norm.json)
        return FAIL(f, "stacks", stack, kind, "first_unnormed",
                    "there is no 'norm' that other layers could have");
    if (a->summaries.given &&
        (a->stack != GQA_STACK_ENCODER || a->kind != GQA_ATTENTION_SELF ||
         !a->positions || f->positions.scheme != GQA_POSITION_RELATIVE_BIAS))
        return FAIL(f, "stacks", stack, kind, "summaries",
                    "they are for encoders with a bias by distance");
    if (a->summaries.given && (a->head_norms.module[1].json || a->clip.json))
        return FAIL(f, "stacks", stack, kind, "summaries",
                    "their keys and values are neither normed nor clipped");
    if (a->sinks && a->summaries.given)
        return FAIL(f, "stacks", stack, kind, "sinks",
                    "they are for attentions without summaries");
    if (a->kind == GQA_ATTENTION_CROSS && a->positions)
        return FAIL(f, "stacks", stack, kind, "positions",
                    "cross-attention has none");
    return check_head_norms(f, a);
}

static bool is_clamped(const struct gqa_feed_forward_rule *ff)
{
    const char *name = json_string_value(ff->activation.json);

    return name && strcmp(name, GQA_CLAMPED_SWIGLU) == 0;
}

/* How gate and up of experts lie in one tensor, and what is made of both. */
static enum gqa_status check_experts(const struct gqa_family *f,
                                     const char *stack,
                                     const struct gqa_feed_forward_rule *ff)
{
    const struct gqa_experts_rule *x = &ff->experts;
    const bool fused = x->gate && x->up && strcmp(x->gate, x->up) == 0;
    const char *because = NULL;

    if (x->given && x->shared_gate && !x->shared)
        because = "'shared_gate' has no 'shared' that it could weigh";
    else if (x->each && (x->input_major || x->bare || x->interleaved))
        because = "'input_major', 'bare' and 'interleaved' are of experts that "
                  "lie in one tensor, and 'each' says that these do not";
    else if (x->interleaved && (!fused || x->shared))
        because = "'interleaved' is of one 'gate' and 'up' of all experts";
    else if (fused && x->input_major && !x->interleaved)
        because = "one 'gate' and 'up' that is 'input_major' has to be "
                  "'interleaved'";
    else if (x->interleaved != is_clamped(ff))
        because = "'interleaved' and the activation '" GQA_CLAMPED_SWIGLU
                  "' go together";
    else if (is_clamped(ff) && (!ff->alpha.json || !ff->limit.json))
        because =
            "the activation '" GQA_CLAMPED_SWIGLU "' needs 'alpha' and 'limit'";
    return because ? FAIL(f, "stacks", stack, "feed_forward", "experts", "%s",
                          because)
                   : GQA_OK;
}

static enum gqa_status check_feed_forward(const struct gqa_family *f,
                                          enum gqa_stack s)
{
    const struct gqa_feed_forward_rule *ff = &f->stacks[s].feed_forward;
    const char *stack = gqa_stack_name(s);
    const bool always = is_literal(&ff->gated, true);
    const bool never = is_literal(&ff->gated, false) || !ff->gated.json;
    const struct {
        const char *key, *name;
        bool needed, useless;
    } parts[] = {
        {"gate", ff->gate, !never, never},
        {"up", ff->up, !never, never},
        {"plain", ff->plain, !always, always},
    };
    enum gqa_activation activation;
    const enum gqa_status st = check_experts(f, stack, ff);

    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].name ? parts[i].useless : parts[i].needed)
            return FAIL(f, "stacks", stack, "feed_forward", parts[i].key,
                        "%s, while 'gated' is %s",
                        parts[i].name ? "has no use" : "is missing",
                        always  ? "true"
                        : never ? "false"
                                : "said by the configuration");
    if (gqa_gate_is_fused(ff) && !(is_literal(&ff->bias[GQA_FF_GATE], false) &&
                                   is_literal(&ff->bias[GQA_FF_UP], false)))
        return FAIL(f, "stacks", stack, "feed_forward", "bias",
                    "'gate' and 'up' must be false, since both are '%s'",
                    ff->up);
    if (json_is_string(ff->activation.json) && !is_clamped(ff) &&
        gqa_activation_parse(&activation,
                             json_string_value(ff->activation.json)) != GQA_OK)
        return FAIL(f, "stacks", stack, "feed_forward", "activation",
                    "'%s' is no activation that is known",
                    json_string_value(ff->activation.json));
    return GQA_OK;
}

/* As many frames as one position is made of, in a step: no model has more. */
enum { MOST_STRIDE = 16 };

static enum gqa_status check_input(const struct gqa_family *f,
                                   const struct gqa_stack_rule *stack,
                                   const char *name)
{
    const struct gqa_frames_rule *frames = &stack->frames;

    if (stack->codes.each && stack->input != GQA_INPUT_CODES)
        return FAIL(f, "stacks", name, "codes", NULL,
                    "'input' says that it reads none");
    if (stack->codes.each && stack->embedding.norm.json)
        return FAIL(f, "stacks", name, "codes", NULL,
                    "a norm would go before the sum of the codes");
    if (frames->n_convolutions && stack->input != GQA_INPUT_FRAMES)
        return FAIL(f, "stacks", name, "frames", NULL,
                    "'input' says that it reads none");
    if (stack->input == GQA_INPUT_FRAMES && stack->embedding.norm_first)
        return FAIL(f, "stacks", name, "embedding", "norm_first",
                    "frames have their positions before a norm");
    if (frames->n_convolutions > GQA_MAX_CONVOLUTIONS)
        return FAIL(f, "stacks", name, "frames", "convolutions",
                    "there are more than %d", GQA_MAX_CONVOLUTIONS);
    for (size_t i = 0; i < frames->n_convolutions; i++)
        if (frames->convolutions[i].stride > MOST_STRIDE)
            return FAIL(f, "stacks", name, "frames", "convolutions",
                        "a stride is more than %d", MOST_STRIDE);
    return GQA_OK;
}

static enum gqa_status check_stack(const struct gqa_family *f, enum gqa_stack s)
{
    const struct gqa_stack_rule *stack = &f->stacks[s];
    const char *name = gqa_stack_name(s);
    enum gqa_status st;

    if (!stack->given)
        return GQA_OK;
    if (stack->input ==
        (s == GQA_STACK_DECODER ? GQA_INPUT_FRAMES : GQA_INPUT_CODES))
        return FAIL(f, "stacks", name, "input", NULL,
                    s == GQA_STACK_DECODER
                        ? "a decoder reads what it writes, and that are no "
                          "frames"
                        : "an encoder reads tokens or frames");
    if ((st = check_input(f, stack, name)) != GQA_OK ||
        (st = check_embedding(f, &stack->embedding)) != GQA_OK)
        return st;
    if (stack->cross.given &&
        (s == GQA_STACK_ENCODER ||
         (!f->stacks[GQA_STACK_ENCODER].given && !stack->cross.when.json)))
        return FAIL(f, "stacks", name, "cross", NULL,
                    "there is no encoder that this could attend to");
    if ((st = check_attention(f, &stack->self)) != GQA_OK ||
        (stack->cross.given &&
         (st = check_attention(f, &stack->cross)) != GQA_OK))
        return st;
    if (is_literal(&stack->shared_norm, true) &&
        stack->feed_forward.norms.norm.json)
        return FAIL(f, "stacks", name, "shared_norm", NULL,
                    "the feed-forward has a norm of its own");
    return check_feed_forward(f, s);
}

static enum gqa_status check_stacks(const struct gqa_family *f)
{
    enum gqa_status st;

    if (f->n_attentions == 0)
        return FAIL(f, "stacks", NULL, NULL, NULL,
                    "has neither an encoder nor a decoder");
    if ((f->keys.n_decoder_layers != NULL) != gqa_family_is_encoder_decoder(f))
        return FAIL(f, "config", "n_decoder_layers", NULL, NULL,
                    f->keys.n_decoder_layers
                        ? "there are no encoder and decoder in 'stacks'"
                        : "is missing: there are two stacks");
    if ((f->keys.n_decoder_heads || f->keys.decoder_d_ff) &&
        !gqa_family_is_encoder_decoder(f))
        return FAIL(f, "config",
                    f->keys.n_decoder_heads ? "n_decoder_heads"
                                            : "decoder_d_ff",
                    NULL, NULL, "there are no encoder and decoder in 'stacks'");
    if ((st = check_stack(f, GQA_STACK_ENCODER)) != GQA_OK)
        return st;
    return check_stack(f, GQA_STACK_DECODER);
}

/* --- The rest
 * ------------------------------------------------------------------ */

static enum gqa_status check_refusals(const struct gqa_family *f,
                                      const struct gqa_place *within,
                                      const char *key,
                                      const struct gqa_refusal *refusals,
                                      size_t n)
{
    const struct gqa_place list = {within, key, 0};

    for (size_t i = 0; i < n; i++) {
        const struct gqa_place item = {&list, NULL, i};

        const struct gqa_refusal *r = &refusals[i];

        if ((r->is != NULL) + (r->is_not != NULL) + r->absent != 1)
            return gqa_description_fail(f->description, &item,
                                        "needs one of \"is\", \"is_not\" and "
                                        "\"absent\"");
        if (r->absent && within)
            return gqa_description_fail(f->description, &item,
                                        "\"absent\" is of no use: a backbone "
                                        "has all of its keys");
    }
    return GQA_OK;
}

static size_t count_of(const char *text, char c)
{
    size_t n = 0;

    for (; text && *text; text++)
        n += *text == c;
    return n;
}

static bool is_name_of(const char *name, const char *leaf)
{
    const char *last = strrchr(name, '.');

    return last && strcmp(last, leaf) == 0;
}

/* What is no whole tensor is a matrix of one. */
static enum gqa_status check_keras_blocks(const struct gqa_family *f,
                                          const struct gqa_keras_rule *r,
                                          const struct gqa_place *at)
{
    const struct gqa_place then = {at, "then", 0};

    if ((r->blocks || r->then) &&
        (!is_name_of(r->is, ".weight") || r->parts > 1 || r->by_head ||
         r->unused_rows || r->convolution))
        return gqa_description_fail(f->description, at,
                                    "'blocks' and 'then' are of a weight that "
                                    "is no part of another, and of no other "
                                    "kind");
    if (r->then && (!is_name_of(r->then, ".weight") ||
                    count_of(r->then, '%') != count_of(r->is, '%')))
        return gqa_description_fail(f->description, &then,
                                    "'%s' is no name of a weight with as many "
                                    "'%%' as 'is'",
                                    r->then);
    return GQA_OK;
}

static enum gqa_status check_keras_rule(const struct gqa_family *f,
                                        const struct gqa_keras_rule *r,
                                        size_t i)
{
    const struct gqa_place keras = {NULL, "keras", 0};
    const struct gqa_place rules = {&keras, "rules", 0};
    const struct gqa_place at = {&rules, NULL, i};
    const struct gqa_place is = {&at, "is", 0};
    const size_t layers = count_of(r->path, '%');
    const size_t numbers = *r->is ? count_of(r->is, '%') : layers;

    if (layers > 1 || (r->whole && count_of(r->whole, '%') != layers) ||
        (numbers != layers && !(r->blocks && layers == 1 && numbers == 2)))
        return gqa_description_fail(f->description, &at,
                                    "'%%' stands for the layer's number, once "
                                    "in each name or in none, and behind it in "
                                    "'is' for that of a block");
    if (*r->is && !is_name_of(r->is, ".weight") && !is_name_of(r->is, ".bias"))
        return gqa_description_fail(f->description, &is,
                                    "'%s' is no name of a weight or a bias",
                                    r->is);
    if (r->parts > 8 || r->part >= r->parts || r->axis > 1 || r->input_axes > 7)
        return gqa_description_fail(f->description, &at,
                                    "'part' is one of at most 8 'parts', "
                                    "'axis' 0 or 1, 'input_axes' at most 7");
    if (r->by_head && (!*r->is || r->axis != 0 || r->input_axes != 1 ||
                       (!r->turned && is_name_of(r->is, ".weight"))))
        return gqa_description_fail(f->description, &at,
                                    "'by_head' is for kernels that are "
                                    "'turned', along 'axis' 0");
    if (r->convolution && (r->parts > 1 || !is_name_of(r->is, ".weight")))
        return gqa_description_fail(f->description, &at,
                                    "a 'convolution' is a weight of one part");
    if (r->unused_rows > 8 || (r->unused_rows && (r->parts > 1 || r->turned)))
        return gqa_description_fail(f->description, &at,
                                    "'unused_rows' is at most 8, of what is "
                                    "one part and not 'turned'");
    return check_keras_blocks(f, r, &at);
}

static enum gqa_status check_keras(const struct gqa_family *f)
{
    const struct gqa_keras_names *k = &f->keras;
    const struct gqa_place keras = {NULL, "keras", 0};
    const struct gqa_place list = {&keras, "backbones", 0};
    enum gqa_status st;

    for (size_t i = 0; i < k->n_backbones; i++) {
        const struct gqa_place item = {&list, NULL, i};
        const struct gqa_place type = {&item, "model_type", 0};
        gqa_texts t = f->model_types;

        while (*t && strcmp(*t, k->backbones[i].model_type) != 0)
            t++;
        if (!*t)
            return gqa_description_fail(f->description, &type,
                                        "'%s' is none of the model types",
                                        k->backbones[i].model_type);
    }
    for (size_t i = 0; i < k->n_rules; i++)
        if ((st = check_keras_rule(f, &k->rules[i], i)) != GQA_OK)
            return st;
    if (k->within && !gqa_nested_find(k->within))
        return FAIL(f, "keras", "within", NULL, NULL,
                    "'%s' is no type of a model that holds others", k->within);
    if (k->outer && !k->within)
        return FAIL(f, "keras", "outer", NULL, NULL,
                    "is of what a model lies 'within'");
    if (k->numbered_through && !gqa_family_is_encoder_decoder(f))
        return FAIL(f, "keras", "numbered_through", NULL, NULL,
                    "there is one stack only");
    st = check_refusals(f, &keras, "refuse", k->refusals, k->n_refusals);
    return st == GQA_OK ? check_refusals(f, &keras, "readings", k->readings,
                                         k->n_readings)
                        : st;
}

/* --- Stock loaders ------------------------------------------------------- */

/* They become names in a program. */
static enum gqa_status check_remote_code(const struct gqa_family *f)
{
    const char *loader;
    json_t *class;

    if (f->remote_code && f->stock_grouped != GQA_STOCK_NONE &&
        !f->keys.n_kv_heads_by.json)
        return FAIL(f, "stock", "remote_code", NULL, NULL,
                    "is for families of which \"grouped\" is \"none\", or "
                    "whose configuration cannot say each number of KV heads");
    json_object_foreach((json_t *)(uintptr_t)f->remote_code, loader, class)
    {
        if (strncmp(loader, "AutoModel", 9) != 0 || !gqa_is_identifier(loader))
            return FAIL(f, "stock", "remote_code", loader, NULL,
                        "is no Auto class of models");
        if (!json_is_string(class) ||
            !gqa_is_identifier(json_string_value(class)))
            return FAIL(f, "stock", "remote_code", loader, NULL,
                        "has to be the name of a class of transformers");
    }
    return GQA_OK;
}

enum gqa_status gqa_family_check(const struct gqa_family *family)
{
    const struct gqa_place norm = {NULL, "norm", 0};
    enum gqa_status st;

    for (const char *c = family->name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", *c))
            return FAIL(family, "family", NULL, NULL, NULL,
                        "'%s' has other characters than a to z, 0 to 9, '_' "
                        "and '-'",
                        family->name);
    if ((st = check_norm(family, &family->norm, &norm)) != GQA_OK ||
        (st = check_only(family)) != GQA_OK ||
        (st = check_kv_heads(family)) != GQA_OK ||
        (st = check_stacks(family)) != GQA_OK ||
        (st = check_positions(family)) != GQA_OK ||
        (st = check_refusals(family, NULL, "refuse", family->refusals,
                             family->n_refusals)) != GQA_OK ||
        (st = check_refusals(family, NULL, "readings", family->readings,
                             family->n_readings)) != GQA_OK ||
        (st = check_remote_code(family)) != GQA_OK)
        return st;
    return check_keras(family);
}
