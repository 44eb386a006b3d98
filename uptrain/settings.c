#include "uptrain/settings.h"

#include <math.h>

#include "common/bounds.h"
#include "common/json.h"
#include "common/log.h"
#include "formats/families/family.h"

enum { CPU_LENGTH = 128, CPU_OWN = 512, DEVICE_LENGTH = 1024 };

/* Of T5 and its like, which were made with so many tokens, and whose
 * configurations do not say it. */
enum { RELATIVE_LENGTH = 512 };

static bool has_relative_bias(const struct gqa_network *network)
{
    for (size_t s = 0; s < network->n_stacks; s++)
        for (size_t i = 0; i < network->stacks[s].n_blocks; i++)
            if (network->stacks[s].blocks[i].self.bias.table != GQA_NO_PARAM)
                return true;
    return false;
}

static uint64_t length_on(const struct gqa_backend *backend,
                          const struct gqa_network *network)
{
    if (backend->in_place)
        return CPU_LENGTH;
    return has_relative_bias(network) ? RELATIVE_LENGTH : DEVICE_LENGTH;
}

/* Positions that a model with rotations was made for, as its configuration says
 * it; 0: it does not. What scaling adds counts. */
static uint64_t context_of(const struct gqa_side *side)
{
    static const char *const scaling[] = {"rope_scaling", "rope_parameters"};
    const json_t *config = side->model->config;
    uint64_t n = 0, original;
    double factor = 1;

    if (side->network->rope.n_pairs == 0 ||
        gqa_config_count(&n, config, side->model->family->keys.max_positions,
                         side->path) != GQA_OK)
        return 0;
    original = n;
    for (size_t i = 0; i < sizeof scaling / sizeof *scaling; i++) {
        const json_t *rope = json_object_get(config, scaling[i]);
        const double said = json_number_value(json_object_get(rope, "factor"));

        gqa_json_u64(json_object_get(rope, "original_max_position_embeddings"),
                     &original);
        factor = said > factor ? said : factor;
    }
    return gqa_max_u64(n, (uint64_t)fmin((double)original * factor, 0x1p52));
}

static enum gqa_status check_side(const struct gqa_side *side, uint64_t length)
{
    const uint64_t n = side->network->max_positions;

    return n > 0 && length > n
               ? gqa_fail(GQA_ERR_USAGE,
                          "option --length: %s has positions for %llu tokens, "
                          "not for %llu",
                          side->path, (unsigned long long)n,
                          (unsigned long long)length)
               : GQA_OK;
}

/* Nothing here is sound, a picture or another model. */
static void tell_of_frames(const struct gqa_side *side)
{
    const struct gqa_network_stack *first = &side->network->stacks[0];

    if (first->frames.width)
        gqa_warn("%s %s, for which drawn rows stand in: what looks at them "
                 "learns from noise, and only inputs of its own kind tell what "
                 "became of it; --train '*self_attn*' or the like changes less",
                 side->path,
                 first->n_blocks ? "reads frames of sound"
                                 : "looks back at what another model makes");
}

enum gqa_status gqa_settings_check(const struct gqa_uptrain_options *o,
                                   const struct gqa_pair *pair)
{
    const uint64_t context = context_of(&pair->teacher);
    enum gqa_status st = check_side(&pair->teacher, o->length);

    if (st == GQA_OK)
        st = check_side(&pair->student, o->length);
    if (st == GQA_OK && context > 0 && o->length > context)
        gqa_warn("--length %llu: the configuration of %s tells of %llu "
                 "positions, and beyond them it says what it was not made for",
                 (unsigned long long)o->length, pair->teacher.path,
                 (unsigned long long)context);
    if (st == GQA_OK)
        tell_of_frames(&pair->teacher);
    return st;
}

struct gqa_settings gqa_settings_choose(const struct gqa_uptrain_options *o,
                                        const struct gqa_pair *pair,
                                        const struct gqa_backend *backend)
{
    const uint64_t t = pair->teacher.network->max_positions;
    const uint64_t s = pair->student.network->max_positions;
    const uint64_t needed = o->n_steps * o->batch * o->accumulate;
    /* What a rank has of a step. */
    const uint64_t part =
        (o->batch * o->accumulate + o->n_ranks - 1) / o->n_ranks;
    struct gqa_settings out = {.length = o->length,
                               .batch = gqa_min_u64(o->batch, part),
                               .n_own = o->n_own};

    if (out.length == 0) {
        const uint64_t context = context_of(&pair->teacher);

        out.length = length_on(backend, pair->teacher.network);
        if (context > 1)
            out.length = gqa_min_u64(out.length, context);
    }
    out.length = t > 0 ? gqa_min_u64(out.length, t) : out.length;
    out.length = s > 0 ? gqa_min_u64(out.length, s) : out.length;
    if (out.n_own == 0 && backend->in_place && needed > CPU_OWN)
        out.n_own = CPU_OWN;
    return out;
}
