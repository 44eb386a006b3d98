/* What surrounds products and attention, against the same in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

static const enum gqa_dtype dtypes[] = {GQA_F32, GQA_BF16, GQA_F16, GQA_F64};

/* Three sequences of four new tokens, of which 4, 1 and 0 are real. */
enum { N_SEQUENCES = 3, N_NEW = 4, N_ROWS = N_SEQUENCES * N_NEW, CAPACITY = 9 };
static const uint64_t n_tokens[N_SEQUENCES] = {4, 1, 0};
static const uint64_t starts[N_SEQUENCES] = {0, 8, 3};

static bool is_padding(uint64_t row)
{
    return row % N_NEW >= n_tokens[row / N_NEW];
}

static uint64_t position_of(uint64_t row)
{
    return is_padding(row) ? 0 : starts[row / N_NEW] + row % N_NEW;
}

static void set_batch(int32_t tokens[N_ROWS], uint64_t vocab)
{
    const struct gqa_batch batch = {N_SEQUENCES, N_NEW, tokens, n_tokens,
                                    starts};

    for (unsigned i = 0; i < N_ROWS; i++)
        tokens[i] = (int32_t)random_below(vocab);
    gpu_must(gpu.backend->set_batch(gpu.device, &batch), "set_batch");
}

static void check_memory(void)
{
    struct array a = array_random(1001, gpu.real);
    void *nothing = NULL;

    check_array(&a, a.host, a.n, 0, "upload and download");
    gpu_must(gpu.backend->alloc(gpu.device, &nothing, 0), "alloc");
    gpu.backend->free(gpu.device, nothing);
    gpu.backend->free(gpu.device, NULL);
    array_free(&a);
}

/* What is embedded: rows of a table, with positions, those alone, or with one
 * position that is all rows'. */
enum embedded { ROWS, PLACED_ROWS, PLACES, ROWS_OF_ONE_PLACE };

static void check_embed(enum gqa_dtype dtype, double scale, enum embedded what,
                        uint64_t width)
{
    const bool one_place = what == ROWS_OF_ONE_PLACE;
    double used = scale; /* as the device rounds it */
    const uint64_t vocab = 11;
    int32_t tokens[N_ROWS];
    struct array table = array_random(vocab * width, dtype);
    struct array positions = array_random(CAPACITY * width, dtypes[width % 4]);
    struct array out = array_nan(N_ROWS * width, gpu.real);
    double *expected = must_allocate(out.n, sizeof *expected);
    const struct gqa_weight weight = array_weight(&table, vocab, width);
    const struct gqa_weight second =
        array_weight(&positions, one_place ? 1 : CAPACITY, width);

    set_batch(tokens, vocab);
    round_to(&used, 1, gpu.real);
    for (uint64_t r = 0; r < N_ROWS; r++)
        for (uint64_t c = 0; c < width; c++)
            expected[r * width + c] =
                (what == PLACES
                     ? 0
                     : table.host[(uint64_t)tokens[r] * width + c] * used) +
                (what == ROWS
                     ? 0
                     : positions
                           .host[(one_place ? 0 : position_of(r)) * width + c]);
    gpu_must(gpu.backend->embed(gpu.device, out.device,
                                what == PLACES ? NULL : &weight, scale,
                                what == ROWS ? NULL : &second),
             "embed");
    check_array(&out, expected, out.n, rounding(),
                "embed %s by %g, width %llu, kind %d", gqa_dtype_name(dtype),
                scale, (unsigned long long)width, (int)what);
    free(expected);
    array_free(&table);
    array_free(&positions);
    array_free(&out);
}

static const struct gqa_head_place places[] = {
    {.n_heads = 5, .per_block = 5},
    {.n_heads = 6, .base = 14, .per_block = 2, .block_stride = 35},
};

static uint64_t head_at(const struct gqa_head_place *place, uint64_t h,
                        uint64_t head_dim)
{
    return place->base + h / place->per_block * place->block_stride +
           h % place->per_block * head_dim;
}

