/* What is made of a model's description, and which ones are refused. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "changed_config.h"
#include "common/json.h"
#include "formats/families/load.h"
#include "formats/model/network.h"
#include "formats/model/network_config.h"
#include "formats/model/readings.h"
#include "formats/model/rope.h"
#include "runtime/relative_bias.h"
#include "scratch.h"
#include "suite.h"

/* A fixture, its configuration perhaps another one. */
struct opened {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
};

static enum gqa_status open_with(struct opened *out, const char *fixture,
                                 const char *config_path)
{
    const struct gqa_checkpoint_options options = {.config_path = config_path};
    enum gqa_status st;

    memset(out, 0, sizeof *out);
    st = gqa_checkpoint_open(&out->checkpoint, test_data(fixture), &options);
    if (st == GQA_OK)
        st = gqa_model_create(&out->model, out->checkpoint, NULL);
    return st == GQA_OK ? gqa_network_create(&out->network, out->model) : st;
}

static void close_all(struct opened *o)
{
    gqa_network_free(o->network);
    gqa_model_free(o->model);
    gqa_checkpoint_close(o->checkpoint);
}

struct refusal {
    const char *fixture, *key, *value;
    enum gqa_status st;
    const char *says;
};

static const struct refusal refusals[] = {
    {"families/opt", "word_embed_proj_dim", "12", GQA_ERR_FORMAT,
     "'model.decoder.project_in.weight' is missing"},
    {"families/opt-350m", "word_embed_proj_dim", "12", GQA_ERR_FORMAT,
     "'model.decoder.project_in.weight' has shape [24, 10], not the [24, 12]"},
    {"runtime/llama", "hidden_act", "null", GQA_ERR_FORMAT,
     "config.json: hidden_act is null, which loaders do not take"},
    {"families/cohere", "logit_scale", "null", GQA_ERR_FORMAT,
     "logit_scale is null, which loaders do not take"},
    {"runtime/t5-v1_1", "relative_attention_num_buckets", "null",
     GQA_ERR_FORMAT,
     "relative_attention_num_buckets is null, which loaders do not take"},
    {"families/switch_transformers", "expert_capacity", "null", GQA_ERR_FORMAT,
     "expert_capacity is null, which loaders do not take"},
    {"families/granitemoe", "position_embedding_type", "null",
     GQA_ERR_UNSUPPORTED, "a Granite without RoPE cannot be run"},
    {"families/opt", "layer_norm_elementwise_affine", "null", GQA_ERR_FORMAT,
     "norms of family opt have no weight"},
    {"families/phimoe", "rope_scaling",
     "{\"type\": \"longrope\", \"original_max_position_embeddings\": 16,"
     " \"short_factor\": [1, 1, 1, 1], \"long_factor\": [1, 2, 3, 4],"
     " \"short_mscale\": 1.25, \"long_mscale\": 1.5}",
     GQA_ERR_UNSUPPORTED, "times 1.25 in short sequences and 1.5 in long ones"},
    {"runtime/llama", "rope_parameters", "{\"rope_type\": \"proportional\"}",
     GQA_ERR_UNSUPPORTED, "'proportional' cannot be run"},
    {"runtime/llama", "rope_parameters", "{\"type\": \"dynamic\"}",
     GQA_ERR_FORMAT, "RoPE of kind 'dynamic' needs factor"},
    {"runtime/llama-dynamic", "rope_scaling.alpha", "2.0", GQA_ERR_UNSUPPORTED,
     "'dynamic' with an alpha cannot be run"},
    {"runtime/llama-dynamic", "max_position_embeddings", NULL, GQA_ERR_FORMAT,
     "'dynamic' needs max_position_embeddings"},
    {"runtime/llama-dynamic", "max_position_embeddings", "1", GQA_ERR_FORMAT,
     "the length before scaling of RoPE is 1, not a number from 2"},
    {"runtime/llama-longrope-factor", "rope_scaling.short_factor", NULL,
     GQA_ERR_FORMAT, "'longrope' needs short_factor, a list of 4 numbers"},
    {"runtime/llama-longrope-factor", "rope_scaling.long_factor", "[1, 2, 3]",
     GQA_ERR_FORMAT, "'longrope' needs long_factor, a list of 4 numbers"},
    {"runtime/llama-longrope-factor", "rope_scaling.long_factor",
     "[1, 2, 0, 4]", GQA_ERR_FORMAT,
     "long_factor has something that is not a number above 0, for pair 2"},
    {"runtime/llama-longrope-factor", "rope_scaling.long_factor",
     "[1, 2, 3, \"4\"]", GQA_ERR_FORMAT,
     "long_factor has something that is not a number above 0, for pair 3"},
    {"runtime/llama", "hidden_act", "\"mish\"", GQA_ERR_UNSUPPORTED,
     "activation 'mish' cannot be run"},
    {"runtime/llama", "intermediate_size", "7", GQA_ERR_FORMAT,
     "intermediate_size is 7, but 'model.layers.0.mlp.up_proj.weight' has"},
    {"runtime/gpt2", "n_inner", "7", GQA_ERR_FORMAT,
     "n_inner is 7, but 'transformer.h.0.mlp.c_fc.weight' has"},
    {"runtime/llama", "hidden_act", "7", GQA_ERR_FORMAT,
     "hidden_act is 7, not a text"},
    {"runtime/llama", "rms_norm_eps", "-1.0", GQA_ERR_FORMAT,
     "rms_norm_eps is -1.0, not a number from 0 on"},
    {"runtime/llama", "rms_norm_eps", "\"x\"", GQA_ERR_FORMAT,
     "rms_norm_eps is \"x\""},
    {"runtime/llama", "tie_word_embeddings", "1", GQA_ERR_FORMAT,
     "tie_word_embeddings is 1, not true or false"},
    {"runtime/llama-grouped", "tie_word_embeddings", "false", GQA_ERR_FORMAT,
     "'lm_head.weight' is missing"},
    {"runtime/llama", "rope_parameters", "{\"rope_theta\": 1.0}",
     GQA_ERR_FORMAT, "the base of RoPE is 1"},
    {"runtime/llama-linear", "rope_scaling.rope_type", "null", GQA_ERR_FORMAT,
     "what names the kind of RoPE (rope_type, once type) is no text"},
    {"runtime/llama-linear", "rope_scaling.rope_type", "\"mrope\"",
     GQA_ERR_UNSUPPORTED, "RoPE of kind 'mrope' cannot be run; known are"},
    {"families/gptj", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}",
     GQA_ERR_UNSUPPORTED,
     "RoPE of kind 'linear' cannot be run: the classes of such models have "
     "default alone"},
    {"families/gemma3", "rope_parameters",
     "{\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2.0}}",
     GQA_ERR_UNSUPPORTED,
     "of another kind than 'default' in layers of kind 'sliding_attention'"},
    {"families/apertus", "rope_scaling", NULL, GQA_ERR_UNSUPPORTED,
     "rope_scaling is not there: versions of transformers take each another"},
    {"runtime/llama", "rope_scaling", "\"linear\"", GQA_ERR_FORMAT,
     "rope_scaling is neither an object nor null"},
    {"runtime/llama", "rope_parameters", "2.0", GQA_ERR_FORMAT,
     "rope_parameters is neither an object nor null"},
    {"runtime/llama-linear", "rope_scaling", "{\"rope_type\": \"linear\"}",
     GQA_ERR_FORMAT, "RoPE of kind 'linear' needs factor"},
    {"runtime/llama-llama3", "rope_scaling.high_freq_factor", "1.0",
     GQA_ERR_FORMAT, "high_freq_factor 1 is not above low_freq_factor 1"},
    {"runtime/llama-llama3", "rope_scaling.low_freq_factor", NULL,
     GQA_ERR_FORMAT, "RoPE of kind 'llama3' needs low_freq_factor"},
    {"runtime/llama-yarn-factor", "rope_scaling.attention_factor", "\"big\"",
     GQA_ERR_FORMAT, "attention_factor is \"big\""},
    {"runtime/gpt_neox", "rope_parameters", "{\"partial_rotary_factor\": 0.19}",
     GQA_ERR_UNSUPPORTED, "RoPE of 3 dimensions"},
    {"runtime/gpt_neox", "use_parallel_residual", "\"yes\"", GQA_ERR_FORMAT,
     "use_parallel_residual is \"yes\""},
    {"runtime/mistral", "sliding_window", "0", GQA_ERR_FORMAT,
     "sliding_window is 0, not a whole number above 0"},
    {"runtime/gpt2", "add_cross_attention", "true", GQA_ERR_FORMAT,
     "layer 0 of the decoder has no cross-attention"},
    {"families/speech_to_text", "num_conv_layers", "5", GQA_ERR_UNSUPPORTED,
     "an encoder behind 5 convolutions cannot be run: 1 to 4 are known"},
    {"families/speech_to_text", "num_conv_layers", "1", GQA_ERR_FORMAT,
     "the convolutions of the encoder make rows of 4, not of 16"},
    {"families/musicgen", "num_codebooks", "3", GQA_ERR_FORMAT,
     "embed_tokens.2.weight' is missing"},
    {"runtime/t5-v1_1", "is_gated_act", "false", GQA_ERR_FORMAT,
     "DenseReluDense.wi.weight' is missing"},
    {"runtime/t5-v1_1", "dense_act_fn", "\"mish\"", GQA_ERR_UNSUPPORTED,
     "activation 'mish'"},
    {"runtime/t5-v1_0", "model_type", "\"umt5\"", GQA_ERR_FORMAT,
     "'encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight' "
     "is missing"},
    {"runtime/llama", "partial_rotary_factor", "0.5", GQA_ERR_UNSUPPORTED,
     "partial_rotary_factor is 0.5: models of these types rotate whole heads"},
    {"runtime/llama", "final_logit_softcapping", "3.0", GQA_ERR_UNSUPPORTED,
     "config.json: final_logit_softcapping is 3.0, and no key of family llama "
     "reads it"},
    {"runtime/gpt_neox", "sliding_window", "5", GQA_ERR_UNSUPPORTED,
     "sliding_window is 5, and no key of family gpt_neox reads it"},
    {"runtime/qwen2", "residual_multiplier", "0.5", GQA_ERR_UNSUPPORTED,
     "residual_multiplier is 0.5"},
    {"runtime/t5-v1_1", "no_rope_layers", "[1, 0]", GQA_ERR_UNSUPPORTED,
     "no_rope_layers is [1,0]"},
    {"runtime/llama", "layer_types", "[\"sliding_attention\"]",
     GQA_ERR_UNSUPPORTED,
     "config.json: layer_types of layer 0 is sliding_attention, which family "
     "llama does not obey"},
    {"runtime/mistral", "layer_types",
     "[\"sliding_attention\", \"full_attention\"]", GQA_ERR_UNSUPPORTED,
     "layer_types of layer 1 is full_attention"},
    {"runtime/llama", "rope_parameters",
     "{\"full_attention\": {\"rope_type\": \"yarn\"}}", GQA_ERR_UNSUPPORTED,
     "RoPE that differs by layer cannot be run in models of this type"},
    {"runtime/llama", "attention_bias", "true", GQA_ERR_FORMAT,
     "'model.layers.0.self_attn.q_proj.weight' has no bias, but the "
     "configuration (attention_bias) asks for one"},
    {"runtime/llama-grouped", "attention_bias", "false", GQA_ERR_FORMAT,
     "'model.layers.0.self_attn.q_proj.weight' has a bias, but the "
     "configuration (attention_bias) asks for none"},
    {"runtime/llama", "mlp_bias", "true", GQA_ERR_FORMAT,
     "'model.layers.0.mlp.up_proj.weight' has no bias, but the "
     "configuration (mlp_bias) asks for one"},
    {"runtime/qwen2", "model_type", "\"mistral\"", GQA_ERR_FORMAT,
     "'model.layers.0.self_attn.q_proj.bias': models of type mistral have no "
     "such bias"},
    {"runtime/gpt_neox-nobias", "attention_bias", "true", GQA_ERR_FORMAT,
     "'gpt_neox.layers.0.attention.query_key_value.weight' has no bias"},
    {"runtime/qwen2", "max_window_layers", "-1", GQA_ERR_FORMAT,
     "max_window_layers is -1, not a count"},
    {"runtime/t5-v1_1", "relative_attention_num_buckets", "16", GQA_ERR_FORMAT,
     "not the [16, 4] that belongs there"},
    {"runtime/t5-v1_1", "relative_attention_max_distance", "2", GQA_ERR_FORMAT,
     "8 buckets cannot share distances up to 2"},
    {"runtime/t5-v1_1", "scale_decoder_outputs", "\"no\"", GQA_ERR_FORMAT,
     "scale_decoder_outputs is \"no\""},
};

