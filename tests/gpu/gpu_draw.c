/* Tokens drawn on the GPU: those that the CPU draws from the same logits, and
 * the batches that are made of them. */
#include <math.h>
#include <stdlib.h>

#include "common/random.h"
#include "gpu.h"
#include "twin.h"

/* Ids and keys on either device. */
struct places {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    void *ids, *keys;
};

static struct places places_on(bool cpu, const uint64_t *keys, uint64_t n)
{
    struct places p = {gpu.backend, gpu.device, NULL, NULL};

    if (cpu) {
        p.backend = gqa_cpu_backend();
        p.device = twin_cpu();
    }
    gpu_must(p.backend->alloc(p.device, &p.ids, n * sizeof(int32_t)), "ids");
    gpu_must(p.backend->alloc(p.device, &p.keys, n * sizeof *keys), "keys");
    gpu_must(p.backend->upload(p.device, p.keys, keys, n * sizeof *keys),
             "keys");
    return p;
}

static void places_free(const struct places *p)
{
    p->backend->free(p->device, p->ids);
    p->backend->free(p->device, p->keys);
}

/* Logits from -8 to 8 in steps, so that some are equal. */
static struct array make_logits(uint64_t n)
{
    struct array logits = array_random(n, GQA_F32);

    for (uint64_t i = 0; i < n; i++)
        logits.host[i] = ((double)random_below(513) - 256) / 32;
    array_send(&logits);
    return logits;
}

/* In two parts, the second first. */
static int32_t *draw_all(const struct places *p, const void *logits,
                         uint64_t size, uint64_t n,
                         const struct gqa_draw_op *op)
{
    const uint64_t half = n / 2;
    const char *second = (const char *)logits + half * op->vocab_size * size;
    int32_t *out = must_allocate(n, sizeof *out);

    gpu_must(p->backend->draw(p->device, p->ids, second, p->keys, half,
                              n - half, op),
             "draw");
    gpu_must(p->backend->draw(p->device, p->ids, logits, p->keys, 0, half, op),
             "draw");
    gpu_must(p->backend->download(p->device, out, p->ids, n * sizeof *out),
             "download");
    return out;
}

static void set_batch(uint64_t n, uint64_t without)
{
    int32_t *tokens = must_allocate(n, sizeof *tokens);
    uint64_t *counts = must_allocate(2 * n, sizeof *counts);

    for (uint64_t s = 0; s < n; s++) {
        tokens[s] = 0;
        counts[s] = s != without;
        counts[n + s] = s * 3;
    }
    twin_set_batch(&(struct gqa_batch){n, 1, tokens, counts, counts + n});
    free(tokens);
    free(counts);
}

static uint64_t *make_keys(uint64_t n)
{
    uint64_t *keys = must_allocate(n, sizeof *keys);

    for (uint64_t s = 0; s < n; s++)
        keys[s] = gqa_random_key(11, "test", s);
    return keys;
}

static void check_same(const int32_t *got, const int32_t *want, uint64_t n,
                       const struct gqa_draw_op *op, const char *what)
{
    for (uint64_t s = 0; s < n; s++)
        check_true(
            got[s] == want[s],
            "%s: row %llu of %llu, %llu tokens, temperature %g, top %llu: "
            "%d is not %d",
            what, (unsigned long long)s, (unsigned long long)n,
            (unsigned long long)op->vocab_size, op->temperature,
            (unsigned long long)op->top_k, got[s], want[s]);
}

static void check_draws(uint64_t n, const struct gqa_draw_op *op)
{
    uint64_t *keys = make_keys(n);
    const struct places on_gpu = places_on(false, keys, n);
    const struct places on_cpu = places_on(true, keys, n);
    struct array logits = make_logits(n * op->vocab_size);
    int32_t *got, *want;

    set_batch(n, n / 3);
    got = draw_all(&on_gpu, logits.device, sizeof(float), n, op);
    want = draw_all(&on_cpu, logits.host, sizeof(double), n, op);
    check_same(got, want, n, op, "draw");
    free(got);
    free(want);
    places_free(&on_gpu);
    places_free(&on_cpu);
    array_free(&logits);
    free(keys);
}

