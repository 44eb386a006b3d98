#include "uptrain/settings.h"

#include "common/bounds.h"

enum { CPU_LENGTH = 128, CPU_OWN = 512, DEVICE_LENGTH = 1024 };

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

    if (out.length == 0)
        out.length = backend->in_place ? CPU_LENGTH : DEVICE_LENGTH;
    out.length = t > 0 ? gqa_min_u64(out.length, t) : out.length;
    out.length = s > 0 ? gqa_min_u64(out.length, s) : out.length;
    if (out.n_own == 0 && backend->in_place && needed > CPU_OWN)
        out.n_own = CPU_OWN;
    return out;
}
