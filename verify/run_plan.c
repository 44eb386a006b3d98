#include "verify/run_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/log.h"
#include "common/units.h"
#include "runtime/uses.h"
#include "verify/run_tokens.h"

/* Some seconds of sixteen cores: 2 sequences of 18 tokens of a 7B model. */
#define MAX_FLOP 1e12

enum {
    MIN_LENGTH = 16,
    N_COMPUTATIONS = 2, /* in float64, and the plain one */
};

/* Activations, logits, caches of a layer and the threads' own memory. */
#define WORK_BYTES ((uint64_t)256 << 20)

/* Elements of the weights of a part. */
static uint64_t n_elements(const enum gqa_use *uses,
                           const struct gqa_model *model)
{
    uint64_t n = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (uses[i] == GQA_USE_DEVICE)
            n += model->params[i].n_elements;
    return n;
}

/* Products of a token, and the bytes of the largest part; uses: room. */
static double measure(const struct gqa_network *n, enum gqa_use *uses,
                      uint64_t *most_bytes)
{
    const size_t n_bytes = n->model->n_params * sizeof *uses;
    double products;

    memset(uses, 0, n_bytes);
    gqa_use_unembedding(uses, n);
    products = (double)n_elements(uses, n->model);
    *most_bytes = gqa_use_bytes(uses, n->model);
    for (size_t i = 0; i < n->n_stacks; i++) {
        const struct gqa_network_stack *stack = &n->stacks[i];

        memset(uses, 0, n_bytes);
        gqa_use_embedding(uses, stack);
        *most_bytes = gqa_max_u64(*most_bytes, gqa_use_bytes(uses, n->model));
        for (size_t j = 0; j < stack->n_blocks; j++) {
            memset(uses, 0, n_bytes);
            gqa_use_block(uses, &stack->blocks[j]);
            products += (double)n_elements(uses, n->model);
            *most_bytes =
                gqa_max_u64(*most_bytes, gqa_use_bytes(uses, n->model));
        }
    }
    return products;
}

enum gqa_status gqa_reference_cost_of(struct gqa_reference_cost *out,
                                      const struct gqa_network *network)
{
    const size_t n = network->model->n_params;
    enum gqa_use *uses = calloc(n ? n : 1, sizeof *uses);
    double per_token; /* of each sequence */

    if (!uses)
        return gqa_fail_nomem();
    per_token = 2 * measure(network, uses, &out->n_bytes) *
                GQA_REFERENCE_SEQUENCES * N_COMPUTATIONS;
    free(uses);
    out->length = GQA_REFERENCE_LENGTH;
    if (per_token * (double)out->length > MAX_FLOP)
        out->length = gqa_max_u64((uint64_t)(MAX_FLOP / per_token), MIN_LENGTH);
    out->flop = per_token * (double)out->length;
    out->n_bytes += WORK_BYTES;
    return GQA_OK;
}

enum gqa_status gqa_run_plan_state(struct gqa_report *report,
                                   const struct gqa_network *network,
                                   const struct gqa_reference_cost *cost,
                                   const struct gqa_run_check_options *checks)
{
    uint64_t length = cost->length;
    const struct gqa_sample_options samples = gqa_run_samples(checks, network);
    const char *path =
        checks->tokens_path ? checks->tokens_path : checks->text_path;
    const char *type = gqa_dtype_name(checks->run.device.real);
    char data[4200], memory[GQA_UNITS_MAX], line[4600];

    if (path) {
        snprintf(data, sizeof data, "the tokens of %s", path);
    } else {
        snprintf(data, sizeof data, "%llu sample%s of %llu tokens",
                 (unsigned long long)samples.n, samples.n == 1 ? "" : "s",
                 (unsigned long long)samples.length);
        length = gqa_min_u64(length, samples.length);
    }
    snprintf(line, sizeof line,
             "%s on %s in %s; reference: float64 and plain %s of at most %d "
             "sequences of %llu tokens, layer by layer on the CPU, %.3g GFLOP, "
             "at most %s of memory",
             data, checks->run.backend->name, type, type,
             GQA_REFERENCE_SEQUENCES, (unsigned long long)length,
             cost->flop / (double)cost->length * (double)length / 1e9,
             gqa_units_bytes(memory, cost->n_bytes));
    /* On a terminal it is the first line; elsewhere the report has it. */
    if (isatty(STDERR_FILENO) && checks->log_level == GQA_LOG_WARN)
        fprintf(stderr, "will run %s\n", line);
    else
        gqa_info("will run %s", line);
    return gqa_report_fact(report, "plan", line);
}
