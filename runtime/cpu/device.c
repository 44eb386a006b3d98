#include "runtime/cpu/back.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/cli.h"
#include "runtime/blas.h"
#include "runtime/machine.h"

enum {
    ALIGNMENT = 64,
    /* OpenBLAS has buffers for so many callers at once: distributions build
     * it for 64 threads or more. */
    MAX_THREADS = 64,
};

/* --- Life ----------------------------------------------------------------- */

unsigned gqa_cpu_level(void)
{
#ifdef GQA_X86_LEVELS
    const bool v3 = __builtin_cpu_supports("avx2") &&
                    __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") &&
                    __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");

    return v4 ? 4 : v3 ? 3 : 0;
#else
    return 0;
#endif
}

/* Arithmetic for this processor; the same bits from each. */
static const struct gqa_cpu_real *choose_f32(void)
{
#ifdef GQA_X86_LEVELS
    const unsigned level = gqa_cpu_level();

    if (level >= 3)
        return level >= 4 ? &gqa_cpu_f32_v4 : &gqa_cpu_f32_v3;
#endif
    return &gqa_cpu_f32;
}

/* 0: as many as there are processors. */
static unsigned choose_threads(unsigned wanted)
{
    if (wanted == 0)
        wanted = gqa_cli_n_processors();
    return wanted < MAX_THREADS ? wanted : MAX_THREADS;
}

static enum gqa_status cpu_open(struct gqa_device **out,
                                const struct gqa_device_options *options)
{
    unsigned n_threads = choose_threads(options->n_threads);
    struct gqa_device *d;
    enum gqa_status st;

    if (options->real != GQA_F32 && options->real != GQA_F64)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the CPU computes in F32 and F64, not in %s",
                        gqa_dtype_name(options->real));
    if ((st = gqa_blas_load(n_threads)) != GQA_OK)
        return st;
    /* Other builds of OpenBLAS may not be called by several threads. */
    if (gqa_blas.get_parallel() != OPENBLAS_THREAD)
        n_threads = 1;
    if (!(d = calloc(1, sizeof *d)))
        return gqa_fail_nomem();
    d->dtype = options->real;
    d->real = options->real == GQA_F32 ? choose_f32() : &gqa_cpu_f64;
    st = gqa_cpu_pool_create(&d->pool, n_threads);
    if (st != GQA_OK) {
        free(d);
        return st;
    }
    /* Its own threads would spin beside ours. */
    gqa_blas.set_num_threads(1);
    *out = d;
    return GQA_OK;
}

static void cpu_close(struct gqa_device *d)
{
    if (!d)
        return;
    gqa_cpu_pool_free(d->pool);
    free(d->tokens);
    free(d->n_tokens);
    free(d->starts);
    free(d->vectors[0]);
    free(d->vectors[1]);
    free(d);
}

/* --- What it is ----------------------------------------------------------- */

static enum gqa_status cpu_describe(struct gqa_device *d,
                                    struct gqa_device_info *out)
{
    memset(out, 0, sizeof *out);
    gqa_machine_name(out->name, sizeof out->name);
    snprintf(out->software, sizeof out->software, "%s, %u threads",
             gqa_blas.get_config(), gqa_cpu_pool_n_threads(d->pool));
    out->real = d->dtype;
    out->n_threads = gqa_cpu_pool_n_threads(d->pool);
    gqa_machine_memory(&out->total_bytes, &out->free_bytes);
    return GQA_OK;
}

/* --- Memory --------------------------------------------------------------- */

static enum gqa_status cpu_alloc(struct gqa_device *d, void **out,
                                 uint64_t n_bytes)
{
    uint64_t whole;

    (void)d;
    if (!gqa_add_u64(n_bytes, 2 * ALIGNMENT - 1, &whole) ||
        !(*out = aligned_alloc(ALIGNMENT,
                               (size_t)(whole / ALIGNMENT * ALIGNMENT))))
        return gqa_fail(GQA_ERR_NOMEM, "out of memory: %" PRIu64 " bytes",
                        n_bytes);
    return GQA_OK;
}

static void cpu_free(struct gqa_device *d, void *memory)
{
    (void)d;
    free(memory);
}

