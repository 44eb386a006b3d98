/*
 * Attention backwards, for real.inl, which includes this: tiles of queries
 * and keys, whose scores are made again. With p = exp(s - lse), and D the
 * product of a row's output and its gradient,
 *
 *     dV += p^T dO;  ds = p (dO V^T - D);  dQ += ds K;  dK += ds^T Q
 */

static size_t attend_back_bytes(void)
{
    return sizeof(real) *
           ((size_t)2 * GQA_CPU_QUERIES * GQA_CPU_KEYS + GQA_CPU_QUERIES);
}

/* A tile of one head: queries from t.first on, and keys. */
struct back_tile {
    struct gqa_cpu_attend_task t; /* t.op is the forward's */
    struct tile keys;
    uint64_t head;
    real *p, *ds; /* [t.n, keys.n] */
    real *dot;    /* [t.n]: D */
};

/* A row of scores becomes p, and of dO V^T ds. */
static void weigh_row_back(const struct back_tile *b, uint64_t row, real lse,
                           real *d_bias)
{
    const struct gqa_attention_op *op = b->t.op;
    const uint64_t n = b->keys.n, c0 = b->keys.c0;
    const real dot = b->dot[row];
    /* Of the tile's first key in a row of biases, where there is one. */
    const uint64_t shift = bias_at(&b->t, b->t.first + row) + c0;
    const real *bias = op->bias ? (const real *)op->bias +
                                      b->head * (2 * op->reach - 1) + shift
                                : NULL;
    real *p = b->p + row * n, *ds = b->ds + row * n;
    uint64_t first, end;

    seen_keys(&b->t, b->t.first + row, &first, &end);
    first = first > c0 ? first - c0 : 0;
    end = end > c0 ? end - c0 : 0;
    if (end > n)
        end = n;
    if (first >= end)
        first = end = n;
    memset(p, 0, first * sizeof *p);
    memset(ds, 0, first * sizeof *ds);
    memset(p + end, 0, (n - end) * sizeof *p);
    memset(ds + end, 0, (n - end) * sizeof *ds);
    if (op->soft_cap > 0) {
        const real cap = (real)op->soft_cap;

        for (uint64_t c = first; c < end; c++) {
            const real share = tanh_real(p[c] / cap);
            const real s = cap * share + (bias ? bias[c] : 0);

            p[c] = exp_real(s - lse);
            ds[c] = p[c] * (ds[c] - dot);
            if (d_bias)
                d_bias[shift + c] += ds[c];
            ds[c] *= (real)1 - share * share;
        }
        return;
    }
    for (uint64_t c = first; bias && c < end; c++)
        p[c] += bias[c];
    for (uint64_t c = first; c < end; c++) {
        p[c] = exp_real(p[c] - lse);
        ds[c] = p[c] * (ds[c] - dot);
    }
    for (uint64_t c = first; d_bias && c < end; c++)
        d_bias[shift + c] += ds[c];
}

/* Rows of a head in a matrix of `width`, from the tile's first query on. */
static size_t row_of_tile(const struct back_tile *b, uint64_t width)
{
    return (size_t)((b->t.sequence * b->t.n_new + b->t.first) * width);
}

/* D of each row. */
static void multiply_outputs(const struct gqa_attention_gradient *op,
                             const struct back_tile *b)
{
    const uint64_t d = op->forward.head_dim;
    const uint64_t width = op->forward.q_place.n_heads * d;
    const size_t at = row_of_tile(b, width) + (size_t)(b->head * d);

    for (uint64_t row = 0; row < b->t.n; row++)
        b->dot[row] =
            dot_reals((const real *)op->forward.out + at + row * width,
                      (const real *)op->d_out + at + row * width, (size_t)d);
}