START_TEST(refuses)
{
    const struct refusal *r = &refusals[_i];
    struct opened o;
    const enum gqa_status st =
        open_with(&o, r->fixture, changed_config(r->fixture, r->key, r->value));

    ck_assert_msg(st == r->st, "%s with %s: status %d, not %d: %s", r->fixture,
                  r->key, (int)st, (int)r->st,
                  st == GQA_OK ? "taken" : gqa_error_message());
    ck_assert_msg(strstr(gqa_error_message(), r->says) != NULL, "%s",
                  gqa_error_message());
    ck_assert_ptr_null(o.network);
    close_all(&o);
}
END_TEST

/* Whole models in all containers. */
static const char *const fixtures[] = {
    "good/tf-t5-v1_0",     "good/tf-t5-v1_1",
    "good/tf-gpt2",        "good/tf-mistral",
    "good/kerashub-t5",    "good/kerashub-gpt2",
    "good/kerashub-llama", "good/kerashub-mistral",
    "good/kerashub-qwen",  "good/kerashub-gpt_neox",
    "good/flan-t5",        "good/umt5",
    "good/qwen2",          "good/gpt2-base",
    "good/llama-f64",
};

START_TEST(takes_fixtures)
{
    struct opened o;
    const enum gqa_status st = open_with(&o, fixtures[_i], NULL);

    ck_assert_msg(st == GQA_OK, "%s: %s", fixtures[_i], gqa_error_message());
    ck_assert_uint_eq(o.network->d_model, o.model->d_model);
    close_all(&o);
}
END_TEST

