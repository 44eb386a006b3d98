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
static const char *const of_t5gemma[] = {"model.decoder.", NULL};

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

const struct gqa_nested gqa_nested_types[] = {
    {"aya_vision", "text_config", "cohere2", of_llava, NULL, NULL},
    {"blip-2", "text_config", "opt", of_llava, blip2_classes, "language_model"},
    {"clip", "text_config", "clip_text_model", of_clip, clip_classes,
     "text_model"},
    {"encoder-decoder", "decoder", "bert", of_decoder, encoder_decoder_classes,
     "decoder"},
    {"gemma3", "text_config", "gemma3_text", of_llava, NULL, NULL},
    {"idefics3", "text_config", "llama", of_idefics3, NULL, NULL},
    {"instructblip", "text_config", "opt", of_llava, instructblip_classes,
     "language_model"},
    {"internvl", "text_config", "qwen2", of_llava, NULL, NULL},
    {"llava", "text_config", "llama", of_llava, NULL, NULL},
    {"llava_next", "text_config", "llama", of_llava, NULL, NULL},
    {"llava_next_video", "text_config", "llama", of_llava, NULL, NULL},
    {"llava_onevision", "text_config", "qwen2", of_llava, NULL, NULL},
    {"mistral3", "text_config", "mistral", of_llava, NULL, NULL},
    {"musicgen", "decoder", "musicgen_decoder", of_decoder, musicgen_classes,
     "decoder"},
    {"paligemma", "text_config", "gemma", of_llava, NULL, NULL},
    {"qwen2_5_vl", "text_config", "qwen2_5_vl_text", of_qwen2_vl, NULL, NULL},
    {"qwen2_vl", "text_config", "qwen2_vl_text", of_qwen2_vl, NULL, NULL},
    {"smolvlm", "text_config", "llama", of_idefics3, NULL, NULL},
    {"siglip", "text_config", "siglip_text_model", of_siglip, siglip_classes,
     "text_model"},
    {"speech-encoder-decoder", "decoder", "mbart", of_decoder, speech_classes,
     "decoder"},
    {"t5gemma", "decoder", "t5_gemma_module", of_t5gemma, NULL, NULL},
    {"video_llava", "text_config", "llama", of_llava, NULL, NULL},
    {"vipllava", "text_config", "llama", of_llava, NULL, NULL},
    {"vision-encoder-decoder", "decoder", "trocr", of_decoder, vision_classes,
     "decoder"},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

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
