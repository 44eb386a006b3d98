/*
 * usage: noise [OPTION VALUE]...
 *
 * What the runtime checks of gqa-verify find in right runs and in wrong ones:
 * a Llama of random weights is run as it should be, then with one fault after
 * another planted in the runtime, token by token and all at once. For each the
 * figure is error / limit: a right run has to stay below 1, a wrong one has to
 * pass it where the fault can be seen at all.
 *
 *   --layers N --width D --heads H --kv-heads G --ff F --vocab V
 *   --uneven 1       values as uneven as trained models have them
 *   --dtype f32|bf16|f16
 *   --backend cpu|cuda   bf16 and f16 of the CPU: float32, rounded
 *   --sequences S --length L
 *   --check 1        exit 1 where a right run fails or a wrong one passes
 *                    (those that the type cannot show excepted)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "planted.h"
#include "random_model.h"
#include "runtime/mapped.h"
#include "verify/reference.h"

struct settings {
    struct random_model_shape shape;
    enum gqa_dtype dtype;
    const struct gqa_backend *backend;
    size_t n_sequences;
    uint64_t length;
    bool check;
};

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "noise: %s\n", gqa_error_message());
    exit(2);
}

static void take(struct settings *s, const char *name, const char *value)
{
    const struct {
        const char *name;
        unsigned *out;
    } numbers[] = {
        {"--layers", &s->shape.n_layers}, {"--width", &s->shape.d_model},
        {"--heads", &s->shape.n_heads},   {"--kv-heads", &s->shape.n_kv_heads},
        {"--ff", &s->shape.d_ff},         {"--vocab", &s->shape.vocab_size},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].out = (unsigned)strtoul(value, NULL, 10);
            return;
        }
    if (strcmp(name, "--uneven") == 0)
        s->shape.is_uneven = *value == '1';
    else if (strcmp(name, "--check") == 0)
        s->check = *value == '1';
    else if (strcmp(name, "--sequences") == 0)
        s->n_sequences = strtoul(value, NULL, 10);
    else if (strcmp(name, "--length") == 0)
        s->length = strtoul(value, NULL, 10);
    else if (strcmp(name, "--dtype") == 0)
        s->dtype = *value == 'b'               ? GQA_BF16
                   : strcmp(value, "f16") == 0 ? GQA_F16
                                               : GQA_F32;
    else if (strcmp(name, "--backend") == 0 && *value == 'c' && value[1] == 'u')
        must(gqa_cuda_backend_load(&s->backend));
    else if (strcmp(name, "--backend") != 0) {
        fprintf(stderr, "noise: %s is not known\n", name);
        exit(2);
    }
}

static const char *point_name(char out[32], const struct gqa_runtime_figures *f)
{
    const struct gqa_trace_point point =
        gqa_trace_point(f->trace, f->verdict.point);

    if (point.kind == GQA_POINT_LOGITS)
        snprintf(out, 32, "logits");
    else
        snprintf(out, 32, "layer %zu%s", point.layer,
                 point.kind == GQA_POINT_SELF ? " attention" : "");
    return out;
}

/* Error / limit; infinite where it is not finite. */
static double measure(struct gqa_reference *reference,
                      struct gqa_running *running, bool token_by_token,
                      const char *what)
{
    struct gqa_runtime_figures f;
    const struct gqa_error_verdict *v = &f.verdict;
    char where[32];
    double ratio;

    must(gqa_reference_measure(&f, reference, running, token_by_token));
    ratio = v->n_nonfinite > 0 ? 1.0 / 0.0 : v->error / v->limit;
    printf("  %-16s %-8s %10.3g   error %.2g, plain %.2g, %s %s; logits %.2g, "
           "plain %.2g%s\n",
           what, token_by_token ? "decode" : "prefill", ratio, v->error,
           v->plain, v->kind == GQA_ERROR_MOST ? "max" : "rms",
           point_name(where, &f), gqa_errors_rms(&f.errors[f.n_points - 1]),
           gqa_errors_rms(&f.plain[f.n_points - 1]),
           v->n_told < v->n_seen ? " (some points do not tell)" : "");
    fflush(stdout);
    return ratio;
}

/* Whether a fault is there in this way of running, and larger than what the
 * type rounds away. */
static bool shows(enum planted_fault fault, bool token_by_token,
                  const struct settings *s)
{
    switch (fault) {
    case PLANTED_NONE:
        return false;
    case PLANTED_ROPE:
    case PLANTED_STALE:
        return token_by_token;
    case PLANTED_EPS:
    case PLANTED_TF32:
    case PLANTED_WEIGHT:
    case PLANTED_MASK:
        return s->dtype == GQA_F32;
    default:
        return true;
    }
}