/* What classes make: logits of tokens, or rows for heads of their own. */
static const struct {
    const char *fixture, *architectures;
    size_t n_stacks;
    bool has_logits;
} classes[] = {
    {"runtime/t5-v1_0", "[\"T5ForConditionalGeneration\"]", 2, true},
    /* The embedding is tied, and makes them. */
    {"runtime/t5-v1_0", "[\"T5ForSequenceClassification\"]", 2, true},
    {"families/t5-classes", "[\"T5ForSequenceClassification\"]", 2, false},
    {"families/t5-classes", "[\"T5Model\"]", 2, false},
    {"families/mt5-answers", "[\"MT5ForQuestionAnswering\"]", 2, false},
    {"families/t5-encoder", "[\"T5EncoderModel\"]", 1, false},
    {"families/t5-encoder", NULL, 1, false},
    {"families/t5-tokens", "[\"T5ForTokenClassification\"]", 1, false},
};

START_TEST(tells_what_comes_of_a_token)
{
    const char *fixture = classes[_i].fixture;
    struct opened o;
    const struct gqa_network *n;
    const enum gqa_status st = open_with(
        &o, fixture,
        changed_config(fixture, "architectures", classes[_i].architectures));

    ck_assert_msg(st == GQA_OK, "%s: %s", fixture, gqa_error_message());
    n = o.network;
    ck_assert_uint_eq(n->n_stacks, classes[_i].n_stacks);
    ck_assert(n->has_logits == classes[_i].has_logits);
    ck_assert_uint_eq(n->n_outputs, n->has_logits ? n->vocab_size : n->d_model);
    ck_assert((n->unembedding.weight != GQA_NO_PARAM) == n->has_logits);
    ck_assert(gqa_network_is_encoder(n) == (n->n_stacks == 1));
    ck_assert(gqa_network_is_input(n, &n->stacks[0]) == (n->n_stacks == 2));
    close_all(&o);
}
END_TEST

/* What a class must have is missed. */
START_TEST(misses_what_a_class_has)
{
    static const struct {
        const char *fixture, *class, *says;
    } wrong[] = {
        {"families/t5-classes", "[\"T5ForConditionalGeneration\"]",
         "'lm_head.weight' is missing, and the configuration does not tie it"},
        {"families/t5-classes", NULL, "'lm_head.weight' is missing"},
        {"families/t5-encoder", "[\"T5ForConditionalGeneration\"]",
         "there are no layers of the decoder"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct opened o;

        ck_assert_int_ne(
            open_with(&o, wrong[i].fixture,
                      changed_config(wrong[i].fixture, "architectures",
                                     wrong[i].class)),
            GQA_OK);
        ck_assert_msg(strstr(gqa_error_message(), wrong[i].says) != NULL, "%s",
                      gqa_error_message());
        ck_assert_ptr_null(o.network);
        close_all(&o);
    }
}
END_TEST

START_TEST(needs_a_configuration)
{
    struct opened o;
    struct gqa_model_hints hints = {.n_heads = 3};
    const struct gqa_checkpoint_options options = {.config_path = NULL};
    unsigned char header[1 << 16];
    const char *copy;
    FILE *in = fopen(test_data("runtime/llama/model.safetensors"), "rb");
    size_t n;

    ck_assert_ptr_nonnull(in);
    n = fread(header, 1, sizeof header, in);
    ck_assert(feof(in));
    fclose(in);
    copy = scratch_write("alone.safetensors", header, n);
    memset(&o, 0, sizeof o);
    ck_assert_int_eq(gqa_checkpoint_open(&o.checkpoint, copy, &options),
                     GQA_OK);
    ck_assert_int_eq(gqa_model_create(&o.model, o.checkpoint, &hints), GQA_OK);
    ck_assert_int_eq(gqa_network_create(&o.network, o.model),
                     GQA_ERR_UNSUPPORTED);
    ck_assert_str_eq(gqa_error_message(),
                     "a model of family llama cannot be run without its "
                     "configuration");
    close_all(&o);
}
END_TEST

/* Windows: in all layers of Mistral, in those of Qwen2 that slide. */
START_TEST(finds_windows)
{
    struct opened o;

    ck_assert_int_eq(open_with(&o, "runtime/mistral", NULL), GQA_OK);
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 5);
    ck_assert_uint_eq(o.network->stacks[0].blocks[1].self.window, 5);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, "runtime/mistral",
                  changed_config("runtime/mistral", "sliding_window", "null")),
        GQA_OK);
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 0);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, "runtime/mistral",
                  changed_config("runtime/mistral", "sliding_window", NULL)),
        GQA_OK);
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 4096);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, "runtime/llama",
                  changed_config("runtime/llama", "sliding_window", "5")),
        GQA_OK);
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 0);
    close_all(&o);
}
END_TEST

