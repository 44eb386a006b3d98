/*
 * usage: bench_prefill MODEL LENGTH [SEQUENCES [THREADS]]
 *
 * Prefill of a text model on the CPU in float32, as a share of the rate of
 * OpenBLAS's own sgemm of the model's largest product, turn by turn in one
 * process. Of five turns the best of each counts.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "formats/checkpoint.h"
#include "runtime/runtime.h"
#include "runtime/weights.h"

enum { TURNS = 5 };

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "bench_prefill: %s\n", gqa_error_message());
    exit(2);
}

/* --- Arithmetic of one row ------------------------------------------------ */

static double elements(const struct gqa_model *m, size_t weight)
{
    return weight == GQA_NO_PARAM ? 0 : (double)m->params[weight].n_elements;
}

static double product_flops(const struct gqa_network *n)
{
    const struct gqa_network_stack *s = &n->stacks[n->n_stacks - 1];
    double sum = 0;

    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct gqa_block *b = &s->blocks[i];

        sum += elements(n->model, b->self.q.weight);
        if (b->self.k.weight != b->self.q.weight)
            sum += elements(n->model, b->self.k.weight) +
                   elements(n->model, b->self.v.weight);
        sum += elements(n->model, b->self.o.weight);
        sum += elements(n->model, b->ff.gate.weight);
        sum += elements(n->model, b->ff.up.weight);
        sum += elements(n->model, b->ff.down.weight);
    }
    return 2 * sum;
}

/* Scores and their products with values, on average over a sequence. */
static double attention_flops(const struct gqa_network *n, double length)
{
    const struct gqa_network_stack *s = &n->stacks[n->n_stacks - 1];
    double sum = 0;

    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct gqa_attention *a = s->blocks[i].self.heads;

        sum += 4 * (double)(a->n_heads * a->head_dim) * (length + 1) / 2;
    }
    return sum;
}

/* --- Turns ---------------------------------------------------------------- */

struct sgemm {
    int rows, in, out;
    float *x, *w, *y;
};

static float *fill(size_t n)
{
    float *x = malloc(n * sizeof *x);

    if (!x)
        exit(2);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i % 17) * 0.01f;
    return x;
}

/* On as many threads of OpenBLAS's own. */
static double sgemm_rate(const struct sgemm *s, unsigned threads)
{
    const double flops = 2.0 * s->rows * s->in * s->out;
    const int times = (int)(2e10 / flops) + 1;
    double begin;

    openblas_set_num_threads((int)threads);
    begin = gqa_clock_s();
    for (int i = 0; i < times; i++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, s->rows, s->out,
                    s->in, 1, s->x, s->in, s->w, s->in, 0, s->y, s->out);
    begin = gqa_clock_s() - begin;
    openblas_set_num_threads(1); /* as the backend has it */
    return flops * times / begin;
}

int main(int argc, char **argv)
{
    static const struct gqa_checkpoint_options as_it_is;
    const uint64_t length = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    const uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    const unsigned threads =
        argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2;
    const struct gqa_backend *backend = gqa_cpu_backend();
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;
    struct gqa_network *network = NULL;
    struct gqa_device *device = NULL;
    struct gqa_runtime *runtime = NULL;
    struct gqa_session *session = NULL;
    double best = 0, best_sgemm = 0, flops;
    uint64_t *lengths;
    int32_t *tokens;

    if (length == 0 || n == 0) {
        fputs("usage: bench_prefill MODEL LENGTH [SEQUENCES [THREADS]]\n",
              stderr);
        return 2;
    }
    must(gqa_checkpoint_open(&checkpoint, argv[1], &as_it_is));
    must(gqa_model_create(&model, checkpoint, NULL));
    must(gqa_network_create(&network, model));
    must(backend->open(&device, &(struct gqa_device_options){
                                    .real = GQA_F32, .n_threads = threads}));
    struct gqa_checkpoint_weights weights = {checkpoint, model};
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&weights);
    must(gqa_runtime_create(&runtime, network, backend, device, &source));
    must(gqa_session_create(&session, runtime, n, length, 0));

    tokens = calloc(n * length, sizeof *tokens);
    lengths = calloc(n, sizeof *lengths);
    if (!tokens || !lengths)
        return 2;
    for (uint64_t i = 0; i < n * length; i++)
        tokens[i] = (int32_t)(i * 7919 % network->vocab_size);
    for (uint64_t i = 0; i < n; i++)
        lengths[i] = length;
    flops = (double)(n * length) *
            (product_flops(network) + attention_flops(network, (double)length));

    const struct gqa_linear *up = &network->stacks[0].blocks[0].ff.up;
    struct sgemm sgemm = {
        .rows = (int)(n * length < 2048 ? n * length : 2048),
        .in = (int)network->d_model,
        .out = (int)(model->params[up->weight].n_elements / network->d_model)};
    sgemm.x = fill((size_t)sgemm.rows * (size_t)sgemm.in);
    sgemm.w = fill((size_t)sgemm.out * (size_t)sgemm.in);
    sgemm.y = fill((size_t)sgemm.rows * (size_t)sgemm.out);

    for (int i = 0; i < TURNS; i++) {
        const double rate = sgemm_rate(&sgemm, threads);
        const double begin = gqa_clock_s();
        double prefill;

        gqa_session_reset(session);
        must(gqa_session_decode(session, tokens, length, lengths, NULL));
        prefill = flops / (gqa_clock_s() - begin);
        if (rate > best_sgemm)
            best_sgemm = rate;
        if (prefill > best)
            best = prefill;
    }
    printf("sgemm %d x %d x %d: %.1f GFLOP/s\n", sgemm.rows, sgemm.out,
           sgemm.in, best_sgemm * 1e-9);
    printf("prefill of %llu x %llu: %.1f GFLOP/s, %.0f tokens/s, %.2f of "
           "sgemm; products are %.2f of the arithmetic\n",
           (unsigned long long)n, (unsigned long long)length, best * 1e-9,
           best / flops * (double)(n * length), best / best_sgemm,
           (double)(n * length) * product_flops(network) / flops);
    gqa_session_free(session);
    gqa_runtime_free(runtime);
    backend->close(device);
    gqa_network_free(network);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
    free(tokens);
    free(lengths);
    free(sgemm.x);
    free(sgemm.w);
    free(sgemm.y);
    return 0;
}
