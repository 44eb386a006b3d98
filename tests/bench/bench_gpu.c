/*
 * usage: bench_gpu [F32|BF16|F16 [SEQUENCES TOKENS BEFORE]]
 *
 * A layer of the shape of Llama-2-7B, grouped by 4, on a GPU: the time of
 * each kind of operation and its share, and the rate of the products beside
 * that of one large product (8192 cubed). TOKENS new tokens a sequence,
 * behind BEFORE. Then the moments of a projection's input, of which half a
 * product is counted. Medians of 9 runs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "runtime/backend.h"

enum { RUNS = 9, REPEATS = 4 };
enum { WIDTH = 4096, HEADS = 32, KV_HEADS = 8, HEAD = 128, HIDDEN = 11008 };

static const struct gqa_backend *backend;
static struct gqa_device *device;
static enum gqa_dtype real = GQA_BF16;
static uint64_t n_sequences = 4, n_new = 1024, before = 0;

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "bench_gpu: %s\n", gqa_error_message());
    exit(st == GQA_ERR_UNSUPPORTED ? 77 : 2);
}

/* n elements, not zeros: those would run faster than real data. */
static void *elements(uint64_t n, enum gqa_dtype dtype)
{
    enum { PIECE = 1 << 20 };
    static double values[PIECE];
    static char packed[PIECE * sizeof(double)];
    const uint64_t size = gqa_dtype_bits(dtype) / 8;
    void *memory = NULL;

    for (unsigned i = 0; i < PIECE; i++)
        values[i] = (double)rand() / RAND_MAX - 0.5;
    gqa_store_f64(packed, dtype, values, PIECE);
    must(backend->alloc(device, &memory, n * size));
    for (uint64_t i = 0; i < n; i += PIECE)
        must(backend->upload(device, (char *)memory + i * size, packed,
                             (n - i < PIECE ? n - i : PIECE) * size));
    return memory;
}

struct layer {
    void *x, *normed, *q, *k, *v, *attended, *gate, *up, *key_cache,
        *value_cache, *angles;
    struct gqa_weight norm, wq, wk, wv, wo, wgate, wup, wdown;
    uint64_t n_rows, capacity;
};

static struct gqa_weight weight(uint64_t rows, uint64_t cols)
{
    return (struct gqa_weight){elements(rows * cols, real), real, rows, cols};
}

static void make(struct layer *l)
{
    const uint64_t n = n_sequences * n_new;
    int32_t *tokens = calloc(n, sizeof *tokens);
    uint64_t *counts = calloc(2 * n_sequences, sizeof *counts);

    l->n_rows = n;
    l->capacity = before + n_new;
    l->x = elements(n * WIDTH, real);
    l->normed = elements(n * WIDTH, real);
    l->q = elements(n * HEADS * HEAD, real);
    l->k = elements(n * KV_HEADS * HEAD, real);
    l->v = elements(n * KV_HEADS * HEAD, real);
    l->attended = elements(n * HEADS * HEAD, real);
    l->gate = elements(n * HIDDEN, real);
    l->up = elements(n * HIDDEN, real);
    l->key_cache = elements(n_sequences * KV_HEADS * l->capacity * HEAD, real);
    l->value_cache =
        elements(n_sequences * KV_HEADS * l->capacity * HEAD, real);
    l->angles = elements(l->capacity * HEAD, GQA_F32);
    l->norm = weight(WIDTH, 1);
    l->wq = weight(HEADS * HEAD, WIDTH);
    l->wk = weight(KV_HEADS * HEAD, WIDTH);
    l->wv = weight(KV_HEADS * HEAD, WIDTH);
    l->wo = weight(WIDTH, HEADS * HEAD);
    l->wgate = weight(HIDDEN, WIDTH);
    l->wup = weight(HIDDEN, WIDTH);
    l->wdown = weight(WIDTH, HIDDEN);
    if (!tokens || !counts)
        must(gqa_fail_nomem());
    for (uint64_t s = 0; s < n_sequences; s++) {
        counts[s] = n_new;
        counts[n_sequences + s] = before;
    }
    must(backend->set_batch(device,
                            &(struct gqa_batch){n_sequences, n_new, tokens,
                                                counts, counts + n_sequences}));
    free(tokens);
    free(counts);
}

static void linear(const struct layer *l, void *out, const void *x,
                   const struct gqa_weight *w, bool accumulate)
{
    must(backend->linear(device, out, x, l->n_rows, w, false, NULL,
                         accumulate ? out : NULL));
}

static void products(const struct layer *l)
{
    linear(l, l->q, l->normed, &l->wq, false);
    linear(l, l->k, l->normed, &l->wk, false);
    linear(l, l->v, l->normed, &l->wv, false);
    linear(l, l->x, l->attended, &l->wo, true);
    linear(l, l->up, l->normed, &l->wup, false);
    linear(l, l->gate, l->normed, &l->wgate, false);
    linear(l, l->x, l->gate, &l->wdown, true);
}

static const struct gqa_head_place q_place = {HEADS, 0, HEADS, 0};
static const struct gqa_head_place k_place = {KV_HEADS, 0, KV_HEADS, 0};