static enum gqa_status cpu_copy(struct gqa_device *d, void *dst,
                                const void *src, uint64_t n_bytes)
{
    (void)d;
    if (n_bytes)
        memcpy(dst, src, (size_t)n_bytes);
    return GQA_OK;
}

/* --- The batch ------------------------------------------------------------ */

/* n elements of src in memory of their own; *dst was such. */
static enum gqa_status replace(void **dst, const void *src, uint64_t n,
                               size_t size)
{
    void *copy = reallocarray(*dst, (size_t)n, size);

    if (!copy)
        return gqa_fail_nomem();
    memcpy(copy, src, (size_t)n * size);
    *dst = copy;
    return GQA_OK;
}

static enum gqa_status cpu_set_batch(struct gqa_device *d,
                                     const struct gqa_batch *batch)
{
    const uint64_t n = batch->n_sequences;
    void *tokens = d->tokens, *n_tokens = d->n_tokens, *starts = d->starts;
    uint64_t n_rows;
    enum gqa_status st;

    if (!gqa_mul_u64(n, batch->n_new, &n_rows))
        return gqa_fail(GQA_ERR_NOMEM,
                        "a batch of %" PRIu64 " x %" PRIu64
                        " tokens is more than any memory holds",
                        n, batch->n_new);
    st = replace(&tokens, batch->tokens, n_rows, sizeof *d->tokens);
    if (st == GQA_OK)
        st = replace(&n_tokens, batch->n_tokens, n, sizeof *d->n_tokens);
    if (st == GQA_OK)
        st = replace(&starts, batch->starts, n, sizeof *d->starts);
    d->tokens = tokens;
    d->n_tokens = n_tokens;
    d->starts = starts;
    d->n_sequences = st == GQA_OK ? n : 0;
    d->n_new = batch->n_new;
    return st;
}

enum gqa_status gqa_cpu_vector(const void **out, struct gqa_device *d,
                               int which, const struct gqa_weight *weight)
{
    size_t n, bytes;

    *out = NULL;
    if (!weight)
        return GQA_OK;
    *out = weight->data;
    if (weight->dtype == d->dtype)
        return GQA_OK;
    n = (size_t)(weight->rows * weight->cols);
    bytes = n * d->real->size;
    if (bytes > d->vector_bytes[which]) {
        void *grown = realloc(d->vectors[which], bytes);

        if (!grown)
            return gqa_fail_nomem();
        d->vectors[which] = grown;
        d->vector_bytes[which] = bytes;
    }
    d->real->load(d->vectors[which], weight->data, weight->dtype, n);
    *out = d->vectors[which];
    return GQA_OK;
}

const struct gqa_backend *gqa_cpu_backend(void)
{
    static const struct gqa_backend backend = {
        .abi = GQA_BACKEND_ABI,
        .name = "cpu",
        .gradients = &gqa_cpu_gradients,
        .in_place = true,
        .open = cpu_open,
        .close = cpu_close,
        .describe = cpu_describe,
        .alloc = cpu_alloc,
        .free = cpu_free,
        .upload = cpu_copy,
        .download = cpu_copy,
        .zero = gqa_cpu_back_zero,
        .copy = gqa_cpu_back_copy,
        .set_batch = cpu_set_batch,
        .embed = gqa_cpu_embed,
        .rotate = gqa_cpu_rotate,
        .store = gqa_cpu_store,
        .attend = gqa_cpu_attend,
        .merge = gqa_cpu_merge,
        .sink = gqa_cpu_sink,
        .sum_pieces = gqa_cpu_sum_pieces,
        .norm = gqa_cpu_norm,
        .linear = gqa_cpu_linear,
        .activate = gqa_cpu_activate,
        .clip = gqa_cpu_clip,
        .xielu = gqa_cpu_xielu,
        .swiglu_pairs = gqa_cpu_swiglu_pairs,
        .gather = gqa_cpu_gather,
        .add_rows = gqa_cpu_add_rows,
        .unembed = gqa_cpu_unembed,
        .gram = gqa_cpu_gram,
        .norm_heads = gqa_cpu_norm_heads,
        .soft_cap = gqa_cpu_soft_cap,
        .weigh_rows = gqa_cpu_weigh_rows,
        .scores = gqa_cpu_scores,
        .draw = gqa_cpu_draw,
        .follow = gqa_cpu_follow,
    };

    return &backend;
}
