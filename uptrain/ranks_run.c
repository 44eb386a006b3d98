#include "uptrain/ranks_run.h"

#include <stdlib.h>

#include "common/json.h"

/* The first rank's, as text; *out is owned. */
static enum gqa_status tell_json(struct gqa_ranks *ranks, char **out,
                                 const json_t *json)
{
    enum gqa_status st = GQA_OK;

    *out = NULL;
    if (gqa_ranks_is_first(ranks) &&
        !(*out = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS)))
        st = gqa_fail_nomem();
    st = gqa_ranks_agree(ranks, st);
    return st == GQA_OK ? gqa_ranks_tell_text(ranks, out) : st;
}

static enum gqa_status differ(const char *key, const json_t *here,
                              const json_t *first)
{
    char *a = json_dumps(here, JSON_ENCODE_ANY | JSON_COMPACT);
    char *b = json_dumps(first, JSON_ENCODE_ANY | JSON_COMPACT);
    const enum gqa_status st =
        gqa_fail(GQA_ERR_USAGE,
                 "it was started for another run: its %s is %s, and that of "
                 "rank 0 %s",
                 key, a ? a : "another", b ? b : "another");

    free(a);
    free(b);
    return st;
}

static enum gqa_status compare(const json_t *what, const char *text)
{
    json_t *first = gqa_json_own(text);
    enum gqa_status st = first ? GQA_OK : gqa_fail_nomem();
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)what, key, value)
    {
        if (st == GQA_OK && !json_equal(value, json_object_get(first, key)))
            st = differ(key, value, json_object_get(first, key));
    }
    json_decref(first);
    return st;
}

enum gqa_status gqa_ranks_check_what(struct gqa_ranks *ranks,
                                     const json_t *what)
{
    char *text = NULL;
    enum gqa_status st;

    if (!ranks)
        return GQA_OK;
    st = gqa_ranks_agree(ranks, what ? GQA_OK : gqa_fail_nomem());
    if (st == GQA_OK)
        st = tell_json(ranks, &text, what);
    if (st == GQA_OK)
        st = gqa_ranks_agree(ranks, compare(what, text));
    free(text);
    return st;
}

/* --- State ---------------------------------------------------------------- */

static enum gqa_status tell_history(struct gqa_ranks *ranks,
                                    struct gqa_history *h)
{
    json_t *json = gqa_history_describe(h);
    char *text = NULL;
    enum gqa_status st = tell_json(ranks, &text, json);

    json_decref(json);
    if (st == GQA_OK && !gqa_ranks_is_first(ranks)) {
        json = gqa_json_own(text);
        if (!gqa_history_read(h, json))
            st = gqa_fail_nomem();
        json_decref(json);
    }
    free(text);
    if ((st = gqa_ranks_agree(ranks, st)) != GQA_OK)
        return st;
    return gqa_ranks_tell(ranks, 0, h->losses,
                          (size_t)h->n_steps * sizeof *h->losses);
}

enum gqa_status gqa_ranks_take_up(struct gqa_ranks *ranks, bool *resumed,
                                  struct gqa_trainer *trainer,
                                  struct gqa_history *h)
{
    enum gqa_status st;

    if (!ranks)
        return GQA_OK;
    st = gqa_ranks_tell(ranks, 0, resumed, sizeof *resumed);
    if (st == GQA_OK && *resumed)
        st = tell_history(ranks, h);
    return st == GQA_OK ? gqa_trainer_share(trainer, *resumed) : st;
}