static void attention(const struct layer *l)
{
    must(backend->attend(device,
                         &(struct gqa_attention_op){.out = l->attended,
                                                    .q = l->q,
                                                    .q_width = HEADS * HEAD,
                                                    .q_place = q_place,
                                                    .k = l->key_cache,
                                                    .v = l->value_cache,
                                                    .n_kv_heads = KV_HEADS,
                                                    .head_dim = HEAD,
                                                    .capacity = l->capacity,
                                                    .scale = 0.088,
                                                    .causal = true}));
}

static void norms(const struct layer *l)
{
    const struct gqa_norm_op op = {
        .kind = GQA_NORM_RMS, .eps = 1e-5, .weight = &l->norm};

    for (unsigned i = 0; i < 2; i++)
        must(backend->norm(device, l->normed, l->x, l->n_rows, l->norm.rows,
                           &op, false));
}

static void rotations(const struct layer *l)
{
    must(backend->rotate(device, l->q, HEADS * HEAD, &q_place, HEAD, HEAD / 2,
                         false, l->angles));
    must(backend->rotate(device, l->k, KV_HEADS * HEAD, &k_place, HEAD,
                         HEAD / 2, false, l->angles));
}

static void stores(const struct layer *l)
{
    must(backend->store(device, l->key_cache, l->capacity, l->k,
                        KV_HEADS * HEAD, &k_place, HEAD));
    must(backend->store(device, l->value_cache, l->capacity, l->v,
                        KV_HEADS * HEAD, &k_place, HEAD));
}

static void activations(const struct layer *l)
{
    must(backend->activate(device, l->gate, l->gate, l->up, l->n_rows * HIDDEN,
                           GQA_ACTIVATION_SILU));
}

static struct gqa_weight cube;
static void *cube_x, *cube_out;

static void large_product(const struct layer *l)
{
    (void)l;
    must(backend->linear(device, cube_out, cube_x, 8192, &cube, false, NULL,
                         NULL));
}

static void *sums;

static void moments(const struct layer *l)
{
    must(backend->gram(device, sums, l->normed, WIDTH, NULL, WIDTH, l->n_rows));
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Seconds of one call: REPEATS at a time, so that the host's part of a
 * call's time is hidden but for the first. */
static double measure(const struct layer *l, void (*part)(const struct layer *))
{
    double times[RUNS];
    char last[4];

    part(l);
    for (unsigned i = 0; i < RUNS; i++) {
        double start;

        must(backend->download(device, last, l->x, sizeof last));
        start = gqa_clock_s();
        for (unsigned j = 0; j < REPEATS; j++)
            part(l);
        must(backend->download(device, last, l->x, sizeof last));
        times[i] = (gqa_clock_s() - start) / REPEATS;
    }
    qsort(times, RUNS, sizeof *times, by_size);
    return times[RUNS / 2];
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const struct layer *);
    } parts[] = {
        {"products", products}, {"attention", attention},
        {"norms", norms},       {"rotation", rotations},
        {"KV cache", stores},   {"activation", activations},
    };
    enum { N_PARTS = sizeof parts / sizeof *parts };
    double seconds[N_PARTS], sum = 0, peak, rate, of_moments;
    struct gqa_device_info info;
    struct layer layer;

    if (argc > 1 && !gqa_dtype_parse(argv[1], &real))
        return 2;
    if (argc > 4) {
        n_sequences = strtoull(argv[2], NULL, 10);
        n_new = strtoull(argv[3], NULL, 10);
        before = strtoull(argv[4], NULL, 10);
    }
    must(gqa_cuda_backend_load(&backend));
    must(backend->open(&device, &(struct gqa_device_options){.real = real}));
    must(backend->describe(device, &info));
    make(&layer);
    cube = weight(8192, 8192);
    cube_x = elements(8192 * 8192, real);
    cube_out = elements(8192 * 8192, real);
    sums = elements(WIDTH * WIDTH, GQA_F64);
    peak = 2 * 8192.0 * 8192.0 * 8192.0 / measure(&layer, large_product);
    for (unsigned i = 0; i < N_PARTS; i++)
        sum += seconds[i] = measure(&layer, parts[i].run);
    of_moments = measure(&layer, moments);
    rate = 2.0 * (double)layer.n_rows * WIDTH *
           (2 * HEADS * HEAD + 2 * KV_HEADS * HEAD + 3 * HIDDEN) / seconds[0];
    printf("%s, %s; %s, %llu x %llu tokens behind %llu\n", info.name,
           info.software, gqa_dtype_name(real), (unsigned long long)n_sequences,
           (unsigned long long)n_new, (unsigned long long)before);
    for (unsigned i = 0; i < N_PARTS; i++)
        printf("%-12s %9.4f ms %5.1f%%\n", parts[i].name, seconds[i] * 1e3,
               seconds[i] / sum * 100);
    printf("products: %.1f TFLOP/s, %.0f%% of the %.1f of 8192 cubed\n",
           rate * 1e-12, rate / peak * 100, peak * 1e-12);
    printf("moments %d wide: %.4f ms, %.1f TFLOP/s\n", WIDTH, of_moments * 1e3,
           (double)layer.n_rows * WIDTH * WIDTH / of_moments * 1e-12);
    backend->close(device);
    return 0;
}
