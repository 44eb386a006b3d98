#include "formats/families/nested.h"

#include <stdio.h>
#include <string.h>

#include "formats/families/description.h"

/* transformers 4 writes the first, and newer versions have the second. */
static const char *const of_llava[] = {"language_model.",
                                       "model.language_model.", NULL};
static const char *const of_idefics3[] = {"model.text_model.", "text_model.",
                                          NULL};

/* What is written has the names of a language model alone, beside "visual". */
static const char *const of_qwen2_vl[] = {"", "model.language_model.", NULL};

/* Of two towers that are alike: that of text. TensorFlow's classes have their
 * own name before it, which loaders of PyTorch's leave out. */
static const char *const of_clip[] = {"", "clip.", NULL};
static const char *const of_siglip[] = {"", NULL};

static const char *const of_decoder[] = {"decoder.", NULL};
static const char *const of_t5gemma[] = {"model.decoder.", "decoder.", NULL};

static const struct gqa_nested_class blip2_classes[] = {
    {"AutoModel", "Blip2Model"},
    {"AutoModelForImageTextToText", "Blip2ForConditionalGeneration"},
    {NULL, NULL}};
static const struct gqa_nested_class clip_classes[] = {
    {"AutoModel", "CLIPModel"}, {NULL, NULL}};
static const struct gqa_nested_class siglip_classes[] = {
    {"AutoModel", "SiglipModel"}, {NULL, NULL}};
static const struct gqa_nested_class instructblip_classes[] = {
    {"AutoModel", "InstructBlipModel"},
    {"AutoModelForImageTextToText", "InstructBlipForConditionalGeneration"},
    {NULL, NULL}};
static const struct gqa_nested_class musicgen_classes[] = {
    {"AutoModelForTextToWaveform", "MusicgenForConditionalGeneration"},
    {NULL, NULL}};
static const struct gqa_nested_class encoder_decoder_classes[] = {
    {"AutoModelForSeq2SeqLM", "EncoderDecoderModel"}, {NULL, NULL}};
static const struct gqa_nested_class speech_classes[] = {
    {"AutoModelForSpeechSeq2Seq", "SpeechEncoderDecoderModel"}, {NULL, NULL}};
static const struct gqa_nested_class vision_classes[] = {
    {"AutoModelForImageTextToText", "VisionEncoderDecoderModel"}, {NULL, NULL}};

/* Defaults of their configurations in transformers 4.57 and 5.24. */
/* clang-format off */
#define PROJECTED "\"projector_hidden_act\": \"gelu\""
#define LAST_BUT_ONE                                                        \
    "\"vision_feature_layer\": -2,"                                         \
    " \"vision_feature_select_strategy\": \"default\""
#define LAST "\"vision_feature_layer\": -1"
#define BIASED "\"multimodal_projector_bias\": true"
#define TIED "\"tie_word_embeddings\": true"
#define UNTIED "\"tie_word_embeddings\": false"
#define TWO_STACKS "{\"is_encoder_decoder\": true}"
#define QFORMER                                                             \
    "{\"num_query_tokens\": 32, \"use_decoder_only_language_model\": true,"  \
    " \"image_token_index\": null}"
#define LLAVA PROJECTED ", " LAST_BUT_ONE ", " BIASED ", " UNTIED
#define LLAVA_NEXT                                                          \
    LLAVA ", \"image_seq_length\": 576,"                                    \
    " \"image_grid_pinpoints\": [[336, 672], [672, 336], [672, 672],"       \
    " [1008, 336], [336, 1008]]"
#define QWEN2_VL                                                            \
    "{\"image_token_id\": 151655, \"video_token_id\": 151656,"              \
    " \"vision_start_token_id\": 151652, \"vision_end_token_id\": 151653, " \
    UNTIED "}"
#define IDEFICS3 \
    "{\"image_token_id\": 128257, \"scale_factor\": 2,"                      \
    " \"pad_token_id\": 128002, " UNTIED "}"