/* Values with which a key changes nothing, and keys that decide nothing. */
START_TEST(takes_what_is_neutral)
{
    static const struct {
        const char *fixture, *key, *value;
    } cases[] = {
        {"runtime/llama", "attn_logit_softcapping", "null"},
        {"runtime/llama", "logits_scaling", "1"},
        {"runtime/llama", "sliding_window", "5"},
        {"runtime/llama", "no_rope_layers", "[1, 1.0]"},
        {"runtime/mistral", "layer_types",
         "[\"sliding_attention\", \"sliding_attention\"]"},
        /* use_sliding_window, which it has, overrules the list. */
        {"runtime/qwen2", "layer_types",
         "[\"sliding_attention\", \"sliding_attention\"]"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opened o;

        ck_assert_msg(open_with(&o, cases[i].fixture,
                                changed_config(cases[i].fixture, cases[i].key,
                                               cases[i].value)) == GQA_OK,
                      "%s: %s", cases[i].key, gqa_error_message());
        close_all(&o);
    }
}
END_TEST

/* A layer slides as its type says, with no other key beside. */
START_TEST(obeys_layer_types)
{
    static const char path[] = "own.json";
    static const char description[] =
        "{\"family\": \"own\", \"like\": \"mistral\", \"model_types\": "
        "{\"own\": {}}, \"behaviours\": {\"sliding_layers\": "
        "\"layer_types\", \"sliding_pattern\": {\"key\": "
        "\"sliding_window_pattern\"}}}";
    const struct gqa_checkpoint_options options = {
        .config_path = changed_config("runtime/mistral", "layer_types", NULL)};
    struct gqa_model_hints hints = {.n_heads = 0};
    struct gqa_family_file *file = NULL;
    struct opened o = {0};
    json_t *config;

    ck_assert_int_eq(
        gqa_family_file_open(&file, scratch_write_text(path, description)),
        GQA_OK);
    hints.family = file;
    ck_assert_int_eq(gqa_checkpoint_open(
                         &o.checkpoint, test_data("runtime/mistral"), &options),
                     GQA_OK);
    config = (json_t *)(uintptr_t)gqa_checkpoint_config(o.checkpoint);
    json_object_set_new(config, "model_type", json_string("own"));
    ck_assert_int_eq(gqa_model_create(&o.model, o.checkpoint, &hints), GQA_OK);
    ck_assert_int_eq(gqa_network_create(&o.network, o.model),
                     GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(
        strstr(gqa_error_message(), "layer_types is missing"));
    json_object_set_new(
        o.model->config, "layer_types",
        json_pack("[ss]", "sliding_attention", "full_attention"));
    ck_assert_msg(gqa_network_create(&o.network, o.model) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 5);
    ck_assert_uint_eq(o.network->stacks[0].blocks[1].self.window, 0);
    /* Or as the key of a pattern says. */
    gqa_network_free(o.network);
    o.network = NULL;
    json_object_del(o.model->config, "layer_types");
    json_object_set_new(o.model->config, "sliding_window_pattern",
                        json_integer(2));
    ck_assert_msg(gqa_network_create(&o.network, o.model) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 5);
    ck_assert_uint_eq(o.network->stacks[0].blocks[1].self.window, 0);
    close_all(&o);
    gqa_family_file_free(file);
}
END_TEST

/* What transformers leaves out of a decision, and what it lets decide. */
START_TEST(obeys_as_transformers_does)
{
    const struct gqa_network_stack *stack;
    struct opened o;

    /* Mistral has no such key. */
    ck_assert_int_eq(open_with(&o, "runtime/mistral",
                               changed_config("runtime/mistral",
                                              "use_sliding_window", "false")),
                     GQA_OK);
    ck_assert_uint_eq(o.network->stacks[0].blocks[0].self.window, 5);
    close_all(&o);
    /* An lm_head that is there is used, whatever is said of tying. */
    ck_assert_int_eq(open_with(&o, "runtime/t5-v1_1",
                               changed_config("runtime/t5-v1_1",
                                              "tie_word_embeddings", "true")),
                     GQA_OK);
    ck_assert_str_eq(o.model->params[o.network->unembedding.weight].name,
                     "lm_head.weight");
    ck_assert(o.network->logit_scale == 1);
    close_all(&o);
    /* T5 shares the table of its first layer. */
    ck_assert_int_eq(
        open_with(&o, "runtime/umt5",
                  changed_config("runtime/umt5", "model_type", "\"t5\"")),
        GQA_OK);
    stack = &o.network->stacks[1];
    ck_assert_uint_eq(stack->blocks[1].self.bias.table,
                      stack->blocks[0].self.bias.table);
    close_all(&o);
    ck_assert_int_eq(open_with(&o, "runtime/t5-v1_1",
                               changed_config("runtime/t5-v1_1", "dense_act_fn",
                                              "\"relu\"")),
                     GQA_OK);
    ck_assert_int_eq(o.network->stacks[0].blocks[0].ff.activation,
                     GQA_ACTIVATION_RELU);
    close_all(&o);
}
END_TEST

/* The length before scaling: beside the other keys of RoPE, or above them,
 * which counts more; else the length of now. */
START_TEST(finds_the_context_before_scaling)
{
    static const char fixture[] = "runtime/llama-llama3";
    struct opened same, longer, now, above;

    ck_assert_int_eq(open_with(&same, fixture, NULL), GQA_OK);
    ck_assert_int_eq(
        open_with(&longer, fixture,
                  changed_config(
                      fixture, "rope_scaling.original_max_position_embeddings",
                      "64")),
        GQA_OK);
    ck_assert_int_eq(
        open_with(&now, fixture,
                  changed_config(
                      fixture, "rope_scaling.original_max_position_embeddings",
                      NULL)),
        GQA_OK);
    ck_assert_int_eq(
        open_with(
            &above, fixture,
            changed_config(fixture, "original_max_position_embeddings", "64")),
        GQA_OK);
    for (uint64_t j = 0; j < same.network->rope.n_pairs; j++) {
        const double frequency = longer.network->rope.frequency[j];

        ck_assert(now.network->rope.frequency[j] == frequency);
        ck_assert(above.network->rope.frequency[j] == frequency);
    }
    ck_assert(memcmp(same.network->rope.frequency,
                     longer.network->rope.frequency,
                     same.network->rope.n_pairs * sizeof(double)) != 0);
    close_all(&same);
    close_all(&longer);
    close_all(&now);
    close_all(&above);
}
END_TEST

/* Which frequencies a sequence has, by its length. */
START_TEST(knows_frequencies_of_a_length)
{
    double at[4];
    struct opened o;

    ck_assert_int_eq(open_with(&o, "runtime/llama-longrope", NULL), GQA_OK);
    ck_assert_uint_eq(gqa_rope_kind(&o.network->rope, 8), 0);
    ck_assert_uint_eq(gqa_rope_kind(&o.network->rope, 9), 1);
    ck_assert_uint_eq(gqa_rope_kind(&o.network->rope, 1000), 1);
    gqa_rope_frequencies(at, &o.network->rope, 8);
    ck_assert_double_eq_tol(at[1], 0.1 / 1.25, 1e-15);
    gqa_rope_frequencies(at, &o.network->rope, 9);
    ck_assert_double_eq_tol(at[1], 0.1 / 3, 1e-15);
    ck_assert_double_eq_tol(o.network->rope.magnitude,
                            sqrt(1 + log(8) / log(8)), 1e-15);
    close_all(&o);
    ck_assert_int_eq(open_with(&o, "runtime/llama-dynamic", NULL), GQA_OK);
    ck_assert_uint_eq(gqa_rope_kind(&o.network->rope, 8), 0);
    ck_assert_uint_eq(gqa_rope_kind(&o.network->rope, 11), 11);
    gqa_rope_frequencies(at, &o.network->rope, 8);
    ck_assert_double_eq_tol(at[3], 1e-3, 1e-15);
    /* The slowest pair alone: 1 + 2.5 * (16 / 8 - 1) times slower. */
    gqa_rope_frequencies(at, &o.network->rope, 16);
    ck_assert_double_eq(at[0], 1);
    ck_assert_double_eq_tol(at[3], 1e-3 / 3.5, 1e-15);
    close_all(&o);
    /* Where both lists are one, length does not matter. */
    ck_assert_int_eq(open_with(&o, "runtime/llama-longrope-factor",
                               changed_config("runtime/llama-longrope-factor",
                                              "rope_scaling.short_factor",
                                              "[1.0, 3.0, 9.0, 1e30]")),
                     GQA_OK);
    ck_assert_uint_eq(gqa_rope_kind(&o.network->rope, 1000), 0);
    close_all(&o);
}
END_TEST

/* Where no key says it: Phi-3 has 4096, whatever rope_scaling has, and Phi-MoE
 * goes by that alone. */
START_TEST(knows_contexts_of_families)
{
    static const char phimoe[] = "families/phimoe";
    struct opened o;

    ck_assert_int_eq(
        open_with(&o, "families/phi3-long",
                  changed_config("families/phi3-long",
                                 "original_max_position_embeddings", NULL)),
        GQA_OK);
    ck_assert_uint_eq(o.network->rope.context, 4096);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, phimoe,
                  changed_config(phimoe, "rope_scaling",
                                 "{\"type\": \"longrope\","
                                 " \"original_max_position_embeddings\": 16,"
                                 " \"short_factor\": [1, 1, 1, 1],"
                                 " \"long_factor\": [1, 2, 3, 4],"
                                 " \"short_mscale\": 1.25,"
                                 " \"long_mscale\": 1.25}")),
        GQA_OK);
    ck_assert_uint_eq(o.network->rope.context, 16);
    ck_assert_double_eq(o.network->rope.magnitude, 1.25);
    close_all(&o);
}
END_TEST