static void check_rotate(const struct gqa_head_place *place, uint64_t n_pairs,
                         bool interleaved)
{
    const uint64_t head_dim = 7, width = 120;
    int32_t tokens[N_ROWS];
    struct array x = array_random(N_ROWS * width, gpu.real);
    struct array angles = array_random(CAPACITY * n_pairs * 2, GQA_F32);
    double *expected = must_allocate(x.n, sizeof *expected);

    set_batch(tokens, 5);
    memcpy(expected, x.host, x.n * sizeof *expected);
    for (uint64_t r = 0; r < N_ROWS; r++)
        for (uint64_t h = 0; h < place->n_heads; h++)
            for (uint64_t j = 0; j < n_pairs; j++) {
                const uint64_t head = r * width + head_at(place, h, head_dim);
                const uint64_t a = head + (interleaved ? 2 * j : j);
                const uint64_t b =
                    head + (interleaved ? 2 * j + 1 : j + n_pairs);
                const double *turn =
                    angles.host + (position_of(r) * n_pairs + j) * 2;

                expected[a] = x.host[a] * turn[0] - x.host[b] * turn[1];
                expected[b] = x.host[b] * turn[0] + x.host[a] * turn[1];
            }
    gpu_must(gpu.backend->rotate(gpu.device, x.device, width, place, head_dim,
                                 n_pairs, interleaved, angles.device),
             "rotate");
    check_array(&x, expected, x.n, rounding(), "rotate %llu pairs%s",
                (unsigned long long)n_pairs,
                interleaved ? ", interleaved" : "");
    free(expected);
    array_free(&x);
    array_free(&angles);
}

static void check_store(const struct gqa_head_place *place)
{
    const uint64_t head_dim = 7, width = 120;
    int32_t tokens[N_ROWS];
    struct array x = array_random(N_ROWS * width, gpu.real);
    struct array cache =
        array_nan(N_SEQUENCES * place->n_heads * CAPACITY * head_dim, gpu.real);

    set_batch(tokens, 5);
    for (uint64_t r = 0; r < N_ROWS; r++)
        for (uint64_t h = 0; h < place->n_heads && !is_padding(r); h++)
            memcpy(cache.host + ((r / N_NEW * place->n_heads + h) * CAPACITY +
                                 position_of(r)) *
                                    head_dim,
                   x.host + r * width + head_at(place, h, head_dim),
                   head_dim * sizeof(double));
    gpu_must(gpu.backend->store(gpu.device, cache.device, CAPACITY, x.device,
                                width, place, head_dim),
             "store");
    check_array(&cache, cache.host, cache.n, 0, "store of %llu heads",
                (unsigned long long)place->n_heads);
    array_free(&x);
    array_free(&cache);
}

struct norm_case {
    enum gqa_norm_kind kind;
    bool weight, bias, one_plus;
};

static const struct norm_case norms[] = {
    {GQA_NORM_RMS, true, false, false},    {GQA_NORM_RMS, false, false, false},
    {GQA_NORM_RMS, true, false, true},     {GQA_NORM_RMS, true, true, false},
    {GQA_NORM_LAYER, true, true, false},   {GQA_NORM_LAYER, true, false, false},
    {GQA_NORM_LAYER, true, true, true},    {GQA_NORM_LAYER, false, true, false},
    {GQA_NORM_LAYER, false, false, false},
};
enum { N_NORMS = sizeof norms / sizeof *norms };

/* Where the result goes. */
enum target { FRESH, IN_PLACE, ADDED };

