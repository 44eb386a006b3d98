/*
 * usage: bench_step MODEL LENGTH [SEQUENCES [THREADS [all|attention]]]
 *
 * A step of distillation on the CPU in float32, as a share of the rate of
 * OpenBLAS's own sgemm of the model's largest product, turn by turn in one
 * process. Of five turns the best of each counts, and of each part of a step.
 * An encoder-decoder is given as long an input.
 */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "formats/checkpoint.h"
#include "runtime/back/masters.h"
#include "runtime/back/tape.h"
#include "runtime/uses.h"
#include "runtime/weights.h"

enum { TURNS = 5, HEAD_ROWS = 1024 };

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "bench_step: %s\n", gqa_error_message());
    exit(2);
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p)
        exit(2);
    return p;
}

/* --- Arithmetic ----------------------------------------------------------- */

/* Of a step: products, and attention; of each going forth (twice, with the
 * teacher's) and back. */
struct work {
    double forth, back;
};

struct setting {
    const struct gqa_network *network;
    const bool *trained;
    double n, length, encoder_length;
};

static void add_product(struct work *w, const struct setting *s, double rows,
                        const struct gqa_linear *l)
{
    double flops;

    if (l->weight == GQA_NO_PARAM)
        return;
    flops = 2 * rows * (double)s->network->model->params[l->weight].n_elements;
    w->forth += 2 * flops;
    w->back += s->trained[l->weight] ? 2 * flops : flops;
}

static void add_attention(struct work *w, const struct setting *s, double rows,
                          double key_rows, const struct gqa_attention_block *a)
{
    const double keys = key_rows / s->n;
    const double flops = 4 * rows *
                         (double)(a->heads->n_heads * a->heads->head_dim) *
                         (a->causal ? (keys + 1) / 2 : keys);

    add_product(w, s, rows, &a->q);
    if (a->k.weight != a->q.weight)
        add_product(w, s, key_rows, &a->k);
    if (a->v.weight != a->k.weight)
        add_product(w, s, key_rows, &a->v);
    add_product(w, s, rows, &a->o);
    w->forth += 2 * flops;
    w->back += 2.5 * flops; /* scores are made again */
}

static struct work work_of(const struct setting *s)
{
    struct work w = {0, 0};

    for (size_t i = 0; i < s->network->n_stacks; i++) {
        const struct gqa_network_stack *stack = &s->network->stacks[i];
        const double rows =
            s->n *
            (stack->stack == GQA_STACK_ENCODER ? s->encoder_length : s->length);

        for (size_t j = 0; j < stack->n_blocks; j++) {
            const struct gqa_block *b = &stack->blocks[j];

            add_attention(&w, s, rows, rows, &b->self);
            if (b->has_cross)
                add_attention(&w, s, rows, s->n * s->encoder_length, &b->cross);
            add_product(&w, s, rows, &b->ff.gate);
            add_product(&w, s, rows, &b->ff.up);
            add_product(&w, s, rows, &b->ff.down);
        }
    }
    add_product(&w, s, s->n * s->length, &s->network->unembedding);
    return w;
}

/* --- sgemm ---------------------------------------------------------------- */

struct sgemm {
    int rows, in, out;
    float *x, *w, *y;
};

static float *fill(size_t n)
{
    float *x = room(n, sizeof *x);

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

/* --- Steps ---------------------------------------------------------------- */

enum part { TEACHER, STUDENT, LOSS, BACK, STEP, N_PARTS };

static const char *const part_names[N_PARTS] = {"teacher", "student", "loss",
                                                "back", "step"};

struct bench {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct gqa_network *network;
    bool *trained;
    struct gqa_masters *masters;
    struct gqa_tape *teacher, *student;
    struct gqa_tape_batch batch;
    float *logits[3]; /* the teacher's, the student's, and their gradient */
    double *weights;
    float **moments[2]; /* by parameter */
    uint64_t step;
    double best[N_PARTS], loss;
};

static void choose(struct bench *b, bool all)
{
    const size_t n = b->network->model->n_params;
    enum gqa_use *uses = room(n, sizeof *uses);

    b->trained = room(n, sizeof *b->trained);
    if (all)
        gqa_use_all(uses, b->network);
    for (size_t i = 0; i < b->network->n_stacks && !all; i++)
        for (size_t j = 0; j < b->network->stacks[i].n_blocks; j++) {
            const struct gqa_block *block = &b->network->stacks[i].blocks[j];

            gqa_use_attention(uses, &block->self);
            if (block->has_cross)
                gqa_use_attention(uses, &block->cross);
        }
    for (size_t i = 0; i < n; i++)
        b->trained[i] = gqa_use_is_trainable(uses[i]);
    free(uses);
}

/* A student that is not its teacher. */
static void disturb(struct bench *b)
{
    const struct gqa_model *model = b->network->model;

    for (int k = 0; k < 2; k++)
        b->moments[k] = room(model->n_params, sizeof *b->moments[k]);
    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_master *m = gqa_masters_of(b->masters, i);

        if (!m)
            continue;
        for (uint64_t j = 0; j < m->n; j++)
            ((float *)m->weights)[j] *= 1 + 0.1f * sinf((float)j);
        for (int k = 0; k < 2; k++)
            b->moments[k][i] = room((size_t)m->n, sizeof **b->moments[k]);
    }
    must(gqa_masters_settle(b->masters));
}

