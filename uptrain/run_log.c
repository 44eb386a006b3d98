#include "uptrain/run_log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"

struct gqa_run_log {
    const char *path;
    FILE *out;     /* NULL: of nothing, or of nothing any more */
    char *failure; /* what kept it from going on; NULL: nothing */
};

static enum gqa_status open_stream(FILE **out, const char *path)
{
    int fd = -1;
    const enum gqa_status st = gqa_file_append(&fd, path);

    if (st != GQA_OK || (*out = fdopen(fd, "a")))
        return st;
    close(fd);
    return gqa_fail_nomem();
}

enum gqa_status gqa_run_log_open(struct gqa_run_log **out, const char *path)
{
    struct gqa_run_log *log = calloc(1, sizeof *log);
    enum gqa_status st = GQA_OK;

    if (!log)
        return gqa_fail_nomem();
    log->path = path;
    if (path)
        st = open_stream(&log->out, path);
    if (st == GQA_OK)
        *out = log;
    else
        free(log);
    return st;
}

/* What was trained is worth more than what is told of it. */
static enum gqa_status give_up(struct gqa_run_log *log)
{
    FILE *out = log->out;

    gqa_fail_errno("%s", log->path);
    log->failure = strdup(gqa_error_message());
    log->out = NULL;
    if (out)
        fclose(out);
    if (!log->failure)
        return gqa_fail_nomem();
    gqa_warn("%s: the log ends here, and training goes on", log->failure);
    return GQA_OK;
}

enum gqa_status gqa_run_log_close(struct gqa_run_log *log)
{
    FILE *out = log ? log->out : NULL;
    enum gqa_status st = GQA_OK;

    if (out) {
        log->out = NULL;
        if (fclose(out) != 0)
            st = give_up(log);
    }
    if (log && log->failure)
        st = gqa_fail(GQA_ERR_IO, "%s; the log is not whole", log->failure);
    if (log)
        free(log->failure);
    free(log);
    return st;
}

/* Takes the line, which is NULL where memory is short. */
static enum gqa_status put(struct gqa_run_log *log, json_t *line)
{
    char *text = NULL;
    enum gqa_status st =
        gqa_json_dump(&text, line, JSON_COMPACT | gqa_json_real_flags(line));

    if (st == GQA_OK &&
        (fprintf(log->out, "%s\n", text) < 0 || fflush(log->out) != 0))
        st = give_up(log);
    free(text);
    json_decref(line);
    return st;
}

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

enum gqa_status gqa_run_log_step(struct gqa_run_log *log, uint64_t step,
                                 const struct gqa_step_result *r, double rate,
                                 double seconds)
{
    if (!log->out)
        return GQA_OK;
    return put(log, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "step",
                              integer(step), "loss", number(r->loss), "norm",
                              number(r->norm), "rate", number(rate), "tokens",
                              integer(r->n_tokens), "positions",
                              integer(r->n_counted), "seconds",
                              number(gqa_clock_round(seconds))));
}

enum gqa_status gqa_run_log_measure(struct gqa_run_log *log,
                                    const struct gqa_evaluation *e)
{
    json_t *line;

    if (!log->out)
        return GQA_OK;
    line = json_pack("{s:o, s:o, s:o, s:o}", "measured", integer(e->step),
                     "positions", integer(e->n_positions), "kl", number(e->kl),
                     "top1", number(e->top1));
    if (e->perplexity[1] > 0) {
        json_object_set_new(line, "perplexity", number(e->perplexity[1]));
        json_object_set_new(line, "perplexity_original",
                            number(e->perplexity[0]));
    }
    return put(log, line);
}

enum gqa_status gqa_run_log_probe(struct gqa_run_log *log, double rate,
                                  double kl)
{
    return log->out ? put(log, json_pack("{s:o, s:o}", "tried_rate",
                                         number(rate), "kl", number(kl)))
                    : GQA_OK;
}

enum gqa_status gqa_run_log_match(struct gqa_run_log *log,
                                  const struct gqa_layer_match *match)
{
    return log->out ? put(log, json_pack("{s:o}", "matched",
                                         gqa_layer_match_describe(match)))
                    : GQA_OK;
}

enum gqa_status gqa_run_log_plan(struct gqa_run_log *log,
                                 const struct gqa_time_plan *plan)
{
    return log->out ? put(log, json_pack("{s:o}", "planned",
                                         gqa_time_plan_describe(plan)))
                    : GQA_OK;
}

enum gqa_status gqa_run_log_resume(struct gqa_run_log *log, uint64_t step)
{
    return log->out ? put(log, json_pack("{s:o}", "resumed", integer(step)))
                    : GQA_OK;
}