/* out may be x. */
static void norm_of(double *out, const double *x, uint64_t n,
                    const struct norm_case *c, double eps, const double *w,
                    const double *b)
{
    double mean = 0, square = 0;

    for (uint64_t i = 0; i < n && c->kind == GQA_NORM_LAYER; i++)
        mean += x[i] / (double)n;
    for (uint64_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (uint64_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) / sqrt(square + eps) *
                     (c->weight ? w[i] + (c->one_plus ? 1 : 0) : 1) +
                 (c->bias ? b[i] : 0);
}

static void check_norm(const struct norm_case *c, uint64_t n_rows,
                       uint64_t width, enum target target)
{
    const double eps = 1e-6;
    struct array x = array_random(n_rows * width, gpu.real);
    struct array w = array_random(width, dtypes[width % 4]);
    struct array b = array_random(width, dtypes[(width + 1) % 4]);
    struct array fresh = array_nan(x.n, gpu.real);
    struct array sum = array_random(x.n, gpu.real);
    struct array *out = target == FRESH ? &fresh : target == ADDED ? &sum : &x;
    double *expected = must_allocate(x.n, sizeof *expected);
    const struct gqa_weight weight = array_weight(&w, width, 1);
    const struct gqa_weight bias = array_weight(&b, width, 1);
    const struct gqa_norm_op op = {.kind = c->kind,
                                   .eps = eps,
                                   .weight = c->weight ? &weight : NULL,
                                   .bias = c->bias ? &bias : NULL,
                                   .one_plus = c->one_plus};

    for (uint64_t i = 0; i < x.n; i++)
        x.host[i] += c->kind == GQA_NORM_LAYER ? 30 : 0; /* to subtract */
    array_send(&x);
    for (uint64_t r = 0; r < n_rows; r++)
        norm_of(expected + r * width, x.host + r * width, width, c, eps, w.host,
                b.host);
    for (uint64_t i = 0; i < x.n && target == ADDED; i++)
        expected[i] += sum.host[i];
    gpu_must(gpu.backend->norm(gpu.device, out->device, x.device, n_rows, width,
                               &op, target == ADDED),
             "norm");
    check_array(out, expected, x.n, rounding(), "norm %d, %llu x %llu%s%s%s%s",
                c->kind, (unsigned long long)n_rows, (unsigned long long)width,
                c->weight ? ", weight" : "", c->bias ? ", bias" : "",
                c->one_plus ? ", 1 +" : "",
                target == ADDED      ? ", added"
                : target == IN_PLACE ? ", in place"
                                     : "");
    free(expected);
    array_free(&x);
    array_free(&w);
    array_free(&b);
    array_free(&fresh);
    array_free(&sum);
}

/* What lies between the heads stays. */
static void check_norm_heads(const struct norm_case *c,
                             const struct gqa_head_place *place)
{
    const uint64_t head_dim = 7, width = 120;
    int32_t tokens[N_ROWS];
    struct array x = array_random(N_ROWS * width, gpu.real);
    struct array w = array_random(head_dim, dtypes[place->n_heads % 4]);
    struct array b = array_random(head_dim, GQA_F32);
    double *expected = must_allocate(x.n, sizeof *expected);
    const struct gqa_weight weight = array_weight(&w, head_dim, 1);
    const struct gqa_weight bias = array_weight(&b, head_dim, 1);
    const struct gqa_norm_op op = {.kind = c->kind,
                                   .eps = 1e-2,
                                   .weight = c->weight ? &weight : NULL,
                                   .bias = c->bias ? &bias : NULL,
                                   .one_plus = c->one_plus};

    set_batch(tokens, 5);
    memcpy(expected, x.host, x.n * sizeof *expected);
    for (uint64_t r = 0; r < N_ROWS; r++)
        for (uint64_t h = 0; h < place->n_heads; h++) {
            const uint64_t at = r * width + head_at(place, h, head_dim);

            norm_of(expected + at, x.host + at, head_dim, c, op.eps, w.host,
                    b.host);
        }
    gpu_must(gpu.backend->norm_heads(gpu.device, x.device, width, place,
                                     head_dim, &op),
             "norm_heads");
    check_array(&x, expected, x.n, rounding(), "norm %d of %llu heads%s%s%s",
                c->kind, (unsigned long long)place->n_heads,
                c->weight ? ", weight" : "", c->bias ? ", bias" : "",
                c->one_plus ? ", 1 +" : "");
    free(expected);
    array_free(&x);
    array_free(&w);
    array_free(&b);
}

static void check_soft_cap(uint64_t n, double cap)
{
    struct array x = array_random(n, GQA_F32);
    double *expected = must_allocate(n, sizeof *expected);

    for (uint64_t i = 0; i < n; i++)
        x.host[i] *= cap;
    x.host[n / 2] = n > 1 ? (double)NAN : 1e30;
    array_send(&x);
    for (uint64_t i = 0; i < n; i++)
        expected[i] = cap * tanh(x.host[i] / cap);
    gpu_must(gpu.backend->soft_cap(gpu.device, x.device, n, cap), "soft_cap");
    check_array(&x, expected, n, 1e-6, "soft cap %g of %llu", cap,
                (unsigned long long)n);
    free(expected);
    array_free(&x);
}

/* Rows in another order, or as they are; weighed, or alike. */
static void check_add_rows(uint64_t n_rows, uint64_t width, bool moved,
                           bool weighed)
{
    const size_t n = n_rows * width;
    struct array x = array_random(n, gpu.real);
    struct array out = array_random(n, gpu.real);
    uint64_t *rows = must_allocate(n_rows, sizeof *rows);
    double *weights = must_allocate(n_rows, sizeof *weights);
    double *expected = must_allocate(n, sizeof *expected);

    for (uint64_t i = 0; i < n_rows; i++) {
        rows[i] = moved ? n_rows - 1 - i : i;
        weights[i] = weighed ? 0.25 * (double)(i % 7) - 0.5 : 1;
        for (uint64_t c = 0; c < width; c++)
            expected[rows[i] * width + c] =
                out.host[rows[i] * width + c] +
                0.75 * weights[i] * x.host[i * width + c];
    }
    gpu_must(gpu.backend->add_rows(gpu.device, out.device, x.device, width,
                                   moved ? rows : NULL,
                                   weighed ? weights : NULL, 0.75, n_rows),
             "add_rows");
    check_array(&out, expected, n, rounding(), "%llu rows of %llu added%s%s",
                (unsigned long long)n_rows, (unsigned long long)width,
                moved ? ", moved" : "", weighed ? ", weighed" : "");
    free(expected);
    free(weights);
    free(rows);
    array_free(&x);
    array_free(&out);
}

/* The second row is weighed by zeros. */
static void check_weigh_rows(uint64_t n_rows, uint64_t width, uint64_t by_width,
                             bool less, bool bias)
{
    const size_t n = n_rows * width;
    struct array x = array_random(n, gpu.real);
    struct array y = array_random(n, gpu.real);
    struct array by = array_random(n_rows * by_width, gpu.real);
    struct array b = array_random(width, GQA_F32);
    struct array out = array_nan(n, gpu.real);
    const struct gqa_weight weight = array_weight(&b, 1, width);
    double *expected = must_allocate(n, sizeof *expected);

    for (uint64_t c = 0; c < by_width && n_rows > 1; c++)
        by.host[by_width + c] = 0;
    array_send(&by);
    for (uint64_t r = 0; r < n_rows; r++) {
        double square = 0;

        for (uint64_t c = 0; c < by_width; c++)
            square += by.host[r * by_width + c] * by.host[r * by_width + c];
        for (uint64_t i = r * width; i < (r + 1) * width && square > 0; i++)
            expected[i] = (x.host[i] - (less ? y.host[i] : 0) -
                           (bias ? b.host[i % width] : 0)) *
                          sqrt((double)by_width / square);
    }
    gpu_must(gpu.backend->weigh_rows(
                 gpu.device, out.device, x.device, less ? y.device : NULL,
                 bias ? &weight : NULL, width, by.device, by_width, n_rows),
             "weigh_rows");
    check_array(&out, expected, n, rounding(),
                "%llu rows of %llu weighed by %llu%s%s",
                (unsigned long long)n_rows, (unsigned long long)width,
                (unsigned long long)by_width, less ? ", less" : "",
                bias ? ", bias" : "");
    free(expected);
    array_free(&x);
    array_free(&y);
    array_free(&by);
    array_free(&b);
    array_free(&out);
}

static void check_activate(enum gqa_activation which, uint64_t n, bool has_up)
{
    struct array x = array_random(n, gpu.real);
    struct array up = array_random(n, gpu.real);
    struct array out = array_nan(n, gpu.real);
    double *expected = must_allocate(n, sizeof *expected);

    for (uint64_t i = 0; i < n; i++)
        x.host[i] *= 3;
    array_send(&x);
    for (uint64_t i = 0; i < n; i++)
        expected[i] =
            gpu_activation(x.host[i], which) * (has_up ? up.host[i] : 1);
    gpu_must(gpu.backend->activate(gpu.device, out.device, x.device,
                                   has_up ? up.device : NULL, n, which),
             "activate");
    check_array(&out, expected, n, rounding(), "activation %d of %llu%s", which,
                (unsigned long long)n, has_up ? ", gated" : "");
    free(expected);
    array_free(&x);
    array_free(&out);
    array_free(&up);
}

/* Far out, both ways, and not a number; a square is no further out than what
 * float16 holds. */
static void check_activation_ends(enum gqa_activation which)
{
    const double far = which == GQA_ACTIVATION_RELU2 ? 250 : 30000;
    const double ends[] = {-far, -100, -12, 0, 100, far, (double)NAN};
    const size_t n = sizeof ends / sizeof *ends;
    struct array x = array_random(n, gpu.real);
    double expected[sizeof ends / sizeof *ends];

    memcpy(x.host, ends, sizeof ends);
    array_send(&x);
    for (size_t i = 0; i < n; i++)
        expected[i] = gpu_activation(x.host[i], which);
    gpu_must(
        gpu.backend->activate(gpu.device, x.device, x.device, NULL, n, which),
        "activate");
    check_array(&x, expected, n, rounding(), "activation %d far out", which);
    array_free(&x);
}

static void check_clip(uint64_t n, double limit)
{
    struct array x = array_random(n, gpu.real);
    double *expected = must_allocate(n, sizeof *expected);

    for (uint64_t i = 0; i < n; i++)
        expected[i] = fmax(fmin(x.host[i], limit), -limit);
    gpu_must(gpu.backend->clip(gpu.device, x.device, n, limit), "clip");
    check_array(&x, expected, n, 0, "clip, %llu elements",
                (unsigned long long)n);
    free(expected);
    array_free(&x);
}

static void check_xielu(uint64_t n)
{
    const struct gqa_xielu c = {0.75, 0.625, 0.5, -1e-6};
    struct array x = array_random(n, gpu.real);
    double *expected = must_allocate(n, sizeof *expected);

    for (uint64_t i = 0; i < n; i++) {
        const double y = x.host[i];

        expected[i] =
            y > 0 ? (c.positive * y + c.beta) * y
                  : c.negative * (expm1(fmin(y, c.eps)) - y) + c.beta * y;
    }
    gpu_must(gpu.backend->xielu(gpu.device, x.device, n, &c), "xielu");
    check_array(&x, expected, n, rounding(), "xielu, %llu elements",
                (unsigned long long)n);
    free(expected);
    array_free(&x);
}

static void check_gather(uint64_t width)
{
    uint64_t rows[] = {3, 0, 3, 6, 1};
    const uint64_t n_rows = sizeof rows / sizeof *rows;
    struct array x = array_random(7 * width, gpu.real);
    struct array out = array_nan(n_rows * width, gpu.real);
    double *expected = must_allocate(out.n, sizeof *expected);

    for (uint64_t r = 0; r < n_rows; r++)
        memcpy(expected + r * width, x.host + rows[r] * width,
               width * sizeof *expected);
    gpu_must(gpu.backend->gather(gpu.device, out.device, x.device, width, rows,
                                 n_rows),
             "gather");
    memset(rows, 0xff, sizeof rows); /* they were copied */
    check_array(&out, expected, out.n, 0, "gather, width %llu",
                (unsigned long long)width);
    free(expected);
    array_free(&x);
    array_free(&out);
}

/* Elements past 2^31: the last of them, at the end of a large allocation. */
static void check_large(void)
{
    const uint64_t n = (UINT64_C(1) << 31) + 65536, width = 65536;
    const uint64_t last = n / width - 1;
    const uint64_t size = gqa_dtype_bits(gpu.real) / 8;
    struct array out = array_nan(width, gpu.real), tail;
    struct gqa_device_info info;
    void *memory = NULL;

    gpu_must(gpu.backend->describe(gpu.device, &info), "describe");
    if (info.free_bytes > 2 * n * size) {
        gpu_must(gpu.backend->alloc(gpu.device, &memory, n * size), "alloc");
        tail = array_random(width, gpu.real);
        gpu.backend->free(gpu.device, tail.device);
        tail.device = (char *)memory + (n - width) * size;
        array_send(&tail);
        gpu_must(gpu.backend->gather(gpu.device, out.device, memory, width,
                                     &last, 1),
                 "gather");
        check_array(&out, tail.host, width, 0, "gather past 2^31");
        gpu_must(gpu.backend->activate(gpu.device, memory, memory, NULL, n,
                                       GQA_ACTIVATION_RELU),
                 "activate");
        for (uint64_t i = 0; i < width; i++)
            tail.host[i] = tail.host[i] < 0 ? 0 : tail.host[i];
        check_array(&tail, tail.host, width, 0, "activation past 2^31");
        tail.device = memory; /* which array_free() gives back */
        array_free(&tail);
    }
    array_free(&out);
}

/* Two stagings in turn, as large as many uploads; each is overwritten as soon
 * as it may be. */
static void check_staging(void)
{
    enum { N = 1 << 20, PIECES = 24 };
    struct gqa_staging *stagings[2] = {NULL, NULL};
    uint32_t *got = must_allocate((size_t)N * PIECES, sizeof *got);
    uint64_t n_wrong = 0;
    void *memory = NULL;

    gpu_must(gpu.backend->alloc(gpu.device, &memory, sizeof *got * N * PIECES),
             "alloc");
    for (int i = 0; i < 2; i++) {
        gpu_must(
            gpu.backend->stage_open(gpu.device, &stagings[i], sizeof *got * N),
            "stage_open");
        gpu_must(gpu.backend->stage_wait(gpu.device, stagings[i]),
                 "stage_wait of nothing");
    }
    for (uint32_t piece = 0; piece < PIECES; piece++) {
        struct gqa_staging *staging = stagings[piece % 2];
        uint32_t *data = staging->data;

        gpu_must(gpu.backend->stage_wait(gpu.device, staging), "stage_wait");
        for (uint32_t i = 0; i < N; i++)
            data[i] = piece * N + i;
        gpu_must(gpu.backend->stage_send(gpu.device, staging,
                                         (uint32_t *)memory + piece * N,
                                         sizeof *got * N),
                 "stage_send");
    }
    /* Behind them all. */
    gpu_must(gpu.backend->download(gpu.device, got, memory,
                                   sizeof *got * N * PIECES),
             "download");
    for (uint32_t i = 0; i < (uint32_t)N * PIECES; i++)
        n_wrong += got[i] != i;
    check_true(n_wrong == 0, "staging: %llu numbers are wrong",
               (unsigned long long)n_wrong);
    /* As they were when it was called, whatever is asked for later. */
    gpu_must(gpu.backend->stage_fetch(gpu.device, stagings[0],
                                      (uint32_t *)memory + N, sizeof *got * N),
             "stage_fetch");
    gpu_must(gpu.backend->zero(gpu.device, memory, sizeof *got * N * PIECES),
             "zero");
    gpu_must(gpu.backend->stage_wait(gpu.device, stagings[0]), "stage_wait");
    check_true(memcmp(stagings[0]->data, got + N, sizeof *got * N) == 0,
               "staging: what was fetched is wrong");
    for (int i = 0; i < 2; i++)
        gpu.backend->stage_close(gpu.device, stagings[i]);
    gpu.backend->free(gpu.device, memory);
    free(got);
}

static void check_refusals(void)
{
    struct gqa_device_options options = {.real = GQA_F64};
    struct gqa_device *device = NULL;
    void *memory = NULL;

    check_true(gpu.backend->open(&device, &options) == GQA_ERR_UNSUPPORTED &&
                   strstr(gqa_error_message(), "float64"),
               "float64 is refused: %s", gqa_error_message());
    options.real = gpu.real;
    options.ordinal = 1000;
    check_true(gpu.backend->open(&device, &options) == GQA_ERR_USAGE &&
                   strstr(gqa_error_message(), "no GPU 1000"),
               "a device that is not there: %s", gqa_error_message());
    check_true(gpu.backend->alloc(gpu.device, &memory, UINT64_C(1) << 50) ==
                       GQA_ERR_NOMEM &&
                   strstr(gqa_error_message(), "1125899906842624 bytes"),
               "too much memory: %s", gqa_error_message());
    check_memory(); /* which does no harm */
}

static void tests(void)
{
    static const uint64_t widths[] = {1, 7, 64, 1000, 4097};
    struct gqa_device_info info;

    gpu_must(gpu.backend->describe(gpu.device, &info), "describe");
    check_true(info.real == gpu.real && info.name[0] && info.software[0] &&
                   info.free_bytes <= info.total_bytes,
               "describe: %s, %s", info.name, info.software);
    check_memory();
    if (!gpu.small)
        check_staging();
    for (unsigned i = 0; i < 4; i++) {
        check_embed(dtypes[i], 1, ROWS, 64);
        check_embed(dtypes[i], 1, PLACED_ROWS, 65 + i);
        check_embed(dtypes[i], 1, PLACES, 64 + i);
        check_embed(dtypes[i], 1, ROWS_OF_ONE_PLACE, 64 + i);
        check_embed(dtypes[i], 55.4256258422, i % 2 ? PLACED_ROWS : ROWS, 67);
    }
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t n_pairs = 1; n_pairs <= 3; n_pairs++) {
            check_rotate(&places[i], n_pairs, false);
            check_rotate(&places[i], n_pairs, true);
        }
        check_store(&places[i]);
        for (size_t j = 0; j < N_NORMS; j++)
            check_norm_heads(&norms[j], &places[i]);
    }
    for (size_t j = 0; j < N_NORMS; j++)
        for (int target = FRESH; target <= ADDED; target++)
            check_norm(&norms[j], 3, 300, (enum target)target);
    check_add_rows(1, 1, false, false);
    check_add_rows(33, 300, true, true);
    check_add_rows(70, 1025, false, true);
    check_add_rows(5, 64, true, false);
    check_weigh_rows(1, 1, 3, false, false);
    check_weigh_rows(5, 300, 1025, true, false);
    check_weigh_rows(5, 1025, 70, true, true);
    check_clip(1, 0.5);
    check_clip(10007, 0.25);
    check_xielu(1);
    check_xielu(10007);
    check_soft_cap(1, 30);
    check_soft_cap(10007, 50);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check_norm(&norms[0], 1 + i, widths[i], FRESH);
        check_norm(&norms[i % 2 ? 4 : 5], 3, widths[i], FRESH);
        check_gather(widths[i]);
    }
    for (int which = GQA_ACTIVATION_RELU; which <= GQA_ACTIVATION_GELU_BLOOM;
         which++) {
        check_activate((enum gqa_activation)which, 33, false);
        check_activate((enum gqa_activation)which, 10007, true);
        check_activation_ends((enum gqa_activation)which);
    }
    if (!gpu.small) {
        /* More rows than warps at a time. */
        for (int target = FRESH; target <= ADDED; target++) {
            check_norm(&norms[0], 9001, 512, (enum target)target);
            check_norm(&norms[4], 9001, 904, (enum target)target);
        }
        check_refusals();
        check_large();
    }
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
