#include "verify/run_tokens.h"

#include <stdio.h>

#include "common/bounds.h"
#include "common/log.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"

/* The error, and which option helps where it is this one. */
static enum gqa_status advise(enum gqa_status st, enum gqa_status which,
                              const char *help)
{
    char message[512];

    if (st != which)
        return st;
    snprintf(message, sizeof message, "%s", gqa_error_message());
    return gqa_fail(st, "%s%s", message, help);
}

struct gqa_sample_options gqa_run_samples(
    const struct gqa_run_check_options *options,
    const struct gqa_network *network)
{
    struct gqa_sample_options samples = options->samples;

    if (samples.n == 0)
        samples.n = GQA_DEFAULT_SAMPLES;
    if (samples.length == 0)
        samples.length = GQA_DEFAULT_LENGTH;
    if (network->max_positions > 0)
        samples.length = gqa_min_u64(samples.length, network->max_positions);
    return samples;
}

/* What the models run on, in a line. */
static enum gqa_status state_data(struct gqa_report *report,
                                  const struct gqa_tokens *tokens,
                                  const struct gqa_run_check_options *o,
                                  bool is_drawn)
{
    const char *path = o->tokens_path ? o->tokens_path : o->text_path;
    char size[64], line[4200];

    snprintf(size, sizeof size, "%zu sequences, %llu positions", tokens->n,
             (unsigned long long)gqa_tokens_n_positions(tokens));
    if (path)
        snprintf(line, sizeof line, "%s of %s", size, path);
    else
        snprintf(line, sizeof line, "%s %s, seed %llu", size,
                 is_drawn ? "sampled from the original"
                          : "of tokens that are all equally likely",
                 (unsigned long long)o->samples.seed);
    return gqa_report_fact(report, "data", line);
}

static void warn_of_random_tokens(const char *what)
{
    gqa_warn("%s are random tokens, not drawn from the original: layer by "
             "layer, each token would take a pass over its weights (--tokens "
             "gives others)",
             what);
}

static enum gqa_status read_file(struct gqa_tokens *tokens,
                                 struct gqa_running *running,
                                 const struct gqa_run_check_options *options)
{
    const struct gqa_network *network = gqa_running_network(running);
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    const struct gqa_sample_options samples = gqa_run_samples(options, network);
    struct gqa_runtime *runtime = gqa_running_runtime(running);
    enum gqa_status st = gqa_tokens_read(tokens, options->tokens_path, &rules,
                                         options->samples.n);

    if (st == GQA_OK && options->samples.length > 0)
        gqa_tokens_cut(tokens, options->samples.length);
    if (st == GQA_OK)
        st = gqa_tokens_check_lengths(tokens, network->max_positions,
                                      options->tokens_path);
    if (st != GQA_OK || !rules.is_encoder_decoder)
        return st;
    if (runtime || !network->has_logits)
        return gqa_sample_outputs(tokens, runtime, network, &samples);
    if (gqa_tokens_any_to_draw(tokens))
        warn_of_random_tokens("labels");
    return gqa_sample_uniform_outputs(tokens, network, &samples);
}

static enum gqa_status draw(struct gqa_tokens *tokens,
                            struct gqa_running *running,
                            const struct gqa_run_check_options *options)
{
    const struct gqa_network *network = gqa_running_network(running);
    const struct gqa_sample_options samples = gqa_run_samples(options, network);
    enum gqa_status st;

    if (!gqa_running_runtime(running) && network->has_logits) {
        warn_of_random_tokens("samples");
        return gqa_sample_uniform(tokens, network, &samples);
    }
    st = gqa_sample(tokens, gqa_running_runtime(running), network, &samples);
    st = advise(st, GQA_ERR_FORMAT,
                "; with --tokens, the report says where it begins");
    return st == GQA_OK ? st : gqa_fail_prefix(st, "original");
}

enum gqa_status gqa_run_tokens(struct gqa_tokens *tokens,
                               struct gqa_report *report,
                               struct gqa_running *running,
                               const struct gqa_run_check_options *asked,
                               struct gqa_progress *bar)
{
    const struct gqa_network *network = gqa_running_network(running);
    struct gqa_run_check_options with_bar = *asked;
    const struct gqa_run_check_options *options = &with_bar;
    enum gqa_status st;

    with_bar.samples.progress = gqa_progress_update;
    with_bar.samples.progress_ctx = bar;
    gqa_progress_phase(bar,
                       options->tokens_path || options->text_path
                           ? "getting the tokens"
                           : "drawing samples",
                       GQA_PROGRESS_TOKENS);

    if (options->tokens_path) {
        st = read_file(tokens, running, options);
    } else if (options->text_path) {
        const struct gqa_token_rules rules = gqa_token_rules_of(network);
        const struct gqa_sample_options samples =
            gqa_run_samples(options, network);

        st = gqa_tokens_from_text(tokens, options->text_path, &rules,
                                  samples.length, samples.n);
        st = advise(st, GQA_ERR_UNSUPPORTED, " and give them by --tokens");
    } else {
        st = draw(tokens, running, options);
    }
    return st == GQA_OK ? state_data(report, tokens, options,
                                     gqa_running_runtime(running) != NULL &&
                                         network->has_logits)
                        : st;
}

struct gqa_tokens gqa_run_tokens_first(struct gqa_sequence *list,
                                       const struct gqa_tokens *tokens,
                                       size_t max_sequences, uint64_t length)
{
    struct gqa_tokens first = {list, 0};

    for (; first.n < tokens->n && first.n < max_sequences; first.n++) {
        list[first.n] = tokens->sequences[first.n];
        list[first.n].n_decoder = gqa_min_u64(list[first.n].n_decoder, length);
        list[first.n].n_encoder = gqa_min_u64(list[first.n].n_encoder, length);
    }
    return first;
}