/* Seconds since *at, which becomes now, where they are the best yet. */
static void note(struct bench *b, enum part part, double *at, double *all)
{
    const double now = gqa_clock_s();

    if (b->best[part] == 0 || now - *at < b->best[part])
        b->best[part] = now - *at;
    *all += now - *at;
    *at = now;
}

static void lose(struct bench *b)
{
    const uint64_t n_rows = gqa_tape_n_rows(b->student);
    double sums[4] = {0};

    for (uint64_t row = 0; row < n_rows; row += HEAD_ROWS) {
        const uint64_t n = n_rows - row < HEAD_ROWS ? n_rows - row : HEAD_ROWS;

        must(gqa_tape_logits(b->teacher, row, n, b->logits[0]));
        must(gqa_tape_logits(b->student, row, n, b->logits[1]));
        must(b->backend->gradients->loss(
            b->device,
            &(struct gqa_loss_op){.student = b->logits[1],
                                  .teacher = b->logits[0],
                                  .n_rows = n,
                                  .vocab_size = b->network->vocab_size,
                                  .weights = b->weights,
                                  .kl = 1,
                                  .temperature = 1,
                                  .soft_cap = b->network->logit_soft_cap,
                                  .factor = b->network->logit_scale,
                                  .d_logits = b->logits[2],
                                  .sums = sums}));
        must(gqa_tape_logits_back(b->student, row, n, b->logits[2]));
    }
    b->loss = sums[3];
}

static void walk(struct bench *b)
{
    const struct gqa_gradient_ops *ops = b->backend->gradients;
    double square = 0;

    b->step++;
    for (size_t i = 0; i < b->network->model->n_params; i++)
        if (b->trained[i])
            must(ops->norm2(b->device, &square,
                            gqa_tape_gradient(b->student, i),
                            gqa_masters_of(b->masters, i)->n));
    for (size_t i = 0; i < b->network->model->n_params; i++) {
        const struct gqa_master *m = gqa_masters_of(b->masters, i);
        const struct gqa_adamw_op op = {
            .weights = m ? m->weights : NULL,
            .mean = b->moments[0][i],
            .square = b->moments[1][i],
            .gradients = gqa_tape_gradient(b->student, i),
            .n = m ? m->n : 0,
            .gradient_scale = 1 / fmax(1, sqrt(square)),
            .rate = 1e-4,
            .beta1 = 0.9,
            .beta2 = 0.95,
            .eps = 1e-8,
            .step = b->step,
        };

        if (m)
            must(ops->adamw(b->device, &op));
    }
    must(gqa_masters_settle(b->masters));
}

/* Returns its seconds. */
static double step(struct bench *b)
{
    double at = gqa_clock_s(), all = 0;

    must(gqa_tape_forward(b->teacher, &b->batch));
    note(b, TEACHER, &at, &all);
    must(gqa_tape_zero(b->student));
    must(gqa_tape_forward(b->student, &b->batch));
    note(b, STUDENT, &at, &all);
    lose(b);
    note(b, LOSS, &at, &all);
    must(gqa_tape_back(b->student));
    note(b, BACK, &at, &all);
    walk(b);
    note(b, STEP, &at, &all);
    return all;
}

