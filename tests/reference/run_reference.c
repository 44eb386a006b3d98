/*
 * usage: run_reference [OPTION]... MODEL REFERENCE
 *
 * Run a model over what a reference holds (tests/data/README.md) and compare:
 *
 *   logits   of all sequences in one padded batch, with the reference's
 *   hidden   residual streams likewise, where the reference has them
 *   alone    logits of each sequence by itself, with those of the batch
 *   steps    logits of steps of 1, 2, 3 ... tokens, with those of the batch
 *   greedy   tokens that greedy decoding goes on with
 *
 * Of a model without logits the reference has last_hidden_state in their place,
 * and nothing to go on with; an encoder alone takes no steps.
 *
 *   --backend cpu|cuda   default: cpu
 *   --dtype F64|F32|...  of activations; default: F64
 *   --limit X            relative L2 of the first two; default: 1e-9
 *   --same X             of alone and steps; default: the limit
 *   --family FILE        description of a family that is not built in
 *   --names PREFIX       before "logits" and "greedy"
 *   --prompt N           tokens that whole greedy sequences begin with
 *   --layer-major        all rows through one layer after another, with the
 *                        weights of one at a time, and only this:
 *     logits, hidden     as above
 *     orders             the same, with those of sessions
 *     alone              logits of batches of one sequence, with those
 *
 * Exit status 0 all within the limits, 1 not, 2 trouble, 77 no such device.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint.h"
#include "formats/families/load.h"
#include "runtime/layers.h"
#include "runtime/runtime.h"
#include "runtime/weights.h"
#include "tests/find_tensor.h"

enum { SKIPPED = 77 };

static const char *backend_name = "cpu";
static const char *family_path = NULL;
static const char *prefix = "";
static enum gqa_dtype dtype = GQA_F64;
static double limit = 1e-9;
static double same = 0;
static uint64_t prompt = 64;
static bool layer_major;
static int exit_status = EXIT_SUCCESS;
static const struct gqa_checkpoint_options as_it_is;

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "run_reference: %s\n", gqa_error_message());
    exit(2);
}

static void *allocate(uint64_t n, size_t size)
{
    void *memory = calloc((size_t)(n ? n : 1), size);

    if (!memory)
        must(gqa_fail_nomem());
    return memory;
}

/* --- The reference -------------------------------------------------------- */

struct array {
    uint64_t shape[4];
    unsigned rank;
    int64_t *whole; /* of I64 tensors */
    double *real;   /* of the others */
};

static bool read_array(struct array *out, struct gqa_checkpoint *file,
                       const char *before, const char *name)
{
    char full[256];
    const struct gqa_tensor *t;
    size_t index;
    void *raw;

    memset(out, 0, sizeof *out);
    snprintf(full, sizeof full, "%s%s", before, name);
    if (!find_tensor(file, full, &index))
        return false;
    t = gqa_checkpoint_tensor(file, index);
    out->rank = t->rank;
    for (unsigned i = 0; i < t->rank && i < 4; i++)
        out->shape[i] = t->shape[i];
    raw = allocate(t->n_bytes, 1);
    must(gqa_checkpoint_read(
        file, index, &(struct gqa_span){.piece = t->n_bytes, .count = 1}, raw));
    if (t->dtype == GQA_I64) {
        out->whole = raw;
        return true;
    }
    out->real = allocate(t->n_elements, sizeof(double));
    gqa_load_f64(out->real, raw, t->dtype, (size_t)t->n_elements);
    free(raw);
    return true;
}

static void free_array(struct array *a)
{
    free(a->whole);
    free(a->real);
}

/* Sequences padded on the right. */
struct batch {
    uint64_t n, len;
    int32_t *ids;
    uint64_t *lengths;
};

static void take_batch(struct batch *out, const struct array *ids,
                       const struct array *lengths)
{
    out->n = ids->shape[0];
    out->len = ids->shape[1];
    out->ids = allocate(out->n * out->len, sizeof *out->ids);
    out->lengths = allocate(out->n, sizeof *out->lengths);
    for (uint64_t i = 0; i < out->n * out->len; i++)
        out->ids[i] = (int32_t)ids->whole[i];
    for (uint64_t i = 0; i < out->n; i++)
        out->lengths[i] =
            lengths->whole ? (uint64_t)lengths->whole[i] : out->len;
}

