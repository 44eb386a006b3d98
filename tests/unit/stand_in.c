#include "stand_in.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum {
    VOCAB = STAND_IN_VOCAB,
    WIDTH = STAND_IN_WIDTH,
    LAYERS = STAND_IN_LAYERS,
    MAX_NEW = 300,
};

struct gqa_session {
    struct gqa_runtime *runtime;
    uint64_t n_sequences, most_sequences;
    uint64_t numbers[16], positions[16];
    int32_t inputs[16];
};

struct gqa_runtime {
    struct stand_in errors;
    bool grouped;
};

struct stand_in stand_in;
unsigned stand_in_n_steps, stand_in_n_open;

void stand_in_reset(void)
{
    stand_in = (struct stand_in){.vocab_size = VOCAB};
    stand_in_n_steps = stand_in_n_open = 0;
}

enum gqa_status gqa_network_create(struct gqa_network **out,
                                   const struct gqa_model *model)
{
    struct gqa_network *n = calloc(1, sizeof *n);

    ck_assert_ptr_nonnull(n);
    n->model = model;
    n->n_stacks = 2;
    n->stacks[0].stack = GQA_STACK_ENCODER;
    n->stacks[1].stack = GQA_STACK_DECODER;
    n->stacks[0].n_blocks = n->stacks[1].n_blocks = LAYERS;
    n->d_model = WIDTH;
    n->vocab_size = stand_in.vocab_size;
    n->end_token = n->pad_token = -1;
    *out = n;
    return GQA_OK;
}

void gqa_network_free(struct gqa_network *network)
{
    free(network);
}

enum gqa_status gqa_runtime_create(struct gqa_runtime **out,
                                   const struct gqa_network *network,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   const struct gqa_weight_source *weights)
{
    const struct gqa_model *model = network->model;
    struct gqa_runtime *runtime = calloc(1, sizeof *runtime);

    (void)backend;
    (void)device;
    (void)weights;
    ck_assert_ptr_nonnull(runtime);
    runtime->errors = stand_in;
    for (size_t i = 0; model && i < model->n_attentions; i++)
        if (model->attentions[i].n_kv_heads < model->attentions[i].n_heads)
            runtime->grouped = true;
    *out = runtime;
    return GQA_OK;
}

void gqa_runtime_free(struct gqa_runtime *runtime)
{
    free(runtime);
}

enum gqa_status gqa_session_create(struct gqa_session **out,
                                   struct gqa_runtime *runtime,
                                   uint64_t n_sequences, uint64_t capacity,
                                   uint64_t encoder_capacity)
{
    ck_assert_uint_le(n_sequences, 16);
    ck_assert_uint_le(capacity, MAX_NEW);
    *out = calloc(1, sizeof **out);
    ck_assert_ptr_nonnull(*out);
    (*out)->runtime = runtime;
    (*out)->most_sequences = n_sequences;
    return gqa_session_begin(*out, n_sequences, capacity, encoder_capacity,
                             NULL);
}

enum gqa_status gqa_session_create_for(struct gqa_session **out,
                                       struct gqa_runtime *runtime,
                                       const struct gqa_session_room *room)
{
    return gqa_session_create(out, runtime, room->n_sequences, room->capacity,
                              room->encoder_capacity);
}

void gqa_session_token_bytes(const struct gqa_runtime *runtime,
                             uint64_t *encoder, uint64_t *decoder)
{
    (void)runtime;
    *encoder = *decoder = 8;
}

enum gqa_status gqa_session_begin(struct gqa_session *session,
                                  uint64_t n_sequences, uint64_t capacity,
                                  uint64_t encoder_capacity,
                                  const uint64_t *numbers)
{
    (void)capacity;
    (void)encoder_capacity;
    ck_assert_uint_le(n_sequences, session->most_sequences);
    session->n_sequences = n_sequences;
    for (uint64_t s = 0; s < n_sequences; s++)
        session->numbers[s] = numbers ? numbers[s] : s;
    gqa_session_reset(session);
    return GQA_OK;
}

