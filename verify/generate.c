#include "verify/generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"

struct choice {
    uint64_t vocab_size;
    int32_t token;
};

static enum gqa_status choose(void *ctx, uint64_t s, uint64_t position,
                              uint64_t n_rows, const double *logits)
{
    struct choice *c = ctx;
    uint64_t best = 0;

    (void)s;
    (void)position;
    c->token = GQA_NO_TOKEN;
    logits += (n_rows - 1) * c->vocab_size;
    for (uint64_t i = 0; i < c->vocab_size; i++) {
        if (!isfinite(logits[i]))
            return GQA_OK;
        if (logits[i] > logits[best])
            best = i;
    }
    c->token = (int32_t)best;
    return GQA_OK;
}

static enum gqa_status continue_from(int32_t *out, uint64_t n,
                                     struct gqa_session *session,
                                     const struct gqa_network *network,
                                     const int32_t *prompt, uint64_t n_prompt)
{
    struct choice choice = {network->vocab_size, GQA_NO_TOKEN};
    const struct gqa_step_output output = {
        .ctx = &choice, .logits = choose, .last_only = true};
    const int32_t *fed = prompt;
    uint64_t n_fed = n_prompt;
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        st = gqa_session_decode(session, fed, n_fed, &n_fed, &output);
        if (st != GQA_OK || choice.token == network->end_token ||
            choice.token == GQA_NO_TOKEN)
            break;
        out[i] = choice.token;
        fed = &out[i];
        n_fed = 1;
    }
    return st;
}

enum gqa_status gqa_generate(int32_t *out, uint64_t n,
                             struct gqa_running *running,
                             const struct gqa_sequence *sequence)
{
    const struct gqa_network *network = gqa_running_network(running);
    const uint64_t max = network->max_positions;
    const uint64_t n_prompt =
        sequence->encoder ? 1 : (sequence->n_decoder + 1) / 2;
    struct gqa_session *session = NULL;
    int32_t *prompt;
    enum gqa_status st;

    for (uint64_t i = 0; i < n; i++)
        out[i] = GQA_NO_TOKEN;
    if (max > 0 && n_prompt >= max)
        return GQA_OK;
    if (max > 0 && n > max - n_prompt)
        n = max - n_prompt;
    if (!(prompt = calloc(n_prompt, sizeof *prompt)))
        return gqa_fail_nomem();
    memcpy(prompt, sequence->decoder, n_prompt * sizeof *prompt);
    if (sequence->starts)
        prompt[0] = (int32_t)network->start_token;
    st = gqa_session_create(&session, gqa_running_runtime(running), 1,
                            n_prompt + n, sequence->n_encoder);
    if (st == GQA_OK && sequence->encoder)
        st = gqa_session_encode(session, sequence->encoder, sequence->n_encoder,
                                &sequence->n_encoder, NULL);
    if (st == GQA_OK)
        st = continue_from(out, n, session, network, prompt, n_prompt);
    gqa_session_free(session);
    free(prompt);
    return st;
}

static uint64_t count(const int32_t *tokens, uint64_t n)
{
    uint64_t used = 0;

    while (used < n && tokens[used] != GQA_NO_TOKEN)
        used++;
    return used;
}

static json_t *list(const int32_t *tokens, uint64_t n)
{
    json_t *array = json_array();

    for (uint64_t i = 0; array && i < n; i++)
        if (json_array_append_new(array, json_integer(tokens[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* "original 5 6 7" behind what is there; what finds no room is left out. */
static void say(char *text, size_t size, const char *name,
                const int32_t *tokens, uint64_t n)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s%s:", used > 0 ? "; " : "", name);
    for (uint64_t i = 0; i < n; i++) {
        char number[16];

        snprintf(number, sizeof number, " %d", (int)tokens[i]);
        used = strlen(text);
        if (used + strlen(number) + sizeof " ..." > size) {
            snprintf(text + used, size - used, " ...");
            return;
        }
        strcpy(text + used, number);
    }
}

enum gqa_status gqa_generate_report(struct gqa_report *report, uint64_t s,
                                    const int32_t *const tokens[GQA_N_MODELS],
                                    uint64_t n)
{
    const uint64_t counts[] = {count(tokens[0], n), count(tokens[1], n)};
    struct gqa_check check = {.group = GQA_CHECK_FIDELITY,
                              .verdict = GQA_REPORTED};
    char name[48];
    uint64_t same = 0, longest;

    while (same < counts[0] && same < counts[1] &&
           tokens[0][same] == tokens[1][same])
        same++;
    snprintf(name, sizeof name, "generate-%llu", (unsigned long long)s);
    check.name = name;
    longest = counts[0] > counts[1] ? counts[0] : counts[1];
    if (same == longest)
        snprintf(check.figure, sizeof check.figure,
                 "all %llu tokens are the same", (unsigned long long)same);
    else
        snprintf(check.figure, sizeof check.figure,
                 "the same for %llu of %llu tokens", (unsigned long long)same,
                 (unsigned long long)longest);
    /* Half of the room for each. */
    say(check.detail, sizeof check.detail / 2, "original", tokens[0],
        counts[0]);
    say(check.detail, sizeof check.detail, "converted", tokens[1], counts[1]);
    check.values = json_pack("{s:I, s:o, s:o}", "same", (json_int_t)same,
                             "original", list(tokens[0], counts[0]),
                             "converted", list(tokens[1], counts[1]));
    if (!check.values)
        return gqa_fail_nomem();
    return gqa_report_add(report, &check);
}