/* The decoder's input from labels: one further right, behind the start. */
static void shift_right(struct array *labels, int64_t start)
{
    const uint64_t len = labels->shape[1];

    for (uint64_t s = 0; s < labels->shape[0]; s++) {
        memmove(labels->whole + s * len + 1, labels->whole + s * len,
                (size_t)(len - 1) * sizeof *labels->whole);
        labels->whole[s * len] = start;
    }
}

struct reference {
    struct batch text, input; /* input: of the encoder, or empty */
    struct array logits, hidden, greedy;
};

static void read_batch(struct batch *out, struct gqa_checkpoint *file,
                       const char *ids_name, const char *lengths_name,
                       int64_t shift)
{
    struct array ids, lengths;

    if (!read_array(&ids, file, "", ids_name) || ids.rank != 2)
        must(gqa_fail(GQA_ERR_FORMAT, "the reference has no %s", ids_name));
    read_array(&lengths, file, "", lengths_name);
    if (shift >= 0)
        shift_right(&ids, shift);
    take_batch(out, &ids, &lengths);
    free_array(&ids);
    free_array(&lengths);
}

static void read_reference(struct reference *out, const char *path,
                           const struct gqa_network *network)
{
    struct gqa_checkpoint *file = NULL;
    size_t index;

    memset(out, 0, sizeof *out);
    must(gqa_checkpoint_open(&file, path, &as_it_is));
    if (network->n_stacks == 1) {
        read_batch(&out->text, file, "input_ids", "lengths", -1);
    } else {
        read_batch(&out->input, file, "input_ids", "lengths", -1);
        if (find_tensor(file, "decoder_input_ids", &index))
            read_batch(&out->text, file, "decoder_input_ids", "decoder_lengths",
                       -1);
        else
            read_batch(&out->text, file, "labels", "", network->start_token);
    }
    if (!read_array(&out->logits, file, prefix,
                    network->has_logits ? "logits" : "last_hidden_state") ||
        (network->has_logits &&
         !read_array(&out->greedy, file, prefix, "greedy")))
        must(gqa_fail(GQA_ERR_FORMAT, "%s has no %slogits and %sgreedy", path,
                      prefix, prefix));
    read_array(&out->hidden, file, prefix, "hidden");
    gqa_checkpoint_close(file);
}

static void free_reference(struct reference *r)
{
    free(r->text.ids);
    free(r->text.lengths);
    free(r->input.ids);
    free(r->input.lengths);
    free_array(&r->logits);
    free_array(&r->hidden);
    free_array(&r->greedy);
}

/* --- What a model gives --------------------------------------------------- */

/* Logits [n, len, width] and residual streams [layers, n, len, d_model]. */
struct results {
    uint64_t n, len, width, d_model;
    uint64_t sequence;    /* added to the callbacks' */
    enum gqa_stack stack; /* whose streams are kept */
    double *logits, *hidden;
};

static enum gqa_status take_logits(void *ctx, uint64_t s, uint64_t position,
                                   uint64_t n_rows, const double *logits)
{
    struct results *r = ctx;

    memcpy(r->logits + ((s + r->sequence) * r->len + position) * r->width,
           logits, (size_t)(n_rows * r->width) * sizeof *logits);
    return GQA_OK;
}

static enum gqa_status take_residual(void *ctx, enum gqa_stack stack,
                                     uint64_t layer, uint64_t s,
                                     uint64_t position, uint64_t n_rows,
                                     const double *x)
{
    struct results *r = ctx;

    if (stack == r->stack)
        memcpy(r->hidden +
                   ((layer * r->n + s) * r->len + position) * r->d_model,
               x, (size_t)(n_rows * r->d_model) * sizeof *x);
    return GQA_OK;
}

static void report(const char *what, double distance, double allowed)
{
    const bool good = distance <= allowed;

    printf("%-8s %.2e (at most %.0e) %s\n", what, distance, allowed,
           good ? "ok" : "FAILED");
    if (!good)
        exit_status = EXIT_FAILURE;
}

/* Relative L2 of what belongs to real tokens. layers times [n, len, width]. */
static double distance(const double *got, const double *want,
                       const struct batch *text, uint64_t layers,
                       uint64_t width)
{
    double difference = 0;
    double size = 0;

    for (uint64_t i = 0; i < layers * text->n; i++)
        for (uint64_t j = 0; j < text->lengths[i % text->n] * width; j++) {
            const double w = want[i * text->len * width + j];
            const double d = got[i * text->len * width + j] - w;

            difference += d * d;
            size += w * w;
        }
    return sqrt(difference / size);
}

/* --- Running -------------------------------------------------------------- */

