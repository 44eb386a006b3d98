/*
 * A GPU in the CUDA plug-in's place, for the tests of gqa-verify: it computes
 * nothing, so that all logits are 0, and fails where HOLLOW_FAILS says:
 *
 *   none      there is no device
 *   open      the device does not answer
 *   alloc     its memory is full
 *   upload    it is lost while weights come
 *   N         it is lost in the N-th forward pass
 */
#include <stdlib.h>
#include <string.h>

#include "common/signs.h"
#include "runtime/cuda/plugin.h"

static const struct gqa_host *gqa;

struct gqa_device {
    enum gqa_dtype real;
    unsigned n_threads;
    int n_passes;
    uint64_t start; /* of a batch whose sequences are all as long */
};

static bool fails_at(const char *point)
{
    const char *set = getenv("HOLLOW_FAILS");

    return set && strcmp(set, point) == 0;
}

static enum gqa_status lose(void)
{
    return gqa->fail(GQA_ERR_IO, "GPU 0 (hollow) failed: it has fallen off "
                                 "the bus");
}

static enum gqa_status open_device(struct gqa_device **out,
                                   const struct gqa_device_options *options)
{
    struct gqa_device *device;

    if (fails_at("open"))
        return gqa->fail(GQA_ERR_IO, "the GPUs do not answer");
    device = calloc(1, sizeof *device);
    if (!device)
        return gqa->fail(GQA_ERR_NOMEM, "out of memory");
    device->real = options->real;
    device->n_threads = options->n_threads;
    *out = device;
    return GQA_OK;
}

static void close_device(struct gqa_device *device)
{
    free(device);
}

static enum gqa_status describe(struct gqa_device *device,
                                struct gqa_device_info *out)
{
    *out = (struct gqa_device_info){.name = "hollow",
                                    .software = "driver 1.2",
                                    .total_bytes = (uint64_t)1 << 30,
                                    .free_bytes = (uint64_t)1 << 30,
                                    .real = device->real,
                                    .n_threads = device->n_threads};
    return GQA_OK;
}

static enum gqa_status alloc(struct gqa_device *device, void **out,
                             uint64_t n_bytes)
{
    (void)device;
    if (fails_at("alloc"))
        return gqa->fail(GQA_ERR_NOMEM,
                         "GPU 0 (hollow): no room for %llu "
                         "bytes",
                         (unsigned long long)n_bytes);
    *out = calloc(1, (size_t)n_bytes + 1);
    return *out ? GQA_OK : gqa->fail(GQA_ERR_NOMEM, "out of memory");
}

static void release(struct gqa_device *device, void *memory)
{
    (void)device;
    free(memory);
}

static enum gqa_status upload(struct gqa_device *device, void *dst,
                              const void *src, uint64_t n_bytes)
{
    (void)device;
    memcpy(dst, src, (size_t)n_bytes);
    return GQA_OK;
}

static enum gqa_status stage_open(struct gqa_device *device,
                                  struct gqa_staging **out, uint64_t n_bytes)
{
    struct gqa_staging *staging = calloc(1, sizeof *staging + (size_t)n_bytes);

    (void)device;
    if (!staging)
        return gqa->fail(GQA_ERR_NOMEM, "out of memory");
    staging->data = staging + 1;
    staging->n_bytes = n_bytes;
    *out = staging;
    return GQA_OK;
}

static void stage_close(struct gqa_device *device, struct gqa_staging *staging)
{
    (void)device;
    free(staging);
}

static enum gqa_status stage_send(struct gqa_device *device,
                                  struct gqa_staging *staging, void *dst,
                                  uint64_t n_bytes)
{
    if (fails_at("upload"))
        return lose();
    return upload(device, dst, staging->data, n_bytes);
}

static enum gqa_status stage_fetch(struct gqa_device *device,
                                   struct gqa_staging *staging, const void *src,
                                   uint64_t n_bytes)
{
    (void)device;
    memcpy(staging->data, src, (size_t)n_bytes);
    return GQA_OK;
}