static void make_batch(struct bench *b, uint64_t n, uint64_t length)
{
    int32_t *tokens = room(n * length, sizeof *tokens);
    uint64_t *lengths = room(n, sizeof *lengths);

    for (uint64_t i = 0; i < n * length; i++)
        tokens[i] = (int32_t)(i * 7919 % b->network->vocab_size);
    for (uint64_t i = 0; i < n; i++)
        lengths[i] = length;
    b->weights = room(HEAD_ROWS, sizeof *b->weights);
    for (int i = 0; i < HEAD_ROWS; i++)
        b->weights[i] = 1 / (double)(n * length);
    for (int i = 0; i < 3; i++)
        b->logits[i] =
            room(HEAD_ROWS * b->network->vocab_size, sizeof **b->logits);
    b->batch = (struct gqa_tape_batch){n,      tokens, length, lengths,
                                       tokens, length, lengths};
}

int main(int argc, char **argv)
{
    static const struct gqa_checkpoint_options as_it_is;
    const uint64_t length = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    const uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    const unsigned threads =
        argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2;
    struct bench b = {.backend = gqa_cpu_backend()};
    struct gqa_tape_options options = {
        .n_sequences = n, .length = length, .encoder_length = length};
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;
    struct gqa_runtime *teacher = NULL, *student = NULL;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    double best = 0, best_sgemm = 0;
    struct setting setting;
    struct work work;
    size_t *same;

    if (length == 0 || n == 0) {
        fputs("usage: bench_step MODEL LENGTH [SEQUENCES [THREADS "
              "[all|attention]]]\n",
              stderr);
        return 2;
    }
    must(gqa_checkpoint_open(&checkpoint, argv[1], &as_it_is));
    must(gqa_model_create(&model, checkpoint, NULL));
    must(gqa_network_create(&b.network, model));
    must(b.backend->open(
        &b.device,
        &(struct gqa_device_options){.real = GQA_F32, .n_threads = threads}));
    weights = (struct gqa_checkpoint_weights){checkpoint, model};
    source = gqa_checkpoint_weight_source(&weights);
    must(gqa_runtime_create(&teacher, b.network, b.backend, b.device, &source));
    same = room(model->n_params, sizeof *same);
    for (size_t i = 0; i < model->n_params; i++)
        same[i] = i;
    must(gqa_runtime_create_sharing(&student, b.network, b.device, &source,
                                    teacher, same));
    choose(&b, argc > 5 && strcmp(argv[5], "all") == 0);
    must(gqa_masters_create(&b.masters, student, b.trained));
    disturb(&b);
    must(gqa_tape_create(&b.teacher, teacher, &options));
    options.trained = b.trained;
    options.keep_bytes = UINT64_MAX;
    must(gqa_tape_create(&b.student, student, &options));
    make_batch(&b, n, length);
    setting = (struct setting){b.network, b.trained, (double)n, (double)length,
                               (double)length};
    work = work_of(&setting);

    const struct gqa_linear *up = &b.network->stacks[0].blocks[0].ff.up;
    struct sgemm sgemm = {.rows = (int)(n * length < 2048 ? n * length : 2048),
                          .in = (int)b.network->d_model,
                          .out = (int)(model->params[up->weight].n_elements /
                                       b.network->d_model)};
    sgemm.x = fill((size_t)sgemm.rows * (size_t)sgemm.in);
    sgemm.w = fill((size_t)sgemm.out * (size_t)sgemm.in);
    sgemm.y = fill((size_t)sgemm.rows * (size_t)sgemm.out);

    for (int i = 0; i < TURNS; i++) {
        const double rate = sgemm_rate(&sgemm, threads);
        const double seconds = step(&b);

        best_sgemm = fmax(best_sgemm, rate);
        if (best == 0 || seconds < best)
            best = seconds;
    }
    printf("sgemm %d x %d x %d: %.1f GFLOP/s\n", sgemm.rows, sgemm.out,
           sgemm.in, best_sgemm * 1e-9);
    for (int i = 0; i < N_PARTS; i++)
        printf("%-8s %8.3f s\n", part_names[i], b.best[i]);
    printf("step of %llu x %llu: %.3f s, %.0f tokens/s, %.1f GFLOP/s, %.2f of "
           "sgemm; forth %.2f of sgemm, back %.2f; loss %g\n",
           (unsigned long long)n, (unsigned long long)length, best,
           (double)(n * length) / best, (work.forth + work.back) / best * 1e-9,
           (work.forth + work.back) / best / best_sgemm,
           work.forth / (b.best[TEACHER] + b.best[STUDENT]) / best_sgemm,
           work.back / (b.best[BACK] + b.best[LOSS]) / best_sgemm, b.loss);
    return 0;
}