struct subject {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct gqa_runtime *runtime;
};

static void open_backend(struct subject *s)
{
    enum gqa_status st = GQA_OK;

    if (strcmp(backend_name, "cpu") == 0)
        s->backend = gqa_cpu_backend();
    else
        st = gqa_cuda_backend_load(&s->backend);
    if (st == GQA_OK)
        st = s->backend->open(&s->device, &(struct gqa_device_options){
                                              .real = dtype, .n_threads = 2});
    if (st != GQA_ERR_UNSUPPORTED) {
        must(st);
        return;
    }
    printf("skipped: %s\n", gqa_error_message());
    exit(SKIPPED);
}

static void open_subject(struct subject *s, const char *path)
{
    struct gqa_model_hints hints = {0};
    struct gqa_family_file *family = NULL;

    memset(s, 0, sizeof *s);
    if (family_path)
        must(gqa_family_file_open(&family, family_path));
    hints.family = family;
    must(gqa_checkpoint_open(&s->checkpoint, path, &as_it_is));
    must(gqa_model_create(&s->model, s->checkpoint, &hints));
    gqa_family_file_free(family);
    must(gqa_network_create(&s->network, s->model));
    open_backend(s);
    s->weights = (struct gqa_checkpoint_weights){s->checkpoint, s->model};
    s->source = gqa_checkpoint_weight_source(&s->weights);
    must(gqa_runtime_create(&s->runtime, s->network, s->backend, s->device,
                            &s->source));
}

static void close_subject(struct subject *s)
{
    gqa_runtime_free(s->runtime);
    s->backend->close(s->device);
    gqa_network_free(s->network);
    gqa_model_free(s->model);
    gqa_checkpoint_close(s->checkpoint);
}

static struct gqa_session *begin(const struct subject *s,
                                 const struct reference *r, uint64_t first,
                                 uint64_t n, uint64_t capacity)
{
    struct gqa_session *session = NULL;

    must(gqa_session_create(&session, s->runtime, n, capacity, r->input.len));
    if (r->input.n)
        must(gqa_session_encode(session, r->input.ids + first * r->input.len,
                                r->input.len, r->input.lengths + first, NULL));
    return session;
}

static void run_batch(const struct subject *s, const struct reference *r,
                      struct results *out)
{
    const struct gqa_step_output output = {
        .ctx = out, .logits = take_logits, .residual = take_residual};
    struct gqa_session *session = begin(s, r, 0, r->text.n, r->text.len);

    must(gqa_session_decode(session, r->text.ids, r->text.len, r->text.lengths,
                            &output));
    gqa_session_free(session);
}

static void run_alone(const struct subject *s, const struct reference *r,
                      struct results *out)
{
    const struct gqa_step_output output = {.ctx = out, .logits = take_logits};

    for (uint64_t i = 0; i < r->text.n; i++) {
        struct gqa_session *session = begin(s, r, i, 1, r->text.lengths[i]);

        out->sequence = i;
        must(gqa_session_decode(session, r->text.ids + i * r->text.len,
                                r->text.lengths[i], &r->text.lengths[i],
                                &output));
        gqa_session_free(session);
    }
    out->sequence = 0;
}

/* Steps of 1, 2 ... 5 tokens, 1 ...; sequences end in the midst of them. */
static void run_steps(const struct subject *s, const struct reference *r,
                      struct results *out)
{
    const struct gqa_step_output output = {.ctx = out, .logits = take_logits};
    const struct batch *text = &r->text;
    struct gqa_session *session = begin(s, r, 0, text->n, text->len);
    int32_t *ids = allocate(text->n * 5, sizeof *ids);
    uint64_t *counts = allocate(text->n, sizeof *counts);
    uint64_t step = 1;

    for (uint64_t at = 0; at < text->len; at += step, step = step % 5 + 1) {
        for (uint64_t i = 0; i < text->n; i++) {
            const uint64_t end = text->lengths[i];

            counts[i] = end <= at ? 0 : end - at < step ? end - at : step;
            memset(ids + i * step, 0xff, (size_t)step * sizeof *ids);
            memcpy(ids + i * step, text->ids + i * text->len + at,
                   (size_t)counts[i] * sizeof *ids);
        }
        must(gqa_session_decode(session, ids, step, counts, &output));
    }
    free(ids);
    free(counts);
    gqa_session_free(session);
}

/* --- Layer by layer ------------------------------------------------------- */

