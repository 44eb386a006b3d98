/*
 * usage: bench_draw MODEL cpu|cuda F32|BF16|F16 N LENGTH [TOP_K]
 *
 * N sequences of LENGTH tokens drawn at once, as `gqa-uptrain --data self` does
 * it: tokens a second, and the share of the byte floor. That is the time in
 * which the device copies as many bytes as the steps must read and write, at
 * the rate of a large copy: all weights once a step, the keys and values so far
 * of each sequence, and its new ones, and the logits, written and read. A line
 * a run; the first runs are slower where the device is still choosing kernels.
 * An encoder-decoder is given inputs of LENGTH tokens, which are not timed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/random.h"
#include "formats/checkpoint.h"
#include "runtime/data/drawing.h"
#include "runtime/weights.h"

enum { RUNS = 3, COPIES = 10 };

struct bench {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct gqa_runtime *runtime;
    const struct gqa_network *network;
    struct gqa_token_rules rules;
    uint64_t n, length, top_k;
    uint64_t *keys, *drawn;
    int32_t *ids;
    void *memory; /* of the device */
};

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "bench_draw: %s\n", gqa_error_message());
    exit(st == GQA_ERR_UNSUPPORTED ? 77 : 2);
}

static void *room(uint64_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        must(gqa_fail_nomem());
    return p;
}

/* Wait for the device. */
static void settle(const struct bench *b, const void *memory)
{
    char last[4];

    must(b->backend->download(b->device, last, memory, sizeof last));
}

/* Bytes a second that a large copy reads and writes. */
static double copy_rate(const struct bench *b)
{
    const uint64_t n_bytes = (uint64_t)(b->backend->in_place ? 256 : 1024)
                             << 20;
    void *from = NULL, *to = NULL;
    double start, seconds = 0;

    must(b->backend->alloc(b->device, &from, n_bytes));
    must(b->backend->alloc(b->device, &to, n_bytes));
    must(b->backend->zero(b->device, from, n_bytes));
    for (int turn = 0; turn < 2; turn++) { /* the first warms up */
        start = gqa_clock_s();
        for (int i = 0; i < COPIES; i++)
            must(b->backend->copy(b->device, to, from, n_bytes));
        settle(b, to);
        seconds = gqa_clock_s() - start;
    }
    b->backend->free(b->device, from);
    b->backend->free(b->device, to);
    return 2.0 * COPIES * (double)n_bytes / seconds;
}

/* Bytes of the weights that a step reads: an encoder's are not among them, and
 * of an embedding that is not the logits' a few rows. */
static double weight_bytes(const struct bench *b)
{
    const struct gqa_network *n = b->network;
    const struct gqa_network_stack *decoder = &n->stacks[n->n_stacks - 1];
    const struct gqa_model *model = n->model;
    double bytes = 0;

    for (size_t i = 0; i < decoder->n_blocks; i++) {
        const struct gqa_block *k = &decoder->blocks[i];
        const size_t of[] = {k->self.q.weight,
                             k->self.k.weight,
                             k->self.v.weight,
                             k->self.o.weight,
                             k->has_cross ? k->cross.q.weight : GQA_NO_PARAM,
                             k->has_cross ? k->cross.o.weight : GQA_NO_PARAM,
                             k->ff.up.weight,
                             k->ff.gate.weight,
                             k->ff.down.weight};
        enum { N_OF = sizeof of / sizeof *of };

        for (size_t j = 0; j < N_OF; j++) {
            bool again = of[j] == GQA_NO_PARAM;

            for (size_t m = 0; m < j; m++)
                again = again || of[m] == of[j]; /* fused */
            if (!again)
                bytes += (double)model->params[of[j]].n_elements *
                         gqa_dtype_bits(model->params[of[j]].dtype) / 8;
        }
    }
    return bytes +
           (double)model->params[n->unembedding.weight].n_elements *
               gqa_dtype_bits(model->params[n->unembedding.weight].dtype) / 8;
}

/* Bytes of all steps. */
static double floor_bytes(const struct bench *b)
{
    const double n = (double)b->n, length = (double)b->length;
    uint64_t encoder, decoder;

    gqa_session_token_bytes(b->runtime, &encoder, &decoder);
    return length * weight_bytes(b) +
           /* Of a step those before it are read, and its own written and
            * read. */
           n * (double)decoder * (length * (length + 1) / 2 + length) +
           n * (double)encoder * length * length +
           n * length * 2.0 * (double)b->network->vocab_size * sizeof(float);
}