void gqa_session_free(struct gqa_session *session)
{
    free(session);
}

void gqa_session_reset(struct gqa_session *session)
{
    memset(session->positions, 0, sizeof session->positions);
}

/* Of sequence s, n tokens from a position on. */
static enum gqa_status residuals(const struct gqa_session *session,
                                 const struct gqa_step_output *output,
                                 enum gqa_stack stack, uint64_t s,
                                 uint64_t position, uint64_t n,
                                 const int32_t *tokens)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t l = 0; output && output->residual && l < LAYERS; l++)
        for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
            double x[WIDTH] = {1 + (double)l, tokens[i]};

            if (stack == GQA_STACK_DECODER && l == 1)
                x[0] += session->runtime->errors.layer_error;
            st = output->residual(output->ctx, stack, l, session->numbers[s],
                                  position + i, 1, x);
        }
    return st;
}

enum gqa_status gqa_session_encode(struct gqa_session *session,
                                   const int32_t *tokens, uint64_t n_new,
                                   const uint64_t *n_tokens,
                                   const struct gqa_step_output *output)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t s = 0; s < session->n_sequences && st == GQA_OK; s++) {
        session->inputs[s] = tokens[s * n_new];
        st = residuals(session, output, GQA_STACK_ENCODER, s, 0, n_tokens[s],
                       tokens + s * n_new);
    }
    return st;
}

static enum gqa_status say(const struct gqa_session *session, uint64_t s,
                           uint64_t n, const int32_t *tokens,
                           const struct gqa_step_output *output)
{
    const struct gqa_runtime *runtime = session->runtime;
    const uint64_t position = session->positions[s];
    double logits[MAX_NEW * VOCAB];

    for (uint64_t i = 0; i < n; i++) {
        double error = runtime->errors.logit_error;

        error += runtime->grouped ? runtime->errors.grouped_error : 0;
        error += i > 0 ? runtime->errors.decoding_error : 0;
        logits[i * VOCAB] = tokens[i];
        logits[i * VOCAB + 1] = (double)(position + i);
        logits[i * VOCAB + 2] = error;
        logits[i * VOCAB + 3] = session->inputs[s];
    }
    return output->logits(output->ctx, session->numbers[s], position, n,
                          logits);
}

enum gqa_status gqa_session_decode(struct gqa_session *session,
                                   const int32_t *tokens, uint64_t n_new,
                                   const uint64_t *n_tokens,
                                   const struct gqa_step_output *output)
{
    enum gqa_status st = GQA_OK;

    stand_in_n_steps++;
    for (uint64_t s = 0; s < session->n_sequences && st == GQA_OK; s++) {
        const int32_t *row = tokens + s * n_new;

        ck_assert_uint_le(n_tokens[s], n_new);
        if (n_tokens[s] == 0)
            continue;
        st = residuals(session, output, GQA_STACK_DECODER, s,
                       session->positions[s], n_tokens[s], row);
        if (st == GQA_OK)
            st = say(session, s, n_tokens[s], row, output);
        session->positions[s] += n_tokens[s];
    }
    return st;
}

static enum gqa_status open_device(struct gqa_device **out,
                                   const struct gqa_device_options *options)
{
    (void)options;
    *out = (struct gqa_device *)&stand_in_n_open;
    stand_in_n_open++;
    return GQA_OK;
}

static enum gqa_status describe_device(struct gqa_device *device,
                                       struct gqa_device_info *out)
{
    (void)device;
    *out = (struct gqa_device_info){.name = "stand-in", .software = "none"};
    return GQA_OK;
}

static void close_device(struct gqa_device *device)
{
    ck_assert_ptr_eq(device, &stand_in_n_open);
    stand_in_n_open--;
}

const struct gqa_backend stand_in_backend = {.name = "stand-in",
                                             .open = open_device,
                                             .describe = describe_device,
                                             .close = close_device};
