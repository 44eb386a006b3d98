/* Source: PreTrainedConfig of transformers 4.57 and 5. */
#include "formats/model/readings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/family.h"
#include "formats/model/rope_readings.h"

enum { MAX_TEXT = 512 };

static void add(json_t *list, const char *text)
{
    json_array_append_new(list, json_string(text));
}

/* --- What descriptions tell of ---------------------------------------------
 */

static void tell_described(json_t *list, const struct gqa_model *model)
{
    for (size_t i = 0; i < model->family->n_readings; i++) {
        const struct gqa_refusal *r = &model->family->readings[i];

        if (gqa_refusal_misses(r, model->config)) {
            char text[MAX_TEXT];

            snprintf(text, sizeof text, "%s is not there: %s", r->keys[0],
                     r->because);
            add(list, text);
        }
        for (gqa_texts key = r->keys; *key; key++) {
            const json_t *value = gqa_config_at(model->config, *key);
            char said[41], text[MAX_TEXT];

            if (!value || !gqa_refusal_holds(r, value))
                continue;
            gqa_value_text(said, sizeof said, value);
            snprintf(text, sizeof text, "%s is %s: %s", *key, said, r->because);
            add(list, text);
            break; /* the others are its other spellings */
        }
    }
}

/* --- Models that hold the language model -----------------------------------
 */

/* Of PaliGemma the prompt is a picture and what is asked of it. */
static void tell_whole(json_t *list, const struct gqa_model *model)
{
    static const char type[] = "paligemma";
    const char *said = json_string_value(
        json_object_get(gqa_model_whole_config(model), "model_type"));

    if (model->within && said && strcmp(said, type) == 0)
        add(list,
            "model_type is \"paligemma\": transformers 4 lets each token of a "
            "prompt see all of it, and transformers 5 those that its processor "
            "marks; without marks 5 and these tools let a token see itself and "
            "those before it");
}

/* --- What does not fit the tensors ------------------------------------------
 */

static void tell_layer_types(json_t *list, const struct gqa_model *model)
{
    const json_t *types = json_object_get(model->config, "layer_types");
    char text[MAX_TEXT];

    if (!json_is_array(types) || gqa_model_is_encoder_decoder(model) ||
        json_array_size(types) == model->n_layers)
        return;
    snprintf(text, sizeof text,
             "layer_types speaks of %zu layers, and the model has %llu: "
             "transformers does not load it",
             json_array_size(types), (unsigned long long)model->n_layers);
    add(list, text);
}

static void tell_pad_token(json_t *list, const struct gqa_model *model)
{
    const char *key =
        gqa_config_key(model->config, model->family->keys.pad_token);
    uint64_t token;
    size_t table;
    char text[MAX_TEXT];

    /* Padding of codes is a row that their tables have besides. */
    if (model->family->stacks[GQA_STACK_DECODER].input == GQA_INPUT_CODES ||
        !key || !gqa_json_u64(json_object_get(model->config, key), &token) ||
        !gqa_find_embedding(&table, model) || token < model->params[table].rows)
        return;
    snprintf(text, sizeof text,
             "%s is %llu, and the vocabulary has %llu rows: classes of "
             "transformers that set the row of padding apart (Llama's) fail",
             key, (unsigned long long)token,
             (unsigned long long)model->params[table].rows);
    add(list, text);
}

/* --- All -------------------------------------------------------------------
 */

enum gqa_status gqa_readings_create(json_t **out,
                                    struct gqa_checkpoint *checkpoint,
                                    const struct gqa_model *model,
                                    enum gqa_tied_rows rows)
{
    json_t *list = json_array();
    char *text = NULL;
    enum gqa_status st = GQA_OK;

    if (model->config_is_complete) {
        st = gqa_tied_text(&text, checkpoint, model, rows);
        if (text)
            add(list, text);
        free(text);
        if (st == GQA_OK)
            st = gqa_rope_readings_add(list, model);
        tell_described(list, model);
        tell_whole(list, model);
        tell_layer_types(list, model);
        tell_pad_token(list, model);
    }
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        *out = list;
    else
        json_decref(list);
    return st;
}