/* As in Python null is false, and what is not there is what the class says. */
START_TEST(takes_null_for_false)
{
    static const char biogpt[] = "families/biogpt",
                      gemma2[] = "families/gemma2";
    struct opened o;

    ck_assert_int_eq(
        open_with(&o, biogpt,
                  changed_config(biogpt, "scale_embedding", "null")),
        GQA_OK);
    ck_assert_double_eq(o.network->stacks[0].embedding_scale, 1);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, gemma2,
                  changed_config(gemma2, "final_logit_softcapping", NULL)),
        GQA_OK);
    ck_assert_double_eq(o.network->logit_soft_cap, 30);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, gemma2,
                  changed_config(gemma2, "final_logit_softcapping", "null")),
        GQA_OK);
    ck_assert_double_eq(o.network->logit_soft_cap, 0);
    close_all(&o);
    ck_assert_int_eq(
        open_with(&o, "families/falcon-40b",
                  changed_config("families/falcon-40b", "parallel_attn", NULL)),
        GQA_OK);
    ck_assert(o.network->stacks[0].blocks[0].ff.norm.weight != GQA_NO_PARAM);
    close_all(&o);
}
END_TEST

/* Both stacks of BART's kin scale the embedding that they share, but of
 * Blenderbot Small's, whose class does so in the encoder alone. */
START_TEST(knows_which_stacks_scale)
{
    static const struct {
        const char *fixture;
        double encoder, decoder;
    } known[] = {
        {"families/bart-base", 4, 4},        {"families/mbart", 4, 4},
        {"families/m2m_100", 4, 4},          {"families/bart", 1, 1},
        {"families/blenderbot_small", 4, 1},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct opened o;

        ck_assert_int_eq(open_with(&o, known[i].fixture, NULL), GQA_OK);
        ck_assert_double_eq(o.network->stacks[0].embedding_scale,
                            known[i].encoder);
        ck_assert_double_eq(o.network->stacks[1].embedding_scale,
                            known[i].decoder);
        close_all(&o);
    }
}
END_TEST