static struct gqa_tokens sequences_of(const struct reference *r)
{
    struct gqa_sequence *list = allocate(r->text.n, sizeof *list);

    for (uint64_t i = 0; i < r->text.n; i++) {
        list[i].decoder = r->text.ids + i * r->text.len;
        list[i].n_decoder = r->text.lengths[i];
        if (r->input.n == 0)
            continue;
        list[i].encoder = r->input.ids + i * r->input.len;
        list[i].n_encoder = r->input.lengths[i];
    }
    return (struct gqa_tokens){list, r->text.n};
}

static void run_layers(const struct subject *s, const struct reference *r,
                       uint64_t rows, struct results *out)
{
    const struct gqa_layers_output output = {
        .step = {.ctx = out, .logits = take_logits, .residual = take_residual}};
    /* Once in memory and read ahead, once neither. */
    const struct gqa_layers_options options = {
        .rows = rows,
        .host_bytes = rows > 1 ? UINT64_C(1) << 30 : 0,
        .read_ahead = rows > 1};
    const struct gqa_tokens tokens = sequences_of(r);
    struct gqa_layers *layers = NULL;

    must(gqa_layers_create(&layers, s->network, s->backend, s->device,
                           &s->source, &tokens, &options));
    must(gqa_layers_run(layers, &output));
    gqa_layers_free(layers);
    free(tokens.sequences);
}

/* --- Greedy decoding ------------------------------------------------------ */

struct argmax {
    uint64_t width;
    int32_t *next; /* of each sequence */
};

static enum gqa_status take_argmax(void *ctx, uint64_t s, uint64_t position,
                                   uint64_t n_rows, const double *logits)
{
    struct argmax *a = ctx;
    const double *last = logits + (n_rows - 1) * a->width;

    (void)position;
    a->next[s] = 0;
    for (uint64_t i = 1; i < a->width; i++)
        if (last[i] > last[a->next[s]])
            a->next[s] = (int32_t)i;
    return GQA_OK;
}

/* Padding that a text begins with: transformers' generate() hides it. */
static uint64_t count_padding(const struct subject *s, const int32_t *ids)
{
    uint64_t n = 0;

    while (s->network->pad_token >= 0 && ids[n] == s->network->pad_token)
        n++;
    return n;
}

/*
 * Go on with a sequence for n tokens; returns how many are those of `want`,
 * all if it ends on the way as want does.
 */
static uint64_t go_on(const struct subject *s, const struct reference *r,
                      uint64_t sequence, const int32_t *ids, uint64_t n_ids,
                      const int64_t *want, uint64_t n, bool ends)
{
    struct argmax argmax = {.width = s->network->vocab_size};
    int32_t next = 0;
    const struct gqa_step_output output = {
        .ctx = &argmax, .logits = take_argmax, .last_only = true};
    struct gqa_session *session = begin(s, r, sequence, 1, n_ids + n);
    uint64_t same_ones = 0;

    argmax.next = &next;
    must(gqa_session_decode(session, ids, n_ids, &n_ids, &output));
    while (same_ones < n && next == want[same_ones]) {
        const uint64_t one = 1;

        same_ones++;
        if (ends && next == s->network->end_token)
            same_ones = n;
        if (same_ones < n)
            must(gqa_session_decode(session, &next, 1, &one, &output));
    }
    gqa_session_free(session);
    return same_ones;
}

static void check_greedy(const struct subject *s, const struct reference *r)
{
    const struct array *greedy = &r->greedy;
    const bool whole = greedy->rank == 2;
    const uint64_t n = whole ? greedy->shape[0] : 1;
    const uint64_t len = greedy->shape[whole ? 1 : 0];
    uint64_t right = 0;
    uint64_t all = 0;

    for (uint64_t i = 0; i < n; i++) {
        const bool text = r->input.n == 0;
        const uint64_t n_ids = !text ? 1 : whole ? prompt : r->text.lengths[i];
        const uint64_t skipped = whole ? n_ids : 0;
        const int32_t *ids = r->text.ids + i * r->text.len;
        const uint64_t padding = text && whole ? count_padding(s, ids) : 0;

        right += go_on(s, r, i, ids + padding, n_ids - padding,
                       greedy->whole + i * len + skipped, len - skipped, whole);
        all += len - skipped;
    }
    printf("greedy   %llu of %llu tokens %s\n", (unsigned long long)right,
           (unsigned long long)all, right == all ? "ok" : "FAILED");
    if (right != all)
        exit_status = EXIT_FAILURE;
}

