/*
 * Arithmetic backwards, for real.inl, which includes this: derivatives of
 * what is there, by the same names of values; docs/numerics.md derives them.
 */

/* --- Sums ----------------------------------------------------------------- */

static double sum_squares(const void *x, size_t n)
{
    return sum_reals(x, n, 0, true);
}

static double sum_products(const void *x_, const void *y_, size_t n)
{
    const real *x = x_, *y = y_;
    double lanes[LANES] = {0};
    double sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += (double)x[i + j] * (double)y[i + j];
    for (; i < n; i++)
        lanes[0] += (double)x[i] * (double)y[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

static void add_to_sums(double *sums, const void *x_, size_t n)
{
    const real *x = x_;

    for (size_t i = 0; i < n; i++)
        sums[i] += (double)x[i];
}

static void add_sums(void *x_, const double *sums, size_t n)
{
    real *x = x_;

    for (size_t i = 0; i < n; i++)
        x[i] += (real)sums[i];
}

static void add_scaled(void *x_, const void *y_, size_t n, double factor)
{
    const real f = (real)factor;
    const real *y = y_;
    real *x = x_;

    for (size_t i = 0; i < n; i++)
        x[i] += f * y[i];
}

static void multiply_columns(void *out, int ldout, const void *x, int ldx,
                             int n_x, const void *y, int ldy, int n_y,
                             int n_rows)
{
    GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, n_x, n_y, n_rows, 1, x, ldx,
         y, ldy, 1, out, ldout);
}

static void store_reals(void *dst, enum gqa_dtype dtype, const void *src_,
                        size_t n)
{
    enum { AT_ONCE = 256 };
    const size_t bytes = gqa_dtype_bits(dtype) / 8;
    const real *src = src_;
    double values[AT_ONCE];

    for (size_t i = 0; i < n; i += AT_ONCE) {
        const size_t some = n - i < AT_ONCE ? n - i : AT_ONCE;

        for (size_t j = 0; j < some; j++)
            values[j] = (double)src[i + j];
        gqa_store_f64((char *)dst + i * bytes, dtype, values, some);
    }
}

/* --- Norms ---------------------------------------------------------------- */

/* Sums over a row of g = dy * weight, and of g * normed x. */
struct norm_sums {
    double g, gx;
};

/* Where a row's norm stands: normed x = (x - mean) * factor. */
struct normed {
    const real *x, *dy, *weight;
    double mean, factor, plus;
};

static double blamed(const struct normed *r, size_t i)
{
    return r->weight ? (double)r->dy[i] * ((double)r->weight[i] + r->plus)
                     : (double)r->dy[i];
}

static struct norm_sums sum_blame(const struct normed *r, size_t width)
{
    double g[LANES] = {0}, gx[LANES] = {0};
    struct norm_sums sums = {0, 0};
    size_t i = 0;

    for (; i + LANES <= width; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const double b = blamed(r, i + j);

            g[j] += b;
            gx[j] += b * (((double)r->x[i + j] - r->mean) * r->factor);
        }
    for (; i < width; i++) {
        const double b = blamed(r, i);

        g[0] += b;
        gx[0] += b * (((double)r->x[i] - r->mean) * r->factor);
    }
    for (size_t j = 0; j < LANES; j++) {
        sums.g += g[j];
        sums.gx += gx[j];
    }
    return sums;
}

static void norm_row_back(void *dx_, double *d_weight, double *d_bias,
                          const void *x, const void *dy, size_t width,
                          const struct gqa_cpu_norm *norm)
{
    const double n = (double)width;
    real *dx = dx_;
    struct normed r = {.x = x, .dy = dy, .weight = norm->weight};
    struct norm_sums sums;
    double mean_g;

    if (norm->kind == GQA_NORM_LAYER)
        r.mean = sum_reals(x, width, 0, false) / n;
    r.factor = 1 / sqrt(sum_reals(x, width, r.mean, true) / n + norm->eps);
    r.plus = norm->one_plus ? 1 : 0;
    for (size_t i = 0; d_weight && i < width; i++)
        d_weight[i] += (double)r.dy[i] * (((double)r.x[i] - r.mean) * r.factor);
    for (size_t i = 0; d_bias && i < width; i++)
        d_bias[i] += (double)r.dy[i];
    if (!dx)
        return;
    sums = sum_blame(&r, width);
    mean_g = norm->kind == GQA_NORM_LAYER ? sums.g / n : 0;
    for (size_t i = 0; i < width; i++) {
        const double normed = ((double)r.x[i] - r.mean) * r.factor;
        const real d =
            (real)(r.factor * (blamed(&r, i) - mean_g - normed * sums.gx / n));

        dx[i] = norm->accumulate ? dx[i] + d : d;
    }
}

/* --- Rotation ------------------------------------------------------------- */

static void rotate_head_back(void *head, uint64_t n_pairs, bool interleaved,
                             const void *cos_sin)
{
    real *a = head;
    real *b = a + (interleaved ? 1 : n_pairs);
    const size_t step = interleaved ? 2 : 1;
    const real *t = cos_sin;

    for (uint64_t j = 0; j < n_pairs; j++) {
        const real x = a[j * step];
        const real y = b[j * step];

        a[j * step] = x * t[2 * j] + y * t[2 * j + 1];
        b[j * step] = y * t[2 * j] - x * t[2 * j + 1];
    }
}

/* --- Activations ---------------------------------------------------------- */

/* What an activation makes of x, and its slope there. */
struct slope {
    real value, slope;
};

/* x / (1 + e^-y), where y's slope is dy. */
static INLINE struct slope gate_slope(real x, real y, real dy)
{
    const real share = (real)1 / ((real)1 + exp_real(-y));
    const real value = x * share;

    return (struct slope){value, share + value * ((real)1 - share) * dy};
}

/* Far from 0, where the share is 0 or 1, nothing becomes infinite. */
static INLINE struct slope gelu_tanh_slope(real x, real twice)
{
    const real square = x * x < (real)1e6 ? x * x : (real)1e6;
    const real cubic = (real)0.044715 * square;

    return gate_slope(x, twice * (x + cubic * x),
                      twice * ((real)1 + (real)3 * cubic));
}

static INLINE struct slope gelu_slope(real x)
{
    const real share = normal_real(x);
    const real density =
        (real)0.39894228040143267794 * exp_real((real)-0.5 * x * x);

    return (struct slope){x * share, share + x * density};
}

static INLINE struct slope relu_slope(real x)
{
    return x <= 0 ? (struct slope){0, 0} : (struct slope){x, 1};
}

static INLINE struct slope relu2_slope(real x)
{
    return x <= 0 ? (struct slope){0, 0} : (struct slope){x * x, 2 * x};
}

/* A loop for each kind, so that a compiler may use vectors. */
#define GO_BACK(expression)                          \
    do {                                             \
        if (up)                                      \
            for (size_t i = 0; i < n; i++) {         \
                const real x = gate[i], d = dy[i];   \
                const struct slope s = (expression); \
                                                     \
                d_up[i] = d * s.value;               \
                d_gate[i] = d * up[i] * s.slope;     \
            }                                        \
        else                                         \
            for (size_t i = 0; i < n; i++) {         \
                const real x = gate[i];              \
                const struct slope s = (expression); \
                                                     \
                d_gate[i] = dy[i] * s.slope;         \
            }                                        \
    } while (0)

static void activate_back(void *d_gate_, void *d_up_, const void *gate_,
                          const void *up_, const void *dy_, size_t n,
                          enum gqa_activation activation)
{
    const real *gate = gate_, *up = up_, *dy = dy_;
    real *d_gate = d_gate_, *d_up = d_up_;

    switch (activation) {
    case GQA_ACTIVATION_RELU:
        GO_BACK(relu_slope(x));
        break;
    case GQA_ACTIVATION_GELU:
        GO_BACK(gelu_slope(x));
        break;
    case GQA_ACTIVATION_GELU_TANH:
        GO_BACK(gelu_tanh_slope(x, (real)1.5957691216057308));
        break;
    case GQA_ACTIVATION_SILU:
        GO_BACK(gate_slope(x, x, 1));
        break;
    case GQA_ACTIVATION_QUICK_GELU:
        GO_BACK(gate_slope(x, (real)1.702 * x, (real)1.702));
        break;
    case GQA_ACTIVATION_RELU2:
        GO_BACK(relu2_slope(x));
        break;
    case GQA_ACTIVATION_GELU_BLOOM:
        GO_BACK(gelu_tanh_slope(x, (real)1.59576912));
        break;
    }
}

#undef GO_BACK

/* e^x up to eps alone has a slope: beyond it, min(x, eps) is eps. */
static void xielu_back(void *dx_, double *sums, const void *x_, const void *dy_,
                       size_t n, const struct gqa_xielu *c)
{
    const real *x = x_, *dy = dy_;
    real *dx = dx_;

    sums[0] = sums[1] = 0;
    for (size_t i = 0; i < n; i++) {
        const double y = x[i], d = dy[i];
        const double grown = expm1(y > c->eps ? c->eps : y);

        if (y > 0) {
            sums[0] += d * y * y;
            dx[i] = (real)(d * (2 * c->positive * y + c->beta));
        } else {
            sums[1] += d * (grown - y);
            dx[i] =
                (real)(d * (c->negative * (y > c->eps ? -1 : grown) + c->beta));
        }
    }
}

/* What is kept within a limit has no slope beyond it. */
static void swiglu_pairs_back(void *dx_, const void *x_, const void *dy_,
                              size_t n, const struct gqa_clamped_swiglu *c)
{
    const real alpha = (real)c->alpha, limit = (real)c->limit;
    const real *x = x_, *dy = dy_;
    real *dx = dx_;

    for (size_t i = 0; i < n; i++) {
        const real gate = x[2 * i], up = x[2 * i + 1], d = dy[i];
        const real g = gate > limit ? limit : gate;
        const struct slope s = gate_slope(g, alpha * g, alpha);

        dx[2 * i] =
            gate <= limit ? d * (within(up, -limit, limit) + 1) * s.slope : 0;
        dx[2 * i + 1] = up >= -limit && up <= limit ? d * s.value : 0;
    }
}

static void clip_back(void *dy_, const void *x_, size_t n, double limit_)
{
    const real limit = (real)limit_;
    const real *x = x_;
    real *dy = dy_;

    for (size_t i = 0; i < n; i++)
        dy[i] = x[i] >= -limit && x[i] <= limit ? dy[i] : 0;
}

/* --- Losses --------------------------------------------------------------- */

/* out = softmax(x / temperature); returns the logarithm of the sum of
 * exponentials. */
static double soften_row(real *out, const real *x, size_t n, double temperature)
{
    const real by = (real)(1 / temperature);
    double sum;
    real most;

    for (size_t i = 0; i < n; i++)
        out[i] = x[i] * by;
    most = largest(out, n);
    sum = (double)exponentiate(out, n, most);
    scale_reals(out, n, 1 / sum);
    return (double)most + log(sum);
}

/* Logarithm of the ratio of two probabilities, t's and s's: (t - s) * by +
 * offset. */
struct ratio {
    const real *t, *s;
    double by, offset;
};

static double ratio_at(const struct ratio *r, size_t i)
{
    return ((double)r->t[i] - (double)r->s[i]) * r->by + r->offset;
}

/* Sum of p times the ratio's logarithm. */
static double divergence(const real *p, const struct ratio *r, size_t n)
{
    double lanes[LANES] = {0};
    double sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += (double)p[i + j] * ratio_at(r, i + j);
    for (; i < n; i++)
        lanes[0] += (double)p[i] * ratio_at(r, i);
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

static void loss_row(const struct gqa_cpu_loss_row *row, void *scratch)
{
    const struct gqa_loss_op *op = row->op;
    const size_t n = (size_t)op->vocab_size;
    const double temperature = op->temperature;
    const double square = temperature * temperature;
    const real *student = row->student;
    real *const p = scratch, *const q = p + n;
    real *one = q; /* the student's, at 1 */
    real *d = row->d_logits;
    const double f = op->factor * row->weight;
    const double ce = row->label >= 0 ? op->cross_entropy * f : 0;
    struct ratio ratio = {row->teacher, student, 1 / temperature, 0};
    double from_student, at_one, reverse = 0;

    row->losses[0] = row->losses[1] = row->losses[2] = 0;
    from_student = at_one = soften_row(q, student, n, temperature);
    if (row->teacher) {
        ratio.offset =
            from_student - soften_row(p, row->teacher, n, temperature);
        row->losses[0] = square * divergence(p, &ratio, n);
        reverse = -divergence(q, &ratio, n);
        row->losses[1] = square * reverse;
    }
    if (row->label >= 0) {
        if (temperature != 1) {
            one = q + n;
            at_one = soften_row(one, student, n, 1);
        }
        row->losses[2] = at_one - (double)student[row->label];
    }
    if (!d)
        return;
    for (size_t i = 0; i < n; i++)
        d[i] = (real)(ce * (double)one[i]);
    if (row->label >= 0)
        d[row->label] = (real)((double)d[row->label] - ce);
    if (row->teacher && op->kl != 0)
        for (size_t i = 0; i < n; i++)
            d[i] += (real)(op->kl * temperature * f) * (q[i] - p[i]);
    if (row->teacher && op->reverse_kl != 0)
        for (size_t i = 0; i < n; i++)
            d[i] += (real)(op->reverse_kl * temperature * f * (double)q[i] *
                           (-ratio_at(&ratio, i) - reverse));
    if (op->soft_cap > 0)
        for (size_t i = 0; i < n; i++) {
            const real share = student[i] / (real)op->soft_cap;

            d[i] *= (real)1 - share * share;
        }
}

static double squares_back(void *dx_, const void *x_, const void *target_,
                           size_t n, double factor)
{
    const real *x = x_, *target = target_;
    const real f = (real)factor;
    real *dx = dx_;
    double lanes[LANES] = {0};
    double sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const real d = x[i + j] - target[i + j];

            lanes[j] += (double)d * (double)d;
            dx[i + j] = f * d;
        }
    for (; i < n; i++) {
        const real d = x[i] - target[i];

        lanes[0] += (double)d * (double)d;
        dx[i] = f * d;
    }
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

/* --- Steps ---------------------------------------------------------------- */

static void store_copy(void *copy, enum gqa_dtype dtype, const real *weights,
                       size_t first, size_t n)
{
    if (copy)
        store_reals((char *)copy + first * gqa_dtype_bits(dtype) / 8, dtype,
                    weights + first, n);
}

static void adamw(const struct gqa_adamw_op *op,
                  const struct gqa_cpu_part *part)
{
    const double t = (double)op->step;
    const real scale = (real)op->gradient_scale;
    const real keep = (real)(1 - op->rate * op->decay);
    const real b1 = (real)op->beta1, c1 = (real)(1 - op->beta1);
    const real b2 = (real)op->beta2, c2 = (real)(1 - op->beta2);
    const real rate = (real)(op->rate / (1 - pow(op->beta1, t)));
    const real unbias = (real)(1 / sqrt(1 - pow(op->beta2, t)));
    const real eps = (real)op->eps;
    const real *g = (const real *)op->gradients + part->first;
    real *w = (real *)op->weights + part->first;
    real *m = (real *)op->mean + part->first;
    real *v = (real *)op->square + part->first;

    for (size_t i = 0; i < part->n; i++) {
        const real d = scale * g[i];

        m[i] = b1 * m[i] + c1 * d;
        v[i] = b2 * v[i] + c2 * d * d;
        w[i] = keep * w[i] - rate * m[i] / (sqrt_real(v[i]) * unbias + eps);
    }
    store_copy(op->copy, op->copy_dtype, op->weights, part->first, part->n);
}

/* A gradient's square, as Adafactor takes it. */
static double adafactor_square(const struct gqa_adafactor_op *op, size_t i)
{
    const double g =
        op->gradient_scale * (double)((const real *)op->gradients)[i];

    return g * g + op->eps;
}

static void adafactor_row(const struct gqa_adafactor_op *op, double beta,
                          uint64_t r)
{
    const size_t n = (size_t)op->n_cols;
    real *moment = (real *)op->row + r;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += adafactor_square(op, (size_t)r * n + i);
    *moment = (real)(beta * (double)*moment + (1 - beta) * sum / (double)n);
}

static void adafactor_columns(const struct gqa_adafactor_op *op, double beta,
                              const struct gqa_cpu_part *part, double *sums)
{
    const size_t n = (size_t)op->n_cols;
    real *moment = (real *)op->col + part->first;

    for (size_t i = 0; i < part->n; i++)
        sums[i] = 0;
    for (uint64_t r = 0; r < op->n_rows; r++)
        for (size_t i = 0; i < part->n; i++)
            sums[i] += adafactor_square(op, (size_t)r * n + part->first + i);
    for (size_t i = 0; i < part->n; i++)
        moment[i] = (real)(beta * (double)moment[i] +
                           (1 - beta) * sums[i] / (double)op->n_rows);
}

static double adafactor_update(const struct gqa_adafactor_op *op, uint64_t r,
                               double mean_row, double divisor)
{
    const size_t n = (size_t)op->n_cols, first = (size_t)r * n;
    const real *g = (const real *)op->gradients + first;
    const real *col = op->col;
    real *w = (real *)op->weights + first;
    const double row =
        op->n_rows > 1 ? (double)((const real *)op->row)[r] / mean_row : 1;
    const double keep = 1 - op->rate * op->weight_decay;
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        const double u =
            op->gradient_scale * (double)g[i] / sqrt(row * (double)col[i]);

        sum += u * u;
        if (divisor > 0)
            w[i] = (real)(keep * (double)w[i] - op->rate / divisor * u);
    }
    if (divisor > 0)
        store_copy(op->copy, op->copy_dtype, op->weights, first, n);
    return sum;
}
