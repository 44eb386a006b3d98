#include "convert/remote_code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/memory_stream.h"
#include "common/strings.h"
#include "convert/stock.h"
#include "formats/families/family.h"
#include "formats/families/kv_said.h"
#include "formats/families/nested.h"
#include "formats/families/remote_code.h"

/* --- What there is ------------------------------------------------------- */

/* They are written into a program as texts. */
static bool is_plain(const char *text)
{
    return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_.%-")];
}

static const char *heads_key(const struct gqa_family *family,
                             const struct gqa_attention_rule *a)
{
    return a->stack == GQA_STACK_DECODER && family->keys.n_decoder_heads
               ? family->keys.n_decoder_heads[0]
               : family->keys.n_heads[0];
}

static bool are_plain(const struct gqa_family *family)
{
    bool plain = is_plain(family->model_type);

    for (size_t i = 0; i < family->n_attentions; i++) {
        const struct gqa_attention_rule *a = family->attentions[i];

        plain = plain && is_plain(a->pattern) && is_plain(a->names[1]) &&
                is_plain(a->names[2]) &&
                gqa_is_identifier(heads_key(family, a));
    }
    return plain;
}

/* Classes by Auto classes, or NULL. The caller gives them up. */
static json_t *classes_of(const struct gqa_model *model)
{
    const struct gqa_nested *nested = gqa_model_nested(model);
    json_t *classes;

    if (!nested)
        return json_incref((json_t *)(uintptr_t)model->family->remote_code);
    if (!nested->classes)
        return NULL;
    classes = json_object();
    for (const struct gqa_nested_class *c = nested->classes; c->loader; c++)
        json_object_set_new(classes, c->loader, json_string(c->class));
    return classes;
}

static bool has_classes(const struct gqa_model *model)
{
    const struct gqa_nested *nested = gqa_model_nested(model);

    return nested ? nested->classes &&
                        model->family->stock_grouped == GQA_STOCK_NONE
                  : model->family->remote_code != NULL;
}

bool gqa_has_remote_code(const struct gqa_model *model)
{
    return has_classes(model) && model->family->model_type &&
           are_plain(model->family);
}

static enum gqa_status not_needed(const char *type)
{
    return gqa_fail(GQA_ERR_USAGE,
                    "option --remote-code is not needed: the class that "
                    "transformers has for '%s' loads grouped heads",
                    type);
}

enum gqa_status gqa_remote_code_allow(const struct gqa_model *model)
{
    const struct gqa_family *family = model->family;
    const char *type =
        model->model_type ? model->model_type : gqa_family_name(family);

    if (gqa_has_remote_code(model))
        return GQA_OK;
    if (family->stock_own_code)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --remote-code: transformers has no class for "
                        "'%s' that a module could make grouped: checkpoints "
                        "bring their own; --expand writes a folder that it "
                        "loads",
                        type);
    if (family->stock_grouped != GQA_STOCK_NONE)
        return not_needed(type);
    return gqa_fail(GQA_ERR_USAGE,
                    "option --remote-code: there is no module for '%s'; "
                    "--expand writes a folder that transformers loads",
                    type);
}

enum gqa_status gqa_remote_code_needed(const struct gqa_plan *plan)
{
    const struct gqa_model *model = plan->model;

    return model->family->stock_grouped != GQA_STOCK_NONE &&
                   gqa_kv_said_can(model->family, model->config,
                                   gqa_model_n_heads(model),
                                   gqa_uniform_kv_heads(plan))
               ? not_needed(model->model_type)
               : GQA_OK;
}

/* --- The module ---------------------------------------------------------- */

/* "modeling_grouped_t5"; of a model within another
 * "modeling_grouped_blip_2_opt"
 */
static void name_module(char out[GQA_REMOTE_CODE_FILE_MAX],
                        const struct gqa_model *model)
{
    const struct gqa_nested *nested = gqa_model_nested(model);

    snprintf(out, GQA_REMOTE_CODE_FILE_MAX - sizeof ".py", "%s%s%s%s",
             GQA_REMOTE_CODE_MODULE, nested ? nested->model_type : "",
             nested ? "_" : "", model->family->model_type);
    for (char *c = out; *c; c++)
        *c = *c == '-' || *c == '.' || *c == '%' ? '_' : *c;
}

void gqa_remote_code_file(char out[GQA_REMOTE_CODE_FILE_MAX],
                          const struct gqa_model *model)
{
    name_module(out, model);
    strcat(out, ".py");
}

static void put_attentions(FILE *out, const struct gqa_family *family)
{
    fprintf(out, "\n\nGROUPED = (\n");
    for (size_t i = 0; i < family->n_attentions; i++) {
        const struct gqa_attention_rule *a = family->attentions[i];
        const bool one = strcmp(a->names[1], a->names[2]) == 0;

        fprintf(out, "    (\"%s\", \"%s\", (\"%s\",%s%s%s), \"%s\", \"%s\"),\n",
                gqa_remote_code_kind(a->stack, a->kind), a->pattern,
                a->names[1], one ? "" : " \"", one ? "" : a->names[2],
                one ? "" : "\"", gqa_described_layout(a->layout),
                heads_key(family, a));
    }
    fprintf(out, ")\n");
}