static enum gqa_status stage_wait(struct gqa_device *device,
                                  struct gqa_staging *staging)
{
    (void)device, (void)staging;
    return GQA_OK;
}

static enum gqa_status download(struct gqa_device *device, void *dst,
                                const void *src, uint64_t n_bytes)
{
    (void)device;
    memcpy(dst, src, (size_t)n_bytes);
    return GQA_OK;
}

static enum gqa_status pass(struct gqa_device *device)
{
    const char *set = getenv("HOLLOW_FAILS");

    return set && ++device->n_passes == atoi(set) ? lose() : GQA_OK;
}

static enum gqa_status set_batch(struct gqa_device *device,
                                 const struct gqa_batch *batch)
{
    device->start = batch->starts[0];
    return pass(device);
}

static enum gqa_status embed(struct gqa_device *device, void *out,
                             const struct gqa_weight *table, double scale,
                             const struct gqa_weight *positions)
{
    (void)device, (void)out, (void)table, (void)scale, (void)positions;
    return GQA_OK;
}

static enum gqa_status rotate(struct gqa_device *device, void *x,
                              uint64_t width,
                              const struct gqa_head_place *place,
                              uint64_t head_dim, uint64_t n_pairs,
                              bool interleaved, const void *cos_sin)
{
    (void)device, (void)x, (void)width, (void)place, (void)head_dim;
    (void)n_pairs, (void)interleaved, (void)cos_sin;
    return GQA_OK;
}

static enum gqa_status store(struct gqa_device *device, void *cache,
                             uint64_t capacity, const void *x, uint64_t width,
                             const struct gqa_head_place *place,
                             uint64_t head_dim)
{
    (void)device, (void)cache, (void)capacity, (void)x, (void)width;
    (void)place, (void)head_dim;
    return GQA_OK;
}

static enum gqa_status attend(struct gqa_device *device,
                              const struct gqa_attention_op *op)
{
    (void)device, (void)op;
    return GQA_OK;
}

static enum gqa_status merge(struct gqa_device *device, void *out, void *lse,
                             const void *other, const void *other_lse,
                             uint64_t n_heads, uint64_t head_dim)
{
    (void)device, (void)out, (void)lse, (void)other, (void)other_lse;
    (void)n_heads, (void)head_dim;
    return GQA_OK;
}

static enum gqa_status sink(struct gqa_device *device, void *out, void *lse,
                            const struct gqa_weight *sinks, uint64_t n_heads,
                            uint64_t head_dim)
{
    (void)device, (void)out, (void)lse, (void)sinks, (void)n_heads;
    (void)head_dim;
    return GQA_OK;
}

static enum gqa_status sum_pieces(struct gqa_device *device, void *out,
                                  const void *x, uint64_t width, uint64_t size,
                                  uint64_t n_out)
{
    (void)device, (void)out, (void)x, (void)width, (void)size, (void)n_out;
    return GQA_OK;
}

static enum gqa_status norm(struct gqa_device *device, void *out, const void *x,
                            uint64_t n_rows, uint64_t width,
                            const struct gqa_norm_op *op, bool accumulate)
{
    (void)device, (void)out, (void)x, (void)n_rows, (void)width, (void)op;
    (void)accumulate;
    return GQA_OK;
}

static enum gqa_status linear(struct gqa_device *device, void *out,
                              const void *x, uint64_t n_rows,
                              const struct gqa_weight *weight, bool input_major,
                              const struct gqa_weight *bias, const void *added)
{
    (void)device, (void)out, (void)x, (void)n_rows, (void)weight;
    (void)input_major, (void)bias, (void)added;
    return GQA_OK;
}

static enum gqa_status activate(struct gqa_device *device, void *out,
                                const void *x, const void *up, uint64_t n,
                                enum gqa_activation activation)
{
    (void)device, (void)out, (void)x, (void)up, (void)n, (void)activation;
    return GQA_OK;
}

static enum gqa_status clip(struct gqa_device *device, void *x, uint64_t n,
                            double limit)
{
    (void)device, (void)x, (void)n, (void)limit;
    return GQA_OK;
}

