/* Memory of the CPU backend: cleared, copied, between types, added. */
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/back.h"

/* n elements (of memory: bytes) of a call, cut into parts. */
struct span {
    const struct gqa_device *device;
    char *dst;
    const char *src;
    uint64_t n, part;
    enum gqa_dtype dtype; /* of what is not real */
};

static struct gqa_cpu_part part_of(const struct span *s, size_t task)
{
    const uint64_t first = task * s->part;

    return (struct gqa_cpu_part){(size_t)first,
                                 (size_t)gqa_min_u64(s->part, s->n - first)};
}

static enum gqa_status run(struct gqa_device *device, const struct span *span,
                           void (*job)(void *, size_t, void *))
{
    struct span s = *span;

    s.device = device;
    s.part = GQA_CPU_GRAIN;
    return gqa_cpu_pool_run(device->pool, (size_t)((s.n + s.part - 1) / s.part),
                            0, job, &s);
}

static void zero_part(void *ctx, size_t task, void *scratch)
{
    const struct span *s = ctx;
    const struct gqa_cpu_part p = part_of(s, task);

    (void)scratch;
    memset(s->dst + p.first, 0, p.n);
}

enum gqa_status gqa_cpu_back_zero(struct gqa_device *device, void *x,
                                  uint64_t n_bytes)
{
    return run(device, &(struct span){.dst = x, .n = n_bytes}, zero_part);
}

static void copy_part(void *ctx, size_t task, void *scratch)
{
    const struct span *s = ctx;
    const struct gqa_cpu_part p = part_of(s, task);

    (void)scratch;
    memcpy(s->dst + p.first, s->src + p.first, p.n);
}

enum gqa_status gqa_cpu_back_copy(struct gqa_device *device, void *dst,
                                  const void *src, uint64_t n_bytes)
{
    return run(device, &(struct span){.dst = dst, .src = src, .n = n_bytes},
               copy_part);
}

static void widen_part(void *ctx, size_t task, void *scratch)
{
    const struct span *s = ctx;
    const struct gqa_cpu_real *real = s->device->real;
    const struct gqa_cpu_part p = part_of(s, task);

    (void)scratch;
    real->load(s->dst + p.first * real->size,
               s->src + p.first * gqa_dtype_bits(s->dtype) / 8, s->dtype, p.n);
}

enum gqa_status gqa_cpu_back_widen(struct gqa_device *device, void *wide,
                                   const void *src, enum gqa_dtype dtype,
                                   uint64_t n)
{
    return run(device,
               &(struct span){.dst = wide, .src = src, .n = n, .dtype = dtype},
               widen_part);
}

static void narrow_part(void *ctx, size_t task, void *scratch)
{
    const struct span *s = ctx;
    const struct gqa_cpu_real *real = s->device->real;
    const struct gqa_cpu_part p = part_of(s, task);

    (void)scratch;
    real->back->store(s->dst + p.first * gqa_dtype_bits(s->dtype) / 8, s->dtype,
                      s->src + p.first * real->size, p.n);
}

enum gqa_status gqa_cpu_back_narrow(struct gqa_device *device, void *dst,
                                    enum gqa_dtype dtype, const void *wide,
                                    uint64_t n)
{
    return run(device,
               &(struct span){.dst = dst, .src = wide, .n = n, .dtype = dtype},
               narrow_part);
}

static void add_part(void *ctx, size_t task, void *scratch)
{
    const struct span *s = ctx;
    const struct gqa_cpu_real *real = s->device->real;
    const struct gqa_cpu_part p = part_of(s, task);

    (void)scratch;
    real->add(s->dst + p.first * real->size, s->src + p.first * real->size,
              p.n);
}

enum gqa_status gqa_cpu_back_add(struct gqa_device *device, void *x,
                                 const void *y, uint64_t n)
{
    return run(device, &(struct span){.dst = x, .src = y, .n = n}, add_part);
}
