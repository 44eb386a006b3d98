/* Source: PreTrainedConfig of transformers 4.57 and 5. */
#include "formats/model/readings.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "formats/families/family.h"
#include "formats/model/rope_readings.h"

enum { MAX_TEXT = 512 };

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
            json_array_append_new(list, json_string(text));
        }
        for (gqa_texts key = r->keys; *key; key++) {
            const json_t *value = gqa_config_at(model->config, *key);
            char said[41], text[MAX_TEXT];

            if (!value || !gqa_refusal_holds(r, value))
                continue;
            gqa_value_text(said, sizeof said, value);
            snprintf(text, sizeof text, "%s is %s: %s", *key, said, r->because);
            json_array_append_new(list, json_string(text));
        }
    }
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
            json_array_append_new(list, json_string(text));
        free(text);
        if (st == GQA_OK)
            st = gqa_rope_readings_add(list, model);
        tell_described(list, model);
    }
    if (st == GQA_OK)
        st = gqa_json_check();
    if (st == GQA_OK)
        *out = list;
    else
        json_decref(list);
    return st;
}
