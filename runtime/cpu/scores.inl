/*
 * Scores of other queries and keys against an attention's own, for
 * real.inl, which includes this: a tile of queries with all of its keys at
 * once, since a row's mean comes before what is made of it.
 */

/* Scores of a tile: rows of n keys, from key `first` on. */
struct score_tile {
    uint64_t first, n;
    real *p; /* [t.n, n]: of the original, then its softmax */
    real *e; /* of the other; then what is handed back */
};

static real dot_reals(const real *a, const real *b, size_t n)
{
    real lanes[LANES] = {0};
    real sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        lanes[0] += a[i] * b[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

/* out [n_queries, n_keys] = scale * q k^T. */
static void make_scores(const struct gqa_cpu_attend_task *t,
                        const struct score_tile *tile, const real *q,
                        uint64_t ldq, const real *k, double scale, real *out)
{
    const int d = (int)t->op->head_dim;

    GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)t->n, (int)tile->n, d,
         (real)scale, q, (int)ldq, k, d, 0, out, (int)tile->n);
}

static const real *keys_of(const struct gqa_cpu_attend_task *t, const void *k,
                           uint64_t n_kv_heads, uint64_t kv_head,
                           uint64_t first)
{
    return (const real *)k +
           ((t->sequence * n_kv_heads + kv_head) * t->op->capacity + first) *
               t->op->head_dim;
}

static const real *queries_of(const struct gqa_cpu_attend_task *t,
                              const void *q, uint64_t width,
                              const struct gqa_head_place *place, uint64_t head)
{
    return (const real *)q + (t->sequence * t->n_new + t->first) * width +
           gqa_cpu_head(place, t->op->head_dim, head);
}

/* The original's scaled scores of one of its heads. */
static void make_original(const struct gqa_cpu_attend_task *t,
                          const struct score_tile *tile, uint64_t head)
{
    const struct gqa_attention_op *op = t->op;
    const uint64_t group = op->q_place.n_heads / op->n_kv_heads;

    make_scores(t, tile, queries_of(t, op->q, op->q_width, &op->q_place, head),
                op->q_width,
                keys_of(t, op->k, op->n_kv_heads, head / group, tile->first),
                op->scale, tile->p);
}

/* Scores of a row [n] become their softmax. */
static void soften(const struct gqa_cpu_attend_task *t, uint64_t head,
                   uint64_t row, uint64_t first, real *p, size_t n)
{
    const struct gqa_attention_op *op = t->op;

    if (op->soft_cap > 0)
        cap_reals(p, n, op->soft_cap);
    if (op->bias)
        add_reals(p,
                  (const real *)op->bias + head * (2 * op->reach - 1) + first +
                      op->reach - 1 - (t->start + t->first + row),
                  n);
    scale_reals(p, n, 1 / (double)exponentiate(p, n, largest(p, n)));
}

/* A row of e as random signs, scaled as r of gqa_score_op is without its
 * weight. */
static void draw_row(const struct gqa_cpu_attend_task *t, uint64_t seed,
                     uint64_t head, uint64_t row, uint64_t first, const real *p,
                     real *e, size_t n)
{
    const uint64_t key =
        gqa_sign_key(seed, t->sequence, head, t->start + t->first + row);
    real sum = 0;

    for (size_t i = 0; i < n; i++) {
        const real root = sqrt_real(p[i]);

        e[i] = gqa_sign_bit(key, first + i) ? -root : root;
    }
    for (size_t i = 0; i < n; i++)
        sum += e[i];
    for (size_t i = 0; i < n; i++)
        e[i] -= p[i] * sum;
}

/* e of a row becomes r; returns the row's loss. */
static double compare_row(const real *p, real *e, size_t n, real weight)
{
    const real mean = dot_reals(p, e, n);
    real lanes[LANES] = {0};
    double loss = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const real x = e[i + j] - mean;
            const real r = weight * p[i + j] * x;

            e[i + j] = r;
            lanes[j] += r * x;
        }
    for (; i < n; i++) {
        const real x = e[i] - mean;
        const real r = weight * p[i] * x;

        e[i] = r;
        lanes[0] += r * x;
    }
    for (size_t j = 0; j < LANES; j++)
        loss += (double)lanes[j];
    return loss;
}