/* Positions begin behind the token that pads. */
START_TEST(knows_where_positions_begin)
{
    static const char m2m[] = "families/m2m_100";
    static const char heard[] = "families/speech_to_text";
    static const struct {
        const char *fixture, *value;
        uint64_t offset;
    } known[] = {{m2m, "0", 1},   {m2m, "1", 2},   {m2m, "46", 47},
                 {m2m, NULL, 2},  {heard, "1", 2}, {heard, "3", 4},
                 {heard, NULL, 2}};
    struct opened o;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ck_assert_int_eq(
            open_with(&o, known[i].fixture,
                      changed_config(known[i].fixture, "pad_token_id",
                                     known[i].value)),
            GQA_OK);
        for (size_t s = 0; s < 2; s++)
            ck_assert_uint_eq(o.network->stacks[s].position_offset,
                              known[i].offset);
        close_all(&o);
    }
    ck_assert_int_eq(
        open_with(&o, heard, changed_config(heard, "pad_token_id", "0")),
        GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "pad_token_id is 0"));
    close_all(&o);
}
END_TEST

/* What begins a sequence: the key's, the class's, the one that begins texts,
 * and only then the one that pads. */
START_TEST(knows_what_begins)
{
    static const char key[] = "decoder_start_token_id";
    static const struct {
        const char *fixture, *key, *value;
        int64_t token;
    } known[] = {
        {"families/bart", key, "7", 7},
        {"families/bart", key, NULL, 2},       /* BART's class */
        {"families/m2m_100", key, NULL, 2},    /* NLLB's */
        {"families/blenderbot", key, NULL, 1}, /* its class */
        {"families/mbart", key, NULL, 0},      /* none: bos_token_id */
        {"families/marian", key, "null", 0},   /* none of these: it pads */
        {"runtime/llama", "bos_token_id", NULL, 1},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct opened o;

        ck_assert_int_eq(
            open_with(
                &o, known[i].fixture,
                changed_config(known[i].fixture, known[i].key, known[i].value)),
            GQA_OK);
        ck_assert_msg(o.network->start_token == known[i].token, "%s: %lld",
                      known[i].fixture, (long long)o.network->start_token);
        close_all(&o);
    }
}
END_TEST

/* Gemma has a key for it that nothing reads, and Gemma 2 that one alone. */
START_TEST(knows_keys_of_activations)
{
    static const char gemma[] = "families/gemma", gemma2[] = "families/gemma2";
    static const struct {
        const char *fixture, *key, *value;
        enum gqa_activation activation;
    } known[] = {
        {gemma, "hidden_act", "\"relu\"", GQA_ACTIVATION_RELU},
        {gemma, "hidden_act", "\"gelu\"", GQA_ACTIVATION_GELU_TANH},
        {gemma, "hidden_act", NULL, GQA_ACTIVATION_GELU_TANH},
        {gemma, "hidden_activation", "\"relu\"", GQA_ACTIVATION_GELU_TANH},
        {gemma2, "hidden_act", "\"relu\"", GQA_ACTIVATION_GELU_TANH},
        {gemma2, "hidden_activation", "\"relu\"", GQA_ACTIVATION_RELU},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct opened o;

        ck_assert_int_eq(
            open_with(
                &o, known[i].fixture,
                changed_config(known[i].fixture, known[i].key, known[i].value)),
            GQA_OK);
        ck_assert_int_eq(o.network->stacks[0].blocks[0].ff.activation,
                         known[i].activation);
        close_all(&o);
    }
}
END_TEST

/* Keys that versions of transformers read in two ways. */
struct reading {
    const char *fixture, *key, *value;
    const char *says; /* NULL: nothing */
};

#define LONGROPE                                     \
    "\"rope_type\": \"longrope\", \"long_factor\": " \
    "[1, 3, 9, 27], \"short_factor\": [1, 1, 1, 1]"

