/* Source: PreTrainedConfig and GenerationConfig of transformers 4.57 and 5. */
#include "formats/families/silent.h"

#include <stddef.h>
#include <string.h>

#include "common/json.h"

/* clang-format off */
static const char common[] =
    "{\"is_encoder_decoder\": false, \"is_decoder\": false,"
    " \"add_cross_attention\": false, \"tie_encoder_decoder\": false,"
    " \"pruned_heads\": {}, \"chunk_size_feed_forward\": 0}";

static const char generation[] =
    "{\"max_length\": 20, \"min_length\": 0, \"do_sample\": false,"
    " \"early_stopping\": false, \"num_beams\": 1, \"num_beam_groups\": 1,"
    " \"diversity_penalty\": 0, \"temperature\": 1, \"top_k\": 50,"
    " \"top_p\": 1, \"typical_p\": 1, \"repetition_penalty\": 1,"
    " \"length_penalty\": 1, \"no_repeat_ngram_size\": 0,"
    " \"encoder_no_repeat_ngram_size\": 0, \"bad_words_ids\": null,"
    " \"num_return_sequences\": 1, \"forced_bos_token_id\": null,"
    " \"forced_eos_token_id\": null, \"remove_invalid_values\": false,"
    " \"exponential_decay_length_penalty\": null,"
    " \"suppress_tokens\": null, \"begin_suppress_tokens\": null}";
/* clang-format on */

json_t *gqa_silent_common(void)
{
    return gqa_json_own(common);
}

json_t *gqa_silent_generation(void)
{
    return gqa_json_own(generation);
}

/* '*' stands for anything, at an end. */
static bool fits(const char *pattern, const char *key)
{
    const size_t n = strlen(pattern), m = strlen(key);

    if (pattern[0] == '*')
        return m >= n - 1 && strcmp(key + m - (n - 1), pattern + 1) == 0;
    if (pattern[n - 1] == '*')
        return strncmp(key, pattern, n - 1) == 0;
    return strcmp(key, pattern) == 0;
}

bool gqa_is_idle_key(const char *key)
{
    static const char *const idle[] = {
        /* Who wrote it, from what */
        "_name_or_path",
        "name_or_path",
        "_commit_hash",
        "_from_model_config",
        "*_version",
        "*.js_config",
        "verbose",
        /* Training */
        "*dropout",
        "*dropout_rate",
        "*_dropout_prob",
        "*pdrop",
        "initializer_*",
        "init_std",
        "init_device",
        "gradient_checkpointing",
        "pretraining_tp",
        "slow_but_exact", /* with that alone, and then the sums' order */
        "use_bfloat16",
        "tf_legacy_loss",
        "*_layerdrop",
        "layerdrop",
        "router_aux_loss_coef",
        "router_z_loss_coef",
        "mask_feature_*", /* of SpecAugment */
        "mask_time_*",
        "unsloth_*",
        /* Heads of classifiers, which language models have not */
        "summary_*",
        "classifier_*",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "finetuning_task",
        /* What a call returns, and by which kernels: the results are the
         * same */
        "use_cache",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "output_scores",
        "return_dict",
        "use_return_dict",
        "return_dict_in_generate",
        "torchscript",
        "*attn_implementation",
        "*_attn_implementation_autoset",
        /* Held against the tensors instead */
        "dtype",
        "torch_dtype",
    };

    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (fits(idle[i], key))
            return true;
    return false;
}