/* All rows of one of our heads; returns their loss. */
static double compare_head(const struct gqa_cpu_score_task *task,
                           const struct score_tile *tile, uint64_t head)
{
    const struct gqa_score_op *op = task->op;
    const struct gqa_cpu_attend_task *t = &task->t;
    const uint64_t original = op->heads ? op->heads[head] : head;
    double loss = 0;

    for (uint64_t row = 0; row < t->n; row++) {
        const uint64_t at = t->sequence * t->n_new + t->first + row;
        const real weight =
            op->weights
                ? ((const real *)
                       op->weights)[at * op->original.q_place.n_heads + head]
                : 1;
        real *p = tile->p + row * tile->n, *e = tile->e + row * tile->n;
        uint64_t first, end;
        size_t n;

        seen_keys(t, t->first + row, &first, &end);
        first -= tile->first;
        end = end > tile->first ? end - tile->first : 0;
        if (end <= first) {
            memset(e, 0, tile->n * sizeof *e);
            continue;
        }
        n = (size_t)(end - first);
        memset(e, 0, first * sizeof *e);
        memset(e + end, 0, (tile->n - end) * sizeof *e);
        p += first;
        e += first;
        if (op->subtract && !op->probe)
            for (size_t i = 0; i < n; i++)
                e[i] -= p[i];
        soften(t, original, row, tile->first + first, p, n);
        if (op->plain) {
            memcpy(e, p, n * sizeof *e);
            scale_reals(e, n, (double)weight);
        } else if (op->probe) {
            draw_row(t, op->probe, head, row, tile->first + first, p, e, n);
            scale_reals(e, n, (double)sqrt_real(weight));
        } else {
            loss += compare_row(p, e, n, weight);
        }
    }
    return loss;
}

static void give_queries(const struct gqa_cpu_score_task *task,
                         const struct score_tile *tile, uint64_t head)
{
    const struct gqa_score_op *op = task->op;
    const struct gqa_cpu_attend_task *t = &task->t;
    const uint64_t d = t->op->head_dim, width = t->op->q_place.n_heads * d;
    real *out = (real *)op->out_q +
                (t->sequence * t->n_new + t->first) * width + head * d;

    for (uint64_t row = tile->n ? t->n : 0; row < t->n + t->n_padding; row++)
        memset(out + row * width, 0, d * sizeof *out);
    if (tile->n == 0)
        return;
    GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)t->n, (int)d,
         (int)tile->n, (real)op->scale, tile->e, (int)tile->n,
         keys_of(t, op->k, op->n_kv_heads, t->kv_head, tile->first), (int)d, 0,
         out, (int)width);
}

static void add_keys(const struct gqa_cpu_score_task *task,
                     const struct score_tile *tile, const real *q)
{
    const struct gqa_score_op *op = task->op;
    const struct gqa_cpu_attend_task *t = &task->t;
    const uint64_t d = t->op->head_dim, width = op->n_kv_heads * d;
    real *out = (real *)op->out_k +
                (t->sequence * t->op->capacity + tile->first) * width +
                t->kv_head * d;

    GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)tile->n, (int)d,
         (int)t->n, (real)op->scale, tile->e, (int)tile->n, q, (int)op->q_width,
         1, out, (int)width);
}

/* What queries first to first + n - 1 of the task see together. */
static struct score_tile tile_of(const struct gqa_cpu_attend_task *t,
                                 void *scratch)
{
    struct score_tile tile = {.p = scratch};
    uint64_t end = 0, ignored;

    if (t->n == 0)
        return tile;
    seen_keys(t, t->first, &tile.first, &ignored);
    seen_keys(t, t->first + t->n - 1, &ignored, &end);
    tile.n = end > tile.first ? end - tile.first : 0;
    tile.e = tile.p + t->n * tile.n;
    return tile;
}

static void scores_tile(const struct gqa_cpu_score_task *task, void *scratch)
{
    const struct gqa_score_op *op = task->op;
    const struct gqa_cpu_attend_task *t = &task->t;
    const uint64_t group = t->op->q_place.n_heads / op->n_kv_heads;
    const struct score_tile tile = tile_of(t, scratch);

    for (uint64_t g = 0; g < group; g++) {
        const uint64_t head = t->kv_head * group + g;
        const real *q =
            op->q ? queries_of(t, op->q, op->q_width, &op->q_place, head)
                  : NULL;

        if (tile.n > 0) {
            make_original(t, &tile, op->heads ? op->heads[head] : head);
            if (!op->probe && !op->plain)
                make_scores(
                    t, &tile, q, op->q_width,
                    keys_of(t, op->k, op->n_kv_heads, t->kv_head, tile.first),
                    op->scale, tile.e);
            task->losses[g] += compare_head(task, &tile, head);
        }
        if (op->out_q)
            give_queries(task, &tile, head);
        if (op->out_k && tile.n > 0)
            add_keys(task, &tile, q);
    }
}