static const struct reading readings[] = {
    {"runtime/llama-longrope", "hidden_act", "\"silu\"", NULL},
    {"runtime/llama-longrope", "rope_scaling.factor", "8.0", NULL},
    {"runtime/llama-longrope", "rope_scaling.factor", "4.0",
     "rope_scaling's factor is 4, which transformers 5 and these tools go by, "
     "and transformers 4 by 8"},
    {"runtime/llama-longrope", "rope_scaling.attention_factor", "1.0", NULL},
    {"runtime/llama-linear", "rope_scaling",
     "{" LONGROPE ", \"original_max_position_embeddings\": 8,"
     " \"factor\": 8.0}",
     "rope_scaling of kind 'longrope' begins with a context of 64 for "
     "transformers 4, which reads original_max_position_embeddings beside it "
     "alone, and of 8 for"},
    /* transformers 4 does not load these. */
    {"runtime/llama-linear", "rope_scaling",
     "{" LONGROPE ", \"original_max_position_embeddings\": 8}", NULL},
    {"runtime/llama-llama3", "rope_scaling.original_max_position_embeddings",
     NULL, NULL},
    /* One list, and no factor: nothing depends on the context. */
    {"runtime/llama-linear", "rope_scaling",
     "{\"rope_type\": \"longrope\", \"long_factor\": [1, 1, 1, 2],"
     " \"short_factor\": [1, 1, 1, 2], \"attention_factor\": 1.0,"
     " \"original_max_position_embeddings\": 8}",
     NULL},
    {"runtime/llama-yarn-factor", "original_max_position_embeddings", "16",
     NULL},
    {"runtime/llama-yarn-factor", "original_max_position_embeddings", "4",
     "'yarn' begins with a context of 16 for transformers 4, which reads "
     "original_max_position_embeddings within it alone, and of 4 for"},
    {"runtime/llama-llama3", "original_max_position_embeddings", "64",
     "'llama3' begins with a context of 32 for transformers 4"},
    {"families/phi3-long", "original_max_position_embeddings", NULL, NULL},
    {"families/gemma", "hidden_act", "\"gelu\"",
     "hidden_act is \"gelu\": transformers 5 and these tools take "
     "gelu_pytorch_tanh for it"},
    {"families/gemma", "hidden_activation", "\"gelu\"", NULL},
    {"families/llava", "model_type", "\"paligemma\"",
     "model_type is \"paligemma\": transformers 4 lets each token of a prompt "
     "see all of it"},
    {"runtime/llama", "rope_theta", "10000.0", NULL},
    {"runtime/llama", "rope_theta", "500000.0",
     "rope_theta is 500000 for transformers 4, and 10000, as "
     "rope_parameters.rope_theta says, for transformers 5 and these tools"},
    {"runtime/llama", "rope_parameters",
     "{\"rope_type\": \"default\", \"rope_theta\": 500.0}",
     "rope_theta is 10000, its default, for transformers 4, and 500, as "},
    {"runtime/llama", "rope_parameters",
     "{\"rope_type\": \"linear\", \"factor\": 4.0}",
     "rope_parameters say RoPE of kind 'linear', which transformers 5 and "
     "these tools go by; transformers 4 does not read them, and scales "
     "nothing"},
    {"runtime/llama", "rope_parameters", "{\"factor\": 4.0}", NULL},
    {"runtime/llama-linear", "rope_parameters",
     "{\"rope_type\": \"linear\", \"rope_theta\": 500.0}",
     "rope_parameters.rope_theta is 500.0, and is not read: rope_scaling "
     "counts in place of rope_parameters, and with it 10000"},
    {"runtime/llama-linear", "rope_parameters",
     "{\"rope_type\": \"linear\", \"factor\": 2.0}",
     "rope_parameters.factor is 2.0, and is not read: rope_scaling counts in "
     "place of rope_parameters, and with it 2.5"},
    {"runtime/llama-linear", "rope_parameters",
     "{\"rope_type\": \"linear\", \"factor\": 2.5, \"rope_theta\": 1e4}", NULL},
    {"runtime/llama-linear", "rope_scaling", "{\"factor\": 4.0}",
     "rope_scaling has no rope_type: transformers 4 refuses it, and "
     "transformers 5 and these tools scale nothing by it"},
    {"runtime/llama-linear", "rope_scaling",
     "{\"type\": \"linear\", \"rope_type\": \"default\", \"factor\": 4.0}",
     "rope_scaling's type is \"linear\" and its rope_type \"default\": "
     "transformers 4 takes the former for most models"},
    {"runtime/llama-linear", "rope_scaling.rope_theta", "500.0",
     "rope_theta is 10000 for transformers 4, and 500, as "
     "rope_scaling.rope_theta says, for"},
    {"runtime/gpt_neox", "rope_parameters", "{\"partial_rotary_factor\": 0.5}",
     "rotary_pct is 0.25, its default, for transformers 4, and 0.5, as "
     "rope_parameters.partial_rotary_factor says, for"},
    {"families/gpt_neox_japanese", "partial_rotary_factor", "0.5", NULL},
    {"families/nemotron", "rope_scaling",
     "{\"rope_type\": \"linear\", \"factor\": 2.0}",
     "rope_scaling.rope_type is \"linear\": transformers 5 and these tools "
     "scale RoPE by it, and transformers 4 does not"},
    {"families/phi3-long", "rope_scaling.type", "\"su\"",
     "rope_scaling.type is \"su\": longrope for transformers 4 and these "},
    {"families/phi3-long", "rope_scaling.type", "\"yarn\"", NULL},
    {"families/nllb_moe", "model_type", "\"nllb-moe\"",
     "transformers 5 runs expert 1 in place of the first that a token has"},
    {"families/switch_transformers", "expert_capacity", "2",
     "expert_capacity is 2: an expert takes so many tokens of a sequence"},
    {"families/falcon", "alibi", "true",
     "alibi is true: transformers rounds ALiBi to bfloat16"},
    {"families/bloom", "slow_but_exact", "true",
     "slow_but_exact is true: transformers leaves out the biases"},
    {"families/bloom", "slow_but_exact", "false", NULL},
    {"families/apertus", "model_type", "\"apertus\"",
     "transformers 4 rounds the constants of its activation to bfloat16"},
    {"families/phimoe", "rope_scaling",
     "{\"type\": \"longrope\", \"rope_type\": \"longrope\", "
     "\"original_max_position_embeddings\": 16, "
     "\"short_factor\": [1, 1, 1, 1], \"long_factor\": [1, 2, 3, 4], "
     "\"short_mscale\": 1.25, \"long_mscale\": 1.25}",
     "rope_scaling.rope_type is \"longrope\": transformers 4 and these tools "
     "take long_factor"},
    {"families/qwen2_moe", "use_sliding_window", "true",
     "use_sliding_window is true: transformers 5 and these tools let the "
     "layers slide that layer_types says"},
    {"families/phimoe", "use_sliding_window", "false",
     "use_sliding_window is false: transformers 4 has no window then"},
    {"families/cohere", "rope_theta", NULL,
     "rope_theta is not there: it is 500000 for transformers 5"},
    {"families/gemma3", "rope_parameters",
     "{\"full_attention\": {\"rope_theta\": 10000.0}, \"sliding_attention\": "
     "{\"rope_theta\": 500.0}}",
     "rope_local_base_freq is 100 for transformers 4, and 500, as "
     "rope_parameters.sliding_attention.rope_theta says, for"},
    {"families/gemma3", "rope_parameters",
     "{\"rope_type\": \"linear\", \"factor\": 2.0}",
     "rope_parameters are not by kind of layer, and so are read by nothing in "
     "models of this type"},
    {"families/gemma3", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}",
     "rope_scaling has a type and no rope_type: transformers 4 refuses it for "
     "models of this type"},
};

static json_t *readings_of(const struct reading *r)
{
    struct opened o;
    json_t *texts = NULL;

    ck_assert_int_eq(
        open_with(&o, r->fixture, changed_config(r->fixture, r->key, r->value)),
        GQA_OK);
    ck_assert_int_eq(
        gqa_readings_create(&texts, o.checkpoint, o.model, GQA_TIED_ALL),
        GQA_OK);
    close_all(&o);
    return texts;
}