const struct gqa_nested gqa_nested_types[] = {
    {.model_type = "aya_vision", .config = "text_config",
     .inner_type = "cohere2", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{\"image_token_index\": 255036, \"downsample_factor\": 2,"
               " \"adapter_layer_norm_eps\": 1e-06,"
               " \"vision_feature_select_strategy\": \"full\", "
               LAST ", " TIED "}"},
    {.model_type = "blip-2", .config = "text_config", .inner_type = "opt",
     .prefixes = of_llava, .classes = blip2_classes,
     .attribute = "language_model", .silent = QFORMER},
    {.model_type = "clip", .config = "text_config",
     .inner_type = "clip_text_model", .prefixes = of_clip,
     .classes = clip_classes, .attribute = "text_model",
     .silent = "{\"logit_scale_init_value\": 2.6592,"
               " \"projection_dim\": 512}"},
    {.model_type = "encoder-decoder", .config = "decoder",
     .inner_type = "bert", .prefixes = of_decoder,
     .classes = encoder_decoder_classes, .attribute = "decoder",
     .silent = TWO_STACKS},
    {.model_type = "gemma3", .config = "text_config",
     .inner_type = "gemma3_text", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{\"mm_tokens_per_image\": 256, \"boi_token_index\": 255999,"
               " \"eoi_token_index\": 256000, \"image_token_index\": 262144, "
               TIED "}"},
    {.model_type = "idefics3", .config = "text_config", .inner_type = "llama",
     .prefixes = of_idefics3, .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = IDEFICS3},
    {.model_type = "instructblip", .config = "text_config",
     .inner_type = "opt", .prefixes = of_llava,
     .classes = instructblip_classes, .attribute = "language_model",
     .silent = QFORMER},
    {.model_type = "internvl", .config = "text_config", .inner_type = "qwen2",
     .prefixes = of_llava, .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{\"image_token_id\": 151667, \"image_seq_length\": 256,"
               " \"downsample_ratio\": 0.5,"
               " \"vision_feature_select_strategy\": \"default\", "
               PROJECTED ", " LAST ", " TIED "}"},
    {.model_type = "llava", .config = "text_config", .inner_type = "llama",
     .prefixes = of_llava, .tied = GQA_TIED_EITHER_IN_5,
     .silent = "{" LLAVA ", \"image_token_index\": 32000,"
               " \"image_seq_length\": 576}"},
    {.model_type = "llava_next", .config = "text_config",
     .inner_type = "llama", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5, .silent = "{\"image_token_index\": 32000, " LLAVA_NEXT "}"},
    {.model_type = "llava_next_video", .config = "text_config",
     .inner_type = "llama", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{" LLAVA_NEXT ", \"image_token_index\": 32001,"
               " \"video_token_index\": 32000, \"video_seq_length\": 288,"
               " \"spatial_pool_mode\": \"average\","
               " \"spatial_pool_stride\": 2}"},
    {.model_type = "llava_onevision", .config = "text_config",
     .inner_type = "qwen2", .prefixes = of_llava,
     .tied = GQA_TIED_EITHER_IN_5,
     .silent = "{\"image_token_index\": 151646,"
               " \"video_token_index\": 151647,"
               " \"vision_feature_select_strategy\": \"full\","
               " \"vision_aspect_ratio\": \"anyres_max_9\", "
               PROJECTED ", " LAST ", " BIASED ", " UNTIED "}"},
    {.model_type = "mistral3", .config = "text_config",
     .inner_type = "mistral", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{\"image_token_index\": 10, \"spatial_merge_size\": 2,"
               " \"multimodal_projector_bias\": false, "
               PROJECTED ", " LAST ", " TIED "}"},
    {.model_type = "musicgen", .config = "decoder",
     .inner_type = "musicgen_decoder", .prefixes = of_decoder,
     .classes = musicgen_classes, .attribute = "decoder",
     .silent = TWO_STACKS},
    {.model_type = "paligemma", .config = "text_config",
     .inner_type = "gemma", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{\"image_token_index\": 256000, \"projection_dim\": 2048,"
               " \"hidden_size\": 2048, " TIED "}"},
    {.model_type = "qwen2_5_vl", .config = "text_config",
     .inner_type = "qwen2_5_vl_text", .prefixes = of_qwen2_vl,
     .tied = GQA_TIED_EITHER_IN_5, .silent = QWEN2_VL},
    {.model_type = "qwen2_vl", .config = "text_config",
     .inner_type = "qwen2_vl_text", .prefixes = of_qwen2_vl,
     .tied = GQA_TIED_EITHER_IN_5, .silent = QWEN2_VL},
    {.model_type = "smolvlm", .config = "text_config", .inner_type = "llama",
     .prefixes = of_idefics3, .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = IDEFICS3},
    {.model_type = "siglip", .config = "text_config",
     .inner_type = "siglip_text_model", .prefixes = of_siglip,
     .classes = siglip_classes, .attribute = "text_model"},
    {.model_type = "speech-encoder-decoder", .config = "decoder",
     .inner_type = "mbart", .prefixes = of_decoder,
     .classes = speech_classes, .attribute = "decoder", .silent = TWO_STACKS},
    {.model_type = "t5gemma", .config = "decoder",
     .inner_type = "t5_gemma_module", .prefixes = of_t5gemma,
     .tied = GQA_TIED_OUTSIDE,
     .silent = "{\"is_encoder_decoder\": true, \"vocab_size\": 256000, "
               TIED "}"},
    {.model_type = "video_llava", .config = "text_config",
     .inner_type = "llama", .prefixes = of_llava,
     .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{" LLAVA ", \"image_token_index\": 32000,"
               " \"video_token_index\": 32001, \"image_seq_length\": 256,"
               " \"video_seq_length\": 2056}"},
    {.model_type = "vipllava", .config = "text_config", .inner_type = "llama",
     .prefixes = of_llava, .tied = GQA_TIED_OUTSIDE_IN_5,
     .silent = "{\"image_token_index\": 32000, \"image_seq_length\": 576,"
               " \"projector_layernorm_eps\": 1e-05, "
               PROJECTED ", " UNTIED "}"},
    {.model_type = "vision-encoder-decoder", .config = "decoder",
     .inner_type = "trocr", .prefixes = of_decoder,
     .classes = vision_classes, .attribute = "decoder", .silent = TWO_STACKS},
    {.model_type = NULL},
};
/* clang-format on */

const struct gqa_nested *gqa_nested_find(const char *model_type)
{
    for (const struct gqa_nested *n = gqa_nested_types; n->model_type; n++)
        if (strcmp(n->model_type, model_type) == 0)
            return n;
    return NULL;
}

static size_t count_of(gqa_texts texts)
{
    size_t n = 0;

    while (texts && texts[n])
        n++;
    return n;
}

/* Each of before and each of after in one, and `after` alone where `alone`. */
static enum gqa_status multiply(gqa_texts *out, struct gqa_description *d,
                                gqa_texts before, gqa_texts after, bool alone)
{
    const size_t n_before = count_of(before), n_after = count_of(after);
    const size_t n = n_before * n_after + (alone ? n_after : 0);
    const char **list = gqa_description_allocate(d, n + 1, sizeof *list);
    size_t used = 0;

    if (!list)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n_before; i++)
        for (size_t k = 0; k < n_after; k++) {
            const size_t size = strlen(before[i]) + strlen(after[k]) + 1;
            char *text = gqa_description_allocate(d, size, 1);

            if (!text)
                return gqa_fail_nomem();
            snprintf(text, size, "%s%s", before[i], after[k]);
            list[used++] = text;
        }
    for (size_t k = 0; alone && k < n_after; k++)
        list[used++] = after[k];
    *out = list;
    return GQA_OK;
}

enum gqa_status gqa_nested_names(struct gqa_family *family,
                                 const struct gqa_nested *nested)
{
    struct gqa_family_names *names = &family->names;
    const enum gqa_status st =
        multiply(&names->prefixes, family->description, nested->prefixes,
                 names->prefixes, false);

    /* The matrix that makes logits may belong to the whole. */
    return st == GQA_OK ? multiply(&names->unembedding, family->description,
                                   nested->prefixes, names->unembedding, true)
                        : st;
}
