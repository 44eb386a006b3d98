#include "align/learning.h"

#include <string.h>

#include "common/bounds.h"
#include "runtime/data/sample.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"

/* As many tokens as give moments of a model of this size their last digit
 * that counts; more change figures by less than what is rounded. */
enum { DEFAULT_SEQUENCES = 64, DEFAULT_LENGTH = 512 };

/* Parameters of a model that is run in BF16. */
#define LARGE ((uint64_t)1000000000)

bool gqa_learning_has_tokens(const struct gqa_learning_options *options)
{
    return !options->from || strcmp(options->from, "none") != 0;
}

static bool is_large(const struct gqa_model *model)
{
    uint64_t n = 0;

    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_param *p = &model->params[i];

        if (p->dtype == GQA_BF16 || p->dtype == GQA_F16)
            n += p->n_elements;
    }
    return n > LARGE;
}

static enum gqa_status open_with(struct gqa_learning *l, enum gqa_dtype real)
{
    const struct gqa_device_options options = {.real = real,
                                               .n_threads = l->n_threads};

    l->real = real;
    return l->backend->open(&l->device, &options);
}

enum gqa_status gqa_learning_open(struct gqa_learning *l)
{
    enum gqa_status st = GQA_ERR_UNSUPPORTED;

    if (gqa_network_repeats(l->network))
        return gqa_fail(st,
                        "layers that run several times (ALBERT's) see another "
                        "stream each time, and nothing is learned of all of "
                        "them; other methods need no run");
    if (l->asked->device != GQA_LEARN_CPU) {
        st = gqa_cuda_backend_load(&l->backend);
        if (st == GQA_OK)
            st = open_with(l, is_large(l->network->model) ? GQA_BF16 : GQA_F32);
    }
    if (st != GQA_ERR_UNSUPPORTED || l->asked->device == GQA_LEARN_CUDA)
        return st;
    l->backend = gqa_cpu_backend();
    return open_with(l, GQA_F32);
}

void gqa_learning_close(struct gqa_learning *l)
{
    if (l->device)
        l->backend->close(l->device);
    l->device = NULL;
}

static enum gqa_status draw(struct gqa_tokens *out,
                            const struct gqa_learning *l,
                            const struct gqa_sample_options *options)
{
    struct gqa_runtime *runtime = NULL;
    enum gqa_status st = gqa_runtime_create(&runtime, l->network, l->backend,
                                            l->device, &l->weights);

    if (st == GQA_OK)
        st = gqa_sample(out, runtime, l->network, options);
    gqa_runtime_free(runtime);
    return st;
}

/* Labels are what a decoder says: where a file has none, the model's own. Of
 * one that says none it reads what the encoder does. */
static enum gqa_status draw_outputs(struct gqa_tokens *out,
                                    const struct gqa_learning *l,
                                    const struct gqa_sample_options *options)
{
    struct gqa_runtime *runtime = NULL;
    enum gqa_status st = GQA_OK;

    if (!gqa_tokens_any_to_draw(out))
        return GQA_OK;
    if (l->network->has_logits)
        st = gqa_runtime_create(&runtime, l->network, l->backend, l->device,
                                &l->weights);
    if (st == GQA_OK)
        st = gqa_sample_outputs(out, runtime, l->network, options);
    gqa_runtime_free(runtime);
    return st;
}

enum gqa_status gqa_learning_tokens(struct gqa_tokens *out,
                                    const struct gqa_learning *l, uint64_t n,
                                    uint64_t length)
{
    const struct gqa_learning_options *asked = l->asked;
    const struct gqa_token_rules rules = gqa_token_rules_of(l->network);
    struct gqa_sample_options options = {
        .n = n,
        .length = length ? length : DEFAULT_LENGTH,
        .seed = asked->seed,
        .grows_text = true,
        .progress = gqa_progress_update,
        .progress_ctx = l->bar,
    };
    enum gqa_status st;

    if (l->network->max_positions > 0)
        options.length = gqa_min_u64(options.length, l->network->max_positions);
    gqa_progress_phase(l->bar, "getting tokens", GQA_PROGRESS_TOKENS);
    if (asked->text_path)
        return gqa_tokens_from_text_again(out, asked->text_path, &rules,
                                          options.length, options.n);
    if (!asked->from || strcmp(asked->from, "self") == 0)
        return draw(out, l, &options);
    st = gqa_tokens_read(out, asked->from, &rules, n);
    if (st == GQA_OK && length)
        gqa_tokens_cut(out, length);
    if (st == GQA_OK)
        st = gqa_tokens_check_lengths(out, l->network->max_positions,
                                      asked->from);
    return st == GQA_OK && rules.is_encoder_decoder
               ? draw_outputs(out, l, &options)
               : st;
}

static bool is_file(const struct gqa_learning_options *asked)
{
    return asked->from && strcmp(asked->from, "self") != 0;
}

uint64_t gqa_learning_n_sequences(const struct gqa_learning *l)
{
    return l->asked->n || is_file(l->asked) ? l->asked->n : DEFAULT_SEQUENCES;
}

enum gqa_status gqa_learning_all_tokens(struct gqa_tokens *out,
                                        const struct gqa_learning *l,
                                        uint64_t more)
{
    const struct gqa_learning_options *asked = l->asked;
    const uint64_t n = gqa_learning_n_sequences(l);
    const uint64_t length =
        asked->length || is_file(asked) ? asked->length : DEFAULT_LENGTH;

    if (n == 0 ||
        (asked->text_path && gqa_token_rules_of(l->network).is_encoder_decoder))
        more = 0;
    return gqa_learning_tokens(out, l, n + more, length);
}