static void check_shapes(void)
{
    static const uint64_t vocabs[] = {1,   2,   5,    31,    32,    33,
                                      256, 384, 1000, 32000, 50257, 128256};

    for (unsigned i = 0; i < sizeof vocabs / sizeof *vocabs; i++) {
        const uint64_t vocab = vocabs[i];
        struct gqa_draw_op op = {
            .vocab_size = vocab, .temperature = 1, .never = {-1, -1, -1, -1}};

        if (gpu.small && vocab > 1000)
            break;
        check_draws(37, &op);
        op.temperature = 0.3;
        op.never[0] = 0;
        op.never[2] = (int32_t)vocab - 1;
        check_draws(5, &op);
        for (uint64_t k = 1; k <= vocab + 1; k *= 7) {
            op.top_k = k;
            check_draws(9, &op);
        }
        op.top_k = UINT64_MAX;
        check_draws(2, &op);
    }
    if (!gpu.small)
        check_draws(700, &(struct gqa_draw_op){.vocab_size = 384,
                                               .temperature = 1.5,
                                               .top_k = 40,
                                               .never = {0, 1, 2, -1}});
}

/* Of a token that may not be drawn too; in the first and the last run of a
 * row. */
static void check_not_finite(void)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    enum { N = 12, VOCAB = 777 };
    const struct gqa_draw_op op = {.vocab_size = VOCAB,
                                   .temperature = 1,
                                   .top_k = 5,
                                   .never = {-1, 776, 0, -1}};
    uint64_t *keys = make_keys(N);
    const struct places on_gpu = places_on(false, keys, N);
    struct array logits = make_logits((uint64_t)N * VOCAB);
    int32_t *got;

    for (unsigned i = 0; i < 3; i++) {
        logits.host[(2 + i) * VOCAB + 776] = bad[i];
        logits.host[(6 + i) * VOCAB + i] = bad[i];
    }
    array_send(&logits);
    set_batch(N, N);
    got = draw_all(&on_gpu, logits.device, sizeof(float), N, &op);
    for (int s = 0; s < N; s++) {
        const bool is_bad = (s >= 2 && s < 5) || (s >= 6 && s < 9);

        check_true((got[s] == -1) == is_bad, "row %d draws %d", s, got[s]);
    }
    free(got);
    places_free(&on_gpu);
    array_free(&logits);
    free(keys);
}

/* --- Batches -------------------------------------------------------------- */

enum { SEQUENCES = 6, CAPACITY = 128, HEAD = 64, END = 4, TABLE = 8 };

static const uint64_t starts[SEQUENCES] = {0, 3, 7, 63, 64, 100};
static const int32_t first[SEQUENCES] = {5, END, 7, -1, 3, 0};
static const int32_t second[SEQUENCES] = {1, 2, END, 2, 6, 3};

/* What the batch feeds: the row of a table that tells tokens. */
static void check_fed(const int32_t *tokens)
{
    struct array table = array_random((size_t)TABLE * HEAD, gpu.real);
    struct array out = array_nan((size_t)SEQUENCES * HEAD, gpu.real);
    const struct gqa_weight weight = array_weight(&table, TABLE, HEAD);
    double *want = must_allocate((size_t)SEQUENCES * HEAD, sizeof *want);

    gpu_must(gpu.backend->embed(gpu.device, out.device, &weight, 1, NULL),
             "embed");
    for (int s = 0; s < SEQUENCES; s++)
        for (int i = 0; i < HEAD; i++)
            want[s * HEAD + i] =
                table.host[(tokens[s] < 0 ? 0 : tokens[s]) * HEAD + i];
    check_array(&out, want, (size_t)SEQUENCES * HEAD, 0, "tokens that follow");
    array_free(&table);
    array_free(&out);
    free(want);
}

/* Each sees n[s] keys: all weigh the same, and the mean of their numbers tells
 * how many they are. */
