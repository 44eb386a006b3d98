#include "runtime/measure/errors.h"

#include <math.h>
#include <stdbool.h>

/* Relative L2 error of a position; NaN where a value is not finite. */
static double error_of(const double *reference, const double *values,
                       uint64_t width)
{
    double distance = 0, norm = 0;

    for (uint64_t i = 0; i < width; i++) {
        const double d = values[i] - reference[i];

        distance += d * d;
        norm += reference[i] * reference[i];
    }
    if (!isfinite(distance) || !isfinite(norm))
        return (double)NAN;
    if (norm == 0)
        return distance == 0 ? 0 : 1;
    return sqrt(distance / norm);
}

void gqa_errors_add(struct gqa_errors *e, const double *reference,
                    const double *values, uint64_t n_rows, uint64_t width)
{
    for (uint64_t r = 0; r < n_rows; r++) {
        const double error =
            error_of(reference + r * width, values + r * width, width);

        e->n++;
        if (isnan(error)) {
            e->n_nonfinite++;
            continue;
        }
        e->sum_squares += error * error;
        e->most = fmax(e->most, error);
    }
}

void gqa_errors_merge(struct gqa_errors *e, const struct gqa_errors *more)
{
    e->n += more->n;
    e->n_nonfinite += more->n_nonfinite;
    e->sum_squares += more->sum_squares;
    e->most = fmax(e->most, more->most);
}

double gqa_errors_rms(const struct gqa_errors *e)
{
    const uint64_t n = e->n - e->n_nonfinite;

    return n > 0 ? sqrt(e->sum_squares / (double)n) : 0;
}

static double figure(const struct gqa_errors *e, enum gqa_error_kind kind)
{
    return kind == GQA_ERROR_RMS ? gqa_errors_rms(e) : e->most;
}

void gqa_errors_judge(struct gqa_error_verdict *out,
                      const struct gqa_errors *errors,
                      const struct gqa_errors *plain, size_t n_points,
                      const struct gqa_error_limits *limits)
{
    static const enum gqa_error_kind kinds[] = {GQA_ERROR_RMS, GQA_ERROR_MOST};
    double worst = -1;

    *out = (struct gqa_error_verdict){.first_beyond = n_points};
    for (size_t i = 0; i < n_points; i++) {
        bool tells = false;

        if (errors[i].n_nonfinite > 0 && out->n_nonfinite == 0) {
            out->n_nonfinite = errors[i].n_nonfinite;
            out->nonfinite_point = i;
        }
        for (int k = 0; k < 2; k++) {
            const double noise = limits->scale * figure(&plain[i], kinds[k]);
            const double limit = fmax(limits->factor * noise, limits->floor);
            const double error = figure(&errors[i], kinds[k]);

            if (errors[i].n == 0 || plain[i].n_nonfinite > 0 ||
                limit > limits->ceiling)
                continue;
            tells = true;
            if (error > limit && out->first_beyond == n_points)
                out->first_beyond = i;
            if (error / limit <= worst)
                continue;
            worst = error / limit;
            out->point = i;
            out->kind = kinds[k];
            out->error = error;
            out->plain = noise;
            out->limit = limit;
        }
        out->n_seen += errors[i].n > 0;
        out->n_told += tells;
    }
}