static void encode(const struct bench *b, struct gqa_session *session)
{
    int32_t *ids = room(b->n * b->length, sizeof *ids);
    uint64_t *lengths = room(b->n, sizeof *lengths);
    int64_t *row = room(b->length, sizeof *row);

    for (uint64_t s = 0; s < b->n; s++) {
        gqa_random_input(row, b->length, &b->rules,
                         gqa_random_key(1, "input", s));
        for (uint64_t i = 0; i < b->length; i++)
            ids[s * b->length + i] = (int32_t)row[i];
        lengths[s] = b->length;
    }
    must(gqa_session_encode(session, ids, b->length, lengths, NULL));
    free(ids);
    free(lengths);
    free(row);
}

/* Seconds of drawing all of them. */
static double run(const struct bench *b)
{
    const struct gqa_draw draw = {
        .op = {.temperature = 1,
               .top_k = b->top_k,
               .never = {b->rules.start_token, b->rules.end_token,
                         b->rules.pad_token, -1}},
        .start = b->rules.start_token,
        .end = -1,
        .keys = b->keys,
        .length = b->length};
    struct gqa_session *session = NULL;
    double start;

    must(gqa_session_create(&session, b->runtime, b->n, b->length, b->length));
    if (b->network->n_stacks > 1)
        encode(b, session);
    settle(b, b->memory);
    start = gqa_clock_s();
    must(gqa_session_draw(session, b->ids, b->drawn, &draw));
    start = gqa_clock_s() - start;
    gqa_session_free(session);
    return start;
}

static void open_device(struct bench *b, const char *backend, const char *dtype)
{
    struct gqa_device_options options = {.real = GQA_F32};

    b->backend = gqa_cpu_backend();
    if (strcmp(backend, "cuda") == 0)
        must(gqa_cuda_backend_load(&b->backend));
    if (!gqa_dtype_parse(dtype, &options.real))
        exit(2);
    must(b->backend->open(&b->device, &options));
}

int main(int argc, char **argv)
{
    static const struct gqa_checkpoint_options as_it_is;
    struct bench b = {.backend = NULL};
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;
    struct gqa_network *network = NULL;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    struct gqa_device_info info;
    double rate, least;

    if (argc < 6 || (b.n = strtoull(argv[4], NULL, 10)) == 0 ||
        (b.length = strtoull(argv[5], NULL, 10)) == 0) {
        fputs("usage: bench_draw MODEL cpu|cuda F32|BF16|F16 N LENGTH "
              "[TOP_K]\n",
              stderr);
        return 2;
    }
    b.top_k = argc > 6 ? strtoull(argv[6], NULL, 10) : 0;
    open_device(&b, argv[2], argv[3]);
    must(gqa_checkpoint_open(&checkpoint, argv[1], &as_it_is));
    must(gqa_model_create(&model, checkpoint, NULL));
    must(gqa_network_create(&network, model));
    b.network = network;
    b.rules = gqa_token_rules_of(network);
    weights = (struct gqa_checkpoint_weights){checkpoint, model};
    source = gqa_checkpoint_weight_source(&weights);
    must(gqa_runtime_create(&b.runtime, network, b.backend, b.device, &source));
    b.keys = room(b.n, sizeof *b.keys);
    b.drawn = room(b.n, sizeof *b.drawn);
    b.ids = room(b.n * b.length, sizeof *b.ids);
    for (uint64_t s = 0; s < b.n; s++)
        b.keys[s] = gqa_random_key(1, "output", s);

    must(b.backend->alloc(b.device, &b.memory, 4));
    must(b.backend->zero(b.device, b.memory, 4));
    must(b.backend->describe(b.device, &info));
    rate = copy_rate(&b);
    least = floor_bytes(&b) / rate;
    printf(
        "%s, %s; copies %.0f GB/s; %llu sequences are drawn at once\n",
        info.name, gqa_dtype_name(info.real), rate * 1e-9,
        (unsigned long long)gqa_session_n_drawn(b.runtime, b.length, b.length));
    for (int i = 0; i < RUNS; i++) {
        const double seconds = run(&b);

        printf("%llu x %llu, top-k %llu: %.3f s, %.0f tokens/s, %.3f ms a "
               "step; floor %.3f s, ratio %.2f\n",
               (unsigned long long)b.n, (unsigned long long)b.length,
               (unsigned long long)b.top_k, seconds,
               (double)(b.n * b.length) / seconds,
               seconds / (double)b.length * 1e3, least, least / seconds);
    }
    b.backend->free(b.device, b.memory);
    gqa_runtime_free(b.runtime);
    b.backend->close(b.device);
    gqa_network_free(network);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
    free(b.keys);
    free(b.drawn);
    free(b.ids);
    return 0;
}