/* --- All of it ------------------------------------------------------------ */

static void free_results(struct results *r)
{
    free(r->logits);
    free(r->hidden);
}

/* token_major: of sessions. */
static void compare_orders(const struct subject *s, const struct reference *r,
                           const struct results *token_major,
                           struct results *out)
{
    const uint64_t layers =
        s->network->stacks[s->network->n_stacks - 1].n_blocks;

    run_layers(s, r, r->text.n * (r->text.len + r->input.len), out);
    report("logits",
           distance(out->logits, r->logits.real, &r->text, 1, out->width),
           limit);
    if (r->hidden.real)
        report("hidden",
               distance(out->hidden, r->hidden.real, &r->text, layers,
                        out->d_model),
               limit);
    report("orders",
           distance(out->logits, token_major->logits, &r->text, 1, out->width),
           same);
    report("orders",
           distance(out->hidden, token_major->hidden, &r->text, layers,
                    out->d_model),
           same);
    run_layers(s, r, 1, out);
    report("alone",
           distance(out->logits, token_major->logits, &r->text, 1, out->width),
           same);
}

static void compare(const struct subject *s, const struct reference *r)
{
    const uint64_t width = s->network->n_outputs;
    const uint64_t layers =
        s->network->stacks[s->network->n_stacks - 1].n_blocks;
    const uint64_t n = r->text.n * r->text.len;
    struct results batch = {
        .n = r->text.n,
        .len = r->text.len,
        .width = width,
        .d_model = s->network->d_model,
        .stack = s->network->stacks[s->network->n_stacks - 1].stack};
    struct results other = batch;

    if (r->logits.rank != 3 || r->logits.shape[0] != r->text.n ||
        r->logits.shape[1] != r->text.len || r->logits.shape[2] != width)
        must(gqa_fail(GQA_ERR_FORMAT, "the reference's logits do not fit"));
    batch.logits = allocate(n * width, sizeof(double));
    batch.hidden = allocate(layers * n * batch.d_model, sizeof(double));
    run_batch(s, r, &batch);
    report("logits", distance(batch.logits, r->logits.real, &r->text, 1, width),
           limit);
    if (r->hidden.real)
        report("hidden",
               distance(batch.hidden, r->hidden.real, &r->text, layers,
                        batch.d_model),
               limit);
    other.logits = allocate(n * width, sizeof(double));
    other.hidden = allocate(layers * n * batch.d_model, sizeof(double));
    if (layer_major) {
        compare_orders(s, r, &batch, &other);
        free_results(&batch);
        free_results(&other);
        return;
    }
    run_alone(s, r, &other);
    report("alone", distance(other.logits, batch.logits, &r->text, 1, width),
           same);
    memset(other.logits, 0, (size_t)(n * width) * sizeof(double));
    if (!gqa_network_is_encoder(s->network)) {
        run_steps(s, r, &other);
        report("steps",
               distance(other.logits, batch.logits, &r->text, 1, width), same);
    }
    if (s->network->has_logits)
        check_greedy(s, r);
    free_results(&batch);
    free_results(&other);
}

static const struct option options[] = {
    {"backend", required_argument, NULL, 'b'},
    {"dtype", required_argument, NULL, 'd'},
    {"limit", required_argument, NULL, 'l'},
    {"same", required_argument, NULL, 's'},
    {"family", required_argument, NULL, 'f'},
    {"names", required_argument, NULL, 'n'},
    {"prompt", required_argument, NULL, 'p'},
    {"layer-major", no_argument, NULL, 'L'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    struct subject subject;
    struct reference reference;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'b':
            backend_name = optarg;
            break;
        case 'd':
            if (!gqa_dtype_parse(optarg, &dtype))
                return 2;
            break;
        case 'l':
            limit = strtod(optarg, NULL);
            break;
        case 's':
            same = strtod(optarg, NULL);
            break;
        case 'f':
            family_path = optarg;
            break;
        case 'n':
            prefix = optarg;
            break;
        case 'L':
            layer_major = true;
            break;
        case 'p':
            prompt = strtoull(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    if (argc - optind != 2) {
        fputs("usage: run_reference [OPTION]... MODEL REFERENCE\n", stderr);
        return 2;
    }
    if (same == 0)
        same = limit;
    open_subject(&subject, argv[optind]);
    read_reference(&reference, argv[optind + 1], subject.network);
    compare(&subject, &reference);
    free_reference(&reference);
    close_subject(&subject);
    return exit_status;
}