START_TEST(tells_what_is_read_in_two_ways)
{
    const struct reading *r = &readings[_i];
    json_t *texts = readings_of(r);
    const char *text = json_string_value(json_array_get(texts, 0));

    ck_assert_msg(json_array_size(texts) == (r->says ? 1 : 0), "%s: %zu, %s",
                  r->fixture, json_array_size(texts), text ? text : "none");
    ck_assert_msg(!r->says || strstr(text, r->says), "%s", text);
    json_decref(texts);
}
END_TEST

/* A fixture of which something is told whatever its configuration says. */
START_TEST(tells_each_of_two_readings)
{
    static const struct reading r = {
        "families/nllb_moe", "router_dtype", "\"bfloat16\"",
        "router_dtype is \"bfloat16\": transformers works out in that type"};
    json_t *texts = readings_of(&r);

    ck_assert_uint_eq(json_array_size(texts), 2);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_array_get(texts, 1)), r.says));
    json_decref(texts);
}
END_TEST

/* Phi-3 says su, and once said yarn, for what it calls longrope now. */
START_TEST(knows_old_names_of_longrope)
{
    static const char phi3[] = "families/phi3-long";
    static const char *const names[] = {"\"su\"", "\"yarn\""};
    struct opened now, once;

    ck_assert_int_eq(open_with(&now, phi3, NULL), GQA_OK);
    ck_assert_ptr_nonnull(now.network->rope.longer);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct gqa_rope *a = &now.network->rope, *b;

        ck_assert_msg(open_with(&once, phi3,
                                changed_config(phi3, "rope_scaling.type",
                                               names[i])) == GQA_OK,
                      "%s", gqa_error_message());
        b = &once.network->rope;
        ck_assert(b->magnitude == a->magnitude && b->context == a->context);
        ck_assert_mem_eq(b->frequency, a->frequency,
                         a->n_pairs * sizeof *a->frequency);
        ck_assert_mem_eq(b->longer, a->longer, a->n_pairs * sizeof *a->longer);
        close_all(&once);
    }
    close_all(&now);
    /* Others have a yarn of their own, and no su. */
    ck_assert_int_eq(
        open_with(&once, "runtime/llama-linear",
                  changed_config("runtime/llama-linear", "rope_scaling",
                                 "{\"type\": \"su\"}")),
        GQA_ERR_UNSUPPORTED);
    close_all(&once);
}
END_TEST

/* GPT-NeoX-20B asks for gelu_fast. */
START_TEST(knows_names_of_activations)
{
    static const struct {
        const char *name;
        enum gqa_activation activation;
    } known[] = {
        {"gelu", GQA_ACTIVATION_GELU},
        {"gelu_python", GQA_ACTIVATION_GELU},
        {"gelu_new", GQA_ACTIVATION_GELU_TANH},
        {"gelu_fast", GQA_ACTIVATION_GELU_TANH},
        {"gelu_accurate", GQA_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", GQA_ACTIVATION_GELU_TANH},
        {"gelu_python_tanh", GQA_ACTIVATION_GELU_TANH},
        {"gelu_bloom", GQA_ACTIVATION_GELU_BLOOM},
        {"quick_gelu", GQA_ACTIVATION_QUICK_GELU},
        {"relu2", GQA_ACTIVATION_RELU2},
        {"swish", GQA_ACTIVATION_SILU},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        enum gqa_activation activation = GQA_ACTIVATION_RELU;

        ck_assert_int_eq(gqa_activation_parse(&activation, known[i].name),
                         GQA_OK);
        ck_assert_int_eq(activation, known[i].activation);
    }
}
END_TEST

/* Distances whose bucket torch gave for 32 buckets up to 128. */
START_TEST(buckets_distances)
{
    static const struct {
        int64_t distance;
        uint64_t encoder, decoder;
    } known[] = {
        {0, 0, 0},     {-1, 1, 1},      {1, 17, 0},     {-7, 7, 7},
        {7, 23, 0},    {-8, 8, 8},      {8, 24, 0},     {-15, 9, 15},
        {-16, 10, 16}, {16, 26, 0},     {-20, 10, 17},  {-31, 11, 21},
        {-64, 14, 26}, {64, 30, 0},     {-127, 15, 31}, {-128, 15, 31},
        {128, 31, 0},  {-5000, 15, 31}, {5000, 31, 0},
    };
    const struct gqa_relative_bias encoder = {
        .n_buckets = 32, .max_distance = 128, .bidirectional = true};
    const struct gqa_relative_bias decoder = {.n_buckets = 32,
                                              .max_distance = 128};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ck_assert_uint_eq(gqa_relative_bucket(&encoder, known[i].distance),
                          known[i].encoder);
        ck_assert_uint_eq(gqa_relative_bucket(&decoder, known[i].distance),
                          known[i].decoder);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("network");
    TCase *tc = tcase_create("network");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_loop_test(tc, refuses, 0,
                        (int)(sizeof refusals / sizeof *refusals));
    tcase_add_loop_test(tc, takes_fixtures, 0,
                        (int)(sizeof fixtures / sizeof *fixtures));
    tcase_add_loop_test(tc, tells_what_comes_of_a_token, 0,
                        sizeof classes / sizeof *classes);
    tcase_add_test(tc, misses_what_a_class_has);
    tcase_add_test(tc, needs_a_configuration);
    tcase_add_test(tc, finds_windows);
    tcase_add_test(tc, takes_what_is_neutral);
    tcase_add_test(tc, obeys_layer_types);
    tcase_add_test(tc, obeys_as_transformers_does);
    tcase_add_test(tc, finds_the_context_before_scaling);
    tcase_add_test(tc, knows_contexts_of_families);
    tcase_add_test(tc, knows_old_names_of_longrope);
    tcase_add_test(tc, knows_keys_of_activations);
    tcase_add_test(tc, takes_null_for_false);
    tcase_add_test(tc, knows_which_stacks_scale);
    tcase_add_test(tc, knows_where_positions_begin);
    tcase_add_test(tc, knows_what_begins);
    tcase_add_loop_test(tc, tells_what_is_read_in_two_ways, 0,
                        (int)(sizeof readings / sizeof *readings));
    tcase_add_test(tc, tells_each_of_two_readings);
    tcase_add_test(tc, knows_frequencies_of_a_length);
    tcase_add_test(tc, knows_names_of_activations);
    tcase_add_test(tc, buckets_distances);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