static void put_classes(FILE *out, const struct gqa_model *model)
{
    const struct gqa_nested *nested = gqa_model_nested(model);
    json_t *classes = classes_of(model);
    const char *loader;
    json_t *class;

    json_object_foreach(classes, loader, class)
    {
        fprintf(out,
                "\n\nclass " GQA_REMOTE_CODE_CLASS
                "%s(GroupedAttentions, transformers.%s):\n"
                "    _auto_class = \"%s\"\n"
                "    grouped = GROUPED\n",
                json_string_value(class), json_string_value(class), loader);
        if (nested)
            fprintf(out, "    inner = (\"%s\", \"%s\")\n", nested->config,
                    nested->attribute);
    }
    json_decref(classes);
}

enum gqa_status gqa_remote_code_text(char **out, const struct gqa_model *model)
{
    struct gqa_memory_stream text;
    enum gqa_status st;

    if ((st = gqa_memory_stream_open(&text)) != GQA_OK)
        return st;
    fputs(gqa_remote_code_template, text.out);
    put_attentions(text.out, model->family);
    put_classes(text.out, model);
    st = gqa_json_check();
    if (st == GQA_OK)
        st = gqa_memory_stream_flush(&text);
    if (st == GQA_OK && !(*out = strdup(text.text)))
        st = gqa_fail_nomem();
    gqa_memory_stream_free(&text);
    return st;
}

/* --- The configuration --------------------------------------------------- */

/* KV heads of a kind as written: one number, or one for each layer; NULL: the
 * model has no such attentions. */
static json_t *kv_heads(const struct gqa_plan *plan, const char *kind)
{
    json_t *list = json_array();
    json_t *result = NULL;
    bool uniform = true;

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];
        const struct gqa_attention *a = out->attention;

        if (strcmp(gqa_remote_code_kind(a->stack, a->kind), kind) != 0)
            continue;
        json_array_append_new(list, json_integer((json_int_t)out->written));
        uniform = uniform && json_integer_value(json_array_get(list, 0)) ==
                                 (json_int_t)out->written;
    }
    if (json_array_size(list) > 0)
        result = json_incref(uniform ? json_array_get(list, 0) : list);
    json_decref(list);
    return result;
}

static bool has_class(json_t *classes, const char *name)
{
    const char *loader;
    json_t *class;

    json_object_foreach(classes, loader, class)
    {
        if (strcmp(json_string_value(class), name) == 0)
            return true;
    }
    return false;
}

static json_t *grouped_class(const char *module, const char *class)
{
    return json_sprintf("%s%s%s%s", module, *module ? "." : "",
                        GQA_REMOTE_CODE_CLASS, class);
}

void gqa_remote_code_describe(json_t *whole, json_t *config,
                              const struct gqa_plan *plan)
{
    static const char *const kinds[] = {"encoder", "self", "cross"};
    json_t *classes = classes_of(plan->model);
    char module[GQA_REMOTE_CODE_FILE_MAX];
    json_t *heads = json_object();
    json_t *map = json_object();
    json_t *class;
    const char *loader;
    size_t i;

    gqa_remote_code_supersede(whole);
    json_object_update(map, json_object_get(whole, "auto_map"));
    name_module(module, plan->model);
    json_object_foreach(classes, loader, class)
    {
        json_object_set_new(map, loader,
                            grouped_class(module, json_string_value(class)));
    }
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        json_t *n = kv_heads(plan, kinds[i]);

        if (n)
            json_object_set_new(heads, kinds[i], n);
    }
    json_object_set_new(whole, "auto_map", map);
    json_object_set_new(config, GQA_REMOTE_CODE_HEADS, heads);
    json_array_foreach(json_object_get(whole, "architectures"), i, class)
    {
        const char *name = json_string_value(class);

        if (name && has_class(classes, name))
            json_array_set_new(json_object_get(whole, "architectures"), i,
                               grouped_class("", name));
    }
    json_decref(classes);
}

const char *gqa_remote_code_lacks(const struct gqa_model *model)
{
    const char *name = json_string_value(json_array_get(
        json_object_get(gqa_model_whole_config(model), "architectures"), 0));
    json_t *classes = classes_of(model);
    const bool lacks = name && !has_class(classes, name) &&
                       strncmp(name, GQA_REMOTE_CODE_CLASS,
                               strlen(GQA_REMOTE_CODE_CLASS)) != 0;

    json_decref(classes);
    return lacks ? name : NULL;
}

const char *gqa_remote_code_loader(const json_t *config)
{
    const json_t *list = json_object_get(config, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));
    const char *loader;
    json_t *class;

    json_object_foreach(json_object_get(config, "auto_map"), loader, class)
    {
        const char *text = json_string_value(class);
        const char *dot = text ? strrchr(text, '.') : NULL;

        if (dot && name && strcmp(dot + 1, name) == 0)
            return loader;
    }
    return "AutoModel";
}