static void check_seen(const uint64_t *n)
{
    const size_t cache = (size_t)SEQUENCES * CAPACITY * HEAD;
    struct array q = array_random((size_t)SEQUENCES * HEAD, gpu.real);
    struct array k = array_random(cache, gpu.real);
    struct array v = array_random(cache, gpu.real);
    struct array out = array_nan((size_t)SEQUENCES * HEAD, gpu.real);
    double *got;

    for (size_t i = 0; i < cache; i++) {
        k.host[i] = 0;
        v.host[i] = (double)(i / HEAD % CAPACITY);
    }
    array_send(&k);
    array_send(&v);
    gpu_must(gpu.backend->attend(
                 gpu.device, &(struct gqa_attention_op){.out = out.device,
                                                        .q = q.device,
                                                        .q_width = HEAD,
                                                        .q_place = {1, 0, 1, 0},
                                                        .k = k.device,
                                                        .v = v.device,
                                                        .n_kv_heads = 1,
                                                        .head_dim = HEAD,
                                                        .capacity = CAPACITY,
                                                        .scale = 1,
                                                        .causal = true}),
             "attend");
    got = array_read(&out, (size_t)SEQUENCES * HEAD);
    for (int s = 0; s < SEQUENCES; s++)
        check_true(n[s] == 0 ||
                       fabs(got[s * HEAD + 9] - ((double)n[s] - 1) / 2) < 0.26,
                   "sequence %d sees keys of mean %g, not %llu", s,
                   got[s * HEAD + 9], (unsigned long long)n[s]);
    free(got);
    array_free(&q);
    array_free(&k);
    array_free(&v);
    array_free(&out);
}

/* Which draw, and by the numbers of which positions. */
static void check_drawn(const struct places *p, const uint64_t *keys,
                        const bool *goes_on, const uint64_t *seen)
{
    const struct gqa_draw_op op = {
        .vocab_size = 64, .temperature = 1, .never = {-1, -1, -1, -1}};
    struct array logits = array_nan((size_t)SEQUENCES * 64, GQA_F32);
    int32_t *got;

    for (size_t i = 0; i < (size_t)SEQUENCES * 64; i++)
        logits.host[i] = 0;
    array_send(&logits);
    got = draw_all(p, logits.device, sizeof(float), SEQUENCES, &op);
    for (int s = 0; s < SEQUENCES; s++) {
        const double number = gqa_random_uniform(keys[s], seen[s] + 1);

        check_true(got[s] == (goes_on[s] ? (int32_t)(64 * number) : 0),
                   "sequence %d draws %d by %g", s, got[s], number);
    }
    free(got);
    array_free(&logits);
}

static void follow(const struct places *p, const int32_t *tokens)
{
    gpu_must(gpu.backend->upload(gpu.device, p->ids, tokens,
                                 SEQUENCES * sizeof *tokens),
             "tokens");
    gpu_must(gpu.backend->follow(gpu.device, p->ids, END), "follow");
}

static void check_follow(void)
{
    const int32_t zeros[SEQUENCES] = {0};
    uint64_t *keys = make_keys(SEQUENCES);
    const struct places p = places_on(false, keys, SEQUENCES);
    uint64_t seen[SEQUENCES], n_keys[SEQUENCES], ones[SEQUENCES];
    bool goes_on[SEQUENCES];

    for (int s = 0; s < SEQUENCES; s++)
        ones[s] = 1;
    gpu_must(
        gpu.backend->set_batch(
            gpu.device, &(struct gqa_batch){SEQUENCES, 1, zeros, ones, starts}),
        "batch");
    for (int turn = 0; turn < 2; turn++) {
        const int32_t *tokens = turn == 0 ? first : second;

        follow(&p, tokens);
        for (int s = 0; s < SEQUENCES; s++) {
            const bool before = turn == 0 || (first[s] >= 0 && first[s] != END);

            goes_on[s] = before && tokens[s] >= 0 && tokens[s] != END;
            seen[s] = starts[s] + 1 + (turn == 1 && before);
            n_keys[s] = goes_on[s] ? seen[s] + 1 : 0; /* is not looked at */
        }
        check_fed(tokens);
        check_seen(n_keys);
        check_drawn(&p, keys, goes_on, seen);
    }
    places_free(&p);
    free(keys);
}

static void tests(void)
{
    /* Logits are float32 whatever the activations are. */
    if (gpu.real == GQA_F32) {
        check_shapes();
        check_not_finite();
    }
    check_follow();
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
