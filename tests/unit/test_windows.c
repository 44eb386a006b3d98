/* Which layers slide, by what configurations say: as transformers 5.24 decides
 * it of the same keys. */
#include <check.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/behaviours.h"
#include "formats/families/load.h"
#include "suite.h"

#define N_LAYERS 6
#define LIST                                                          \
    "\"layer_types\": [\"sliding_attention\", \"full_attention\", "   \
    "\"full_attention\", \"sliding_attention\", \"full_attention\", " \
    "\"sliding_attention\"]"
#define ON "\"use_sliding_window\": true"

static struct gqa_family *load(const char *type)
{
    const struct gqa_family_choice choice = {.library = &gqa_builtin_families};
    struct gqa_family *family = NULL;

    for (size_t i = 0; i < gqa_family_count(&choice) && !family; i++)
        if (gqa_family_has_type(&choice, i, type))
            ck_assert_int_eq(gqa_family_load(&family, &choice, i, type),
                             GQA_OK);
    ck_assert_msg(family != NULL, "%s", type);
    return family;
}

static const struct {
    const char *type, *config;
    const char *slides; /* of each layer: s, or . for one that sees all */
} cases[] = {
    /* From max_window_layers on, whose number differs from type to type. */
    {"qwen2", "{" ON ", \"max_window_layers\": 2}", "..ssss"},
    {"qwen2", "{" ON "}", "......"},
    {"qwen2", "{\"max_window_layers\": 0}", "......"},
    {"qwen2", "{" ON ", \"max_window_layers\": 0, " LIST "}", "s..s.s"},
    {"qwen2", "{\"use_sliding_window\": false, " LIST "}", "......"},
    {"qwen3", "{" ON ", \"max_window_layers\": 5}", ".....s"},
    {"qwen2_vl", "{" ON ", \"max_window_layers\": 5}", ".....s"},
    /* Every other one before it. */
    {"qwen2_moe", "{" ON "}", "s.s.s."},
    {"qwen2_moe", "{" ON ", \"max_window_layers\": 3}", "s.s..."},
    {"qwen2_moe", "{" ON ", \"max_window_layers\": 0}", "......"},
    {"qwen2_moe", "{" ON ", \"layer_types\": null}", "s.s.s."},
    {"qwen2_moe", "{" ON ", " LIST "}", "s..s.s"},
    {"qwen2_moe", "{\"max_window_layers\": 3}", "......"},
    /* All or none, whatever else is said. */
    {"qwen3_moe", "{}", "......"},
    {"qwen3_moe", "{" ON ", \"max_window_layers\": 3}", "ssssss"},
    {"qwen3_moe", "{\"use_sliding_window\": false}", "......"},
    {"mistral", "{\"use_sliding_window\": false}", "ssssss"},
    /* Those that do not rotate. */
    {"smollm3", "{}", "......"},
    {"smollm3", "{" ON "}", "...s.."},
    {"smollm3", "{" ON ", \"no_rope_layer_interval\": 2}", ".s.s.s"},
    {"smollm3", "{" ON ", \"no_rope_layers\": [1, 0, 0, 1, 1, 1]}", ".ss..."},
    {"smollm3", "{" LIST "}", "s..s.s"},
    /* By a pattern, which two of them let a configuration say. */
    {"gemma2", "{}", "s.s.s."},
    {"gemma2", "{\"sliding_window_pattern\": 3}", "s.s.s."},
    {"gemma2", "{" LIST ", \"sliding_window_pattern\": 3}", "s..s.s"},
    {"olmo3", "{\"sliding_window_pattern\": 2}", "sss.ss"},
    {"cohere2", "{}", "sss.ss"},
    {"cohere2", "{\"sliding_window_pattern\": 2}", "s.s.s."},
    {"gemma3_text", "{}", "sssss."},
    {"gemma3_text", "{\"sliding_window_pattern\": 3}", "ss.ss."},
    {"gemma3_text", "{\"sliding_window_pattern\": 1}", "......"},
    {"gemma3_text", "{\"sliding_window_pattern\": 3, \"layer_types\": null}",
     "ss.ss."},
    {"gemma3_text", "{\"sliding_window_pattern\": 3, " LIST "}", "s..s.s"},
    /* As it is written beside a list, and read by nothing. */
    {"gemma3_text", "{\"_sliding_window_pattern\": 2}", "sssss."},
    {"cohere2",
     "{\"_sliding_window_pattern\": 2, \"sliding_window_pattern\": 3}",
     "ss.ss."},
    {"gpt_neo", "{\"attention_types\": [[[\"global\", \"local\"], 3]]}",
     ".s.s.s"},
};

START_TEST(slides_as_transformers_does)
{
    struct gqa_family *family = load(cases[_i].type);
    json_t *config = json_loads(cases[_i].config, 0, NULL);
    char says[N_LAYERS + 1] = "";

    ck_assert_ptr_nonnull(config);
    for (size_t i = 0; i < N_LAYERS; i++) {
        bool slides = false;

        ck_assert_msg(
            gqa_layer_slides(&slides, &family->behaviours, config, i) == GQA_OK,
            "%s", gqa_error_message());
        says[i] = slides ? 's' : '.';
    }
    ck_assert_msg(strcmp(says, cases[_i].slides) == 0, "%s %s: %s, not %s",
                  cases[_i].type, cases[_i].config, says, cases[_i].slides);
    json_decref(config);
    gqa_family_free(family);
}
END_TEST

/* A number is needed, from whatever key. */
START_TEST(names_a_wrong_pattern)
{
    struct gqa_family *family = load("gemma3_text");
    json_t *config = json_pack("{s:i}", "sliding_window_pattern", 0);
    bool slides;

    ck_assert_int_eq(gqa_layer_slides(&slides, &family->behaviours, config, 0),
                     GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(),
                                 "sliding_window_pattern is 0, not a whole "
                                 "number above 0"));
    json_decref(config);
    gqa_family_free(family);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("windows");
    TCase *tc = tcase_create("layers");

    tcase_add_loop_test(tc, slides_as_transformers_does, 0,
                        sizeof cases / sizeof *cases);
    tcase_add_test(tc, names_a_wrong_pattern);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