static enum gqa_status xielu(struct gqa_device *device, void *x, uint64_t n,
                             const struct gqa_xielu *constants)
{
    (void)device, (void)x, (void)n, (void)constants;
    return GQA_OK;
}

static enum gqa_status swiglu_pairs(struct gqa_device *device, void *out,
                                    const void *x, uint64_t n,
                                    const struct gqa_clamped_swiglu *constants)
{
    (void)device, (void)out, (void)x, (void)n, (void)constants;
    return GQA_OK;
}

static enum gqa_status gather(struct gqa_device *device, void *out,
                              const void *x, uint64_t width,
                              const uint64_t *rows, uint64_t n_rows)
{
    (void)device, (void)out, (void)x, (void)width, (void)rows, (void)n_rows;
    return GQA_OK;
}

static enum gqa_status unembed(struct gqa_device *device, void *out,
                               const void *x, uint64_t n_rows,
                               const struct gqa_weight *weight,
                               bool input_major, const struct gqa_weight *bias,
                               double scale)
{
    (void)device, (void)out, (void)x, (void)n_rows, (void)weight;
    (void)input_major, (void)bias, (void)scale;
    return GQA_OK;
}

static enum gqa_status gram(struct gqa_device *device, void *out, const void *x,
                            uint64_t x_width, const void *y, uint64_t y_width,
                            uint64_t n_rows)
{
    (void)device, (void)out, (void)x, (void)x_width, (void)y, (void)y_width;
    (void)n_rows;
    return GQA_OK;
}

static bool may_be_drawn(const struct gqa_draw_op *op, int64_t token)
{
    for (unsigned i = 0; i < GQA_N_NEVER; i++)
        if (token == op->never[i])
            return false;
    return true;
}

/* All are equally likely. */
static enum gqa_status draw(struct gqa_device *device, int32_t *out,
                            const void *logits, const uint64_t *keys,
                            uint64_t first, uint64_t n_rows,
                            const struct gqa_draw_op *op)
{
    const int64_t vocab = (int64_t)op->vocab_size;
    int64_t n = 0;

    (void)logits;
    for (int64_t i = 0; i < vocab; i++)
        n += may_be_drawn(op, i);
    for (uint64_t s = first; s < first + n_rows; s++) {
        int64_t left =
            (int64_t)((double)n * gqa_uniform(keys[s], device->start + 1));
        int64_t token = 0;

        while (token < vocab && (!may_be_drawn(op, token) || left-- > 0))
            token++;
        out[s] = (int32_t)token;
    }
    return GQA_OK;
}

static enum gqa_status follow(struct gqa_device *device, const int32_t *tokens,
                              int32_t end)
{
    (void)tokens, (void)end;
    device->start++;
    return pass(device);
}

gqa_plugin_entry gqa_cuda_backend;

const struct gqa_backend *gqa_cuda_backend(const struct gqa_host *host)
{
    static const struct gqa_backend backend = {
        .abi = GQA_BACKEND_ABI,
        .name = "cuda",
        .open = open_device,
        .close = close_device,
        .describe = describe,
        .alloc = alloc,
        .free = release,
        .upload = upload,
        .download = download,
        .stage_open = stage_open,
        .stage_close = stage_close,
        .stage_send = stage_send,
        .stage_fetch = stage_fetch,
        .stage_wait = stage_wait,
        .set_batch = set_batch,
        .embed = embed,
        .rotate = rotate,
        .store = store,
        .attend = attend,
        .merge = merge,
        .sink = sink,
        .sum_pieces = sum_pieces,
        .norm = norm,
        .linear = linear,
        .activate = activate,
        .clip = clip,
        .xielu = xielu,
        .swiglu_pairs = swiglu_pairs,
        .gather = gather,
        .unembed = unembed,
        .gram = gram,
        .draw = draw,
        .follow = follow,
    };

    gqa = host;
    if (fails_at("none")) {
        gqa->fail(GQA_ERR_UNSUPPORTED, "no NVIDIA driver on this machine");
        return NULL;
    }
    return &backend;
}