static void attend_tile_back(const struct gqa_cpu_attend_back_task *task,
                             const struct back_tile *b, real *d_bias,
                             bool first)
{
    const struct gqa_attention_gradient *op = task->op;
    const struct gqa_attention_op *f = &op->forward;
    const uint64_t n_heads = f->q_place.n_heads;
    const int d = (int)f->head_dim, n = (int)b->t.n, n_keys = (int)b->keys.n;
    const int width = (int)(n_heads * f->head_dim), q_width = (int)f->q_width;
    const real scale = (real)f->scale;
    const size_t kv =
        (size_t)(((task->sequence * f->n_kv_heads + task->kv_head) *
                      f->capacity +
                  b->keys.c0) *
                 f->head_dim);
    const real *k = (const real *)f->k + kv;
    const real *v = (const real *)f->v + kv;
    const size_t at = row_of_tile(b, f->q_width) +
                      (size_t)gqa_cpu_head(&f->q_place, f->head_dim, b->head);
    const real *q = (const real *)f->q + at;
    const real *d_out = (const real *)op->d_out +
                        row_of_tile(b, n_heads * f->head_dim) +
                        b->head * f->head_dim;
    const real *lse = (const real *)f->lse + row_of_tile(b, n_heads) + b->head;

    GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, n, n_keys, d, scale, q,
         q_width, k, d, 0, b->p, n_keys);
    GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, n, n_keys, d, 1, d_out, width,
         v, d, 0, b->ds, n_keys);
    for (uint64_t row = 0; row < b->t.n; row++)
        weigh_row_back(b, row, lse[row * n_heads], d_bias);
    GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, n_keys, d, n, 1, b->p, n_keys,
         d_out, width, 1, (real *)task->d_v + b->keys.c0 * f->head_dim, d);
    GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, n_keys, d, n, scale, b->ds,
         n_keys, q, q_width, 1, (real *)task->d_k + b->keys.c0 * f->head_dim,
         d);
    GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, d, n_keys, scale, b->ds,
         n_keys, k, d, first && !op->adds_q ? 0 : 1, (real *)op->d_q + at,
         q_width);
}

static void clear_queries(const struct gqa_cpu_attend_back_task *task,
                          const struct back_tile *b, uint64_t n)
{
    const struct gqa_attention_op *f = &task->op->forward;
    real *d_q = (real *)task->op->d_q + row_of_tile(b, f->q_width) +
                gqa_cpu_head(&f->q_place, f->head_dim, b->head);

    for (uint64_t row = 0; row < n && !task->op->adds_q; row++)
        memset(d_q + row * f->q_width, 0, f->head_dim * sizeof *d_q);
}

/* A tile of queries of one head, with all keys that they see. */
static void attend_queries_back(const struct gqa_cpu_attend_back_task *task,
                                struct back_tile *b, real *d_bias)
{
    uint64_t first, end, ignored;

    seen_keys(&b->t, b->t.first, &first, &ignored);
    seen_keys(&b->t, b->t.first + b->t.n - 1, &ignored, &end);
    if (first >= end) {
        clear_queries(task, b, b->t.n);
        return;
    }
    multiply_outputs(task->op, b);
    for (b->keys.c0 = first; b->keys.c0 < end; b->keys.c0 += b->keys.n) {
        b->keys.n =
            end - b->keys.c0 < GQA_CPU_KEYS ? end - b->keys.c0 : GQA_CPU_KEYS;
        attend_tile_back(task, b, d_bias, b->keys.c0 == first);
    }
}

static void attend_back(const struct gqa_cpu_attend_back_task *task,
                        void *scratch)
{
    const struct gqa_attention_op *f = &task->op->forward;
    const size_t keys = (size_t)(f->capacity * f->head_dim);
    const size_t offsets = (size_t)(2 * f->reach - 1);
    struct back_tile b = {
        .t = {.op = f,
              .sequence = task->sequence,
              .n_new = task->n_new,
              .start = task->start,
              .n_keys = task->n_keys},
        .p = scratch,
    };

    b.ds = b.p + GQA_CPU_QUERIES * GQA_CPU_KEYS;
    b.dot = b.ds + GQA_CPU_QUERIES * GQA_CPU_KEYS;
    memset(task->d_k, 0, keys * sizeof(real));
    memset(task->d_v, 0, keys * sizeof(real));
    if (task->d_bias)
        memset(task->d_bias, 0, task->n_heads * offsets * sizeof(real));
    for (uint64_t i = 0; i < task->n_heads; i++) {
        real *d_bias = task->d_bias ? (real *)task->d_bias + i * offsets : NULL;

        b.head = task->head + i;
        for (b.t.first = 0; b.t.first < task->n_tokens; b.t.first += b.t.n) {
            b.t.n = task->n_tokens - b.t.first < GQA_CPU_QUERIES
                        ? task->n_tokens - b.t.first
                        : GQA_CPU_QUERIES;
            attend_queries_back(task, &b, d_bias);
        }
        clear_queries(task, &b, task->n_new - task->n_tokens);
    }
}

/* A sink's share of a row is taken from all that the row attends to alike. */
static double sink_back(const void *out, const void *lse, const void *d_out,
                        const void *sink, size_t head_dim)
{
    const double of_sink = *(const real *)sink, all = *(const real *)lse;

    return -exp(of_sink - all) * sum_products(out, d_out, head_dim);
}