static int try_all(const struct settings *s, const struct random_model *m,
                   struct gqa_reference *reference,
                   const struct gqa_run_options *run)
{
    struct gqa_mapped *expanded = NULL;
    struct gqa_weight_source weights;
    struct gqa_running *running = NULL;
    int wrong = 0;

    must(gqa_running_open(&running, m->model, &m->source, run));
    for (int fault = 0; fault < PLANTED_N; fault++)
        for (int way = 1; way >= 0; way--) {
            double ratio;

            planted_set((enum planted_fault)fault, s->shape.n_layers);
            ratio = measure(reference, running, way, planted_names[fault]);
            if (fault == PLANTED_NONE)
                wrong += !(ratio <= 1);
            else if (shows((enum planted_fault)fault, way, s))
                wrong += !(ratio > 1);
        }
    gqa_running_close(running);
    planted_set(PLANTED_NONE, s->shape.n_layers);
    if (s->shape.n_kv_heads == s->shape.n_heads)
        return wrong;
    must(gqa_expand(&expanded, m->model, &m->source));
    weights = gqa_mapped_weights(expanded);
    must(gqa_running_open(&running, gqa_mapped_model(expanded), &weights, run));
    wrong += !(measure(reference, running, false, "right, expanded") <= 1);
    gqa_running_close(running);
    gqa_mapped_free(expanded);
    return wrong;
}

static void make_tokens(struct gqa_tokens *out, const struct settings *s)
{
    const struct gqa_token_rules rules = {.vocab_size = s->shape.vocab_size,
                                          .start_token = 1,
                                          .end_token = GQA_NO_TOKEN,
                                          .pad_token = GQA_NO_TOKEN};
    int64_t *ids = calloc(s->length, sizeof *ids);

    if (!ids)
        abort();
    for (size_t i = 0; i < s->n_sequences; i++) {
        for (uint64_t j = 0; j < s->length; j++)
            ids[j] = j == 0 ? 1
                            : (int64_t)((i * 7919 + j * 104729 + j * j) %
                                        s->shape.vocab_size);
        must(gqa_tokens_add(out, &rules, ids, s->length, NULL, 0));
    }
    free(ids);
}

int main(int argc, char **argv)
{
    struct settings s = {.shape = {.n_layers = 4,
                                   .d_model = 256,
                                   .head_dim = 32,
                                   .vocab_size = 512},
                         .dtype = GQA_F32,
                         .backend = gqa_cpu_backend(),
                         .n_sequences = 2,
                         .length = 16};
    struct random_model model;
    struct gqa_tokens tokens = {NULL, 0};
    struct gqa_reference *reference = NULL;
    struct gqa_run_options run;
    struct gqa_reference_options options;
    double start;
    int wrong;

    gqa_log_init("noise", GQA_LOG_WARN);
    for (int i = 1; i + 1 < argc; i += 2)
        take(&s, argv[i], argv[i + 1]);
    if (s.shape.d_model >= 1024)
        s.shape.head_dim = 128;
    if (s.shape.n_heads == 0)
        s.shape.n_heads = s.shape.d_model / s.shape.head_dim;
    if (s.shape.n_kv_heads == 0)
        s.shape.n_kv_heads = s.shape.n_heads;
    if (s.shape.d_ff == 0)
        s.shape.d_ff = s.shape.d_model * 11 / 4;
    must(random_model_open(&model, &s.shape));
    make_tokens(&tokens, &s);
    options = (struct gqa_reference_options){
        .run = {.backend = gqa_cpu_backend(), .device = {.real = GQA_F64}},
        .type = s.dtype};
    start = gqa_clock_s();
    must(gqa_reference_begin(&reference, model.model, &model.source, &tokens,
                             &options));
    printf("%s %s: %u layers of %u, %u heads on %u%s, %zu x %llu tokens "
           "(reference %.1f s)\n",
           s.backend->name, gqa_dtype_name(s.dtype), s.shape.n_layers,
           s.shape.d_model, s.shape.n_heads, s.shape.n_kv_heads,
           s.shape.is_uneven ? ", uneven" : "", s.n_sequences,
           (unsigned long long)s.length, gqa_clock_s() - start);
    run = (struct gqa_run_options){
        .backend =
            planted_backend(s.backend, s.backend->in_place ? s.dtype : GQA_F32),
        .device = {.real = s.dtype}};
    wrong = try_all(&s, &model, reference, &run);
    gqa_reference_free(reference);
    gqa_tokens_clear(&tokens);
    random_model_close(&model);
    if (wrong > 0)
        printf("%d verdicts are wrong\n", wrong);
    return s.check && wrong > 0;
}
