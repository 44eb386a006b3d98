#include "convert/card.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/memory_stream.h"
#include "convert/describe.h"
#include "convert/front_matter.h"
#include "convert/remote_code.h"
#include "convert/stock.h"
#include "convert/totals.h"
#include "formats/families/remote_code.h"
#include "formats/folder/folder.h"

struct card {
    FILE *out;
    const struct gqa_conversion *c;
    const json_t *config, *recipe;
    const json_t *original; /* front matter of the original's card, or NULL */
    enum gqa_stock stock;
};

/* A name on the Hub, "gpt2" or "org/model", and no path on somebody's disk. */
static bool is_hub_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const size_t first = strspn(name, letters);
    const char *second = name + first + (name[first] == '/');

    return first > 0 && *name != '.' && *second != '.' &&
           (name[first] == '\0' || (name[first] == '/' && *second &&
                                    !second[strspn(second, letters)]));
}

/* NULL: it does not tell. */
static const char *own_name(const json_t *config)
{
    const char *name =
        json_string_value(json_object_get(config, "_name_or_path"));

    return name && is_hub_name(name) ? name : NULL;
}

/* What it was made from: the original, or else what that was made from. */
static const json_t *base_model(const struct card *card)
{
    const json_t *config = card->c->model->config;

    return json_object_get(own_name(config) ? config : card->original,
                           own_name(config) ? "_name_or_path" : "base_model");
}

/* YAML reads JSON's strings and lists as they are. */
static void put_json(const struct card *card, const char *key,
                     const json_t *value)
{
    char *text =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;

    if (text)
        fprintf(card->out, "%s: %s\n", key, text);
    free(text);
}

static void put_front_matter(const struct card *card)
{
    static const char *const carried[] = {"license",      "license_name",
                                          "license_link", "language",
                                          "datasets",     "pipeline_tag"};
    const char *type = card->c->model->model_type;
    json_t *tags =
        json_pack("[s, s]", "grouped-query-attention", "gqa-convert");

    if (type)
        json_array_append_new(tags, json_string(type));
    fputs("---\n", card->out);
    if (base_model(card)) {
        put_json(card, "base_model", base_model(card));
        fputs("base_model_relation: finetune\n", card->out);
    }
    /* The Hub shows how to load by it. */
    fprintf(card->out, "library_name: %s\n",
            card->stock == GQA_STOCK_LOADS ||
                    card->stock == GQA_STOCK_HAS_MODULE
                ? "transformers"
                : "gqa-tools");
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++)
        put_json(card, carried[i], json_object_get(card->original, carried[i]));
    put_json(card, "tags", tags);
    fputs("---\n\n", card->out);
    json_decref(tags);
}

/* Without what Markdown would take for its own; what has control characters
 * was refused. */
static void put_plain(const struct card *card, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\`*_[]<>|#", *text))
            fputc('\\', card->out);
        fputc(iscntrl((unsigned char)*text) ? ' ' : *text, card->out);
    }
}

static const char *source_name(const struct card *card)
{
    const char *name = json_string_value(
        json_object_get(json_object_get(card->recipe, "source"), "name"));

    return name ? name : "a checkpoint";
}

/* By its name on the Hub, where it tells that of itself. */
static void put_original(const struct card *card)
{
    const char *name = own_name(card->c->model->config);

    if (name)
        fprintf(card->out, "[%s](https://huggingface.co/%s)", name, name);
    else
        put_plain(card, source_name(card));
}

static void put_story(const struct card *card, const struct gqa_totals *t)
{
    const struct gqa_convert_options *o = card->c->options;

    fputs("# ", card->out);
    put_plain(card, source_name(card));
    fputs(" with grouped-query attention\n\n", card->out);
    put_original(card);
    if (t->n_fewer == 0) {
        fprintf(card->out,
                ", written by gqa-convert %s: no attention\nhas fewer key and "
                "value heads than what it was written from.\n\n",
                GQA_VERSION);
        return;
    }
    fprintf(card->out,
            ", converted by gqa-convert %s:\n%zu of %zu attentions have fewer "
            "key and value heads than before, made by method\n`%s`%s.\n\n",
            GQA_VERSION, t->n_fewer, card->c->model->n_attentions,
            gqa_method_name(o->plan.method),
            o->plan.expand ? " and written in multi-head shape" : "");
    fputs("It was not trained since. Its quality is not that of the original, "
          "and nothing\nthat was measured of the original holds for it: "
          "measure it, and uptrain it.\n\n",
          card->out);
}

static void put_row(const struct card *card, const char *label, uint64_t before,
                    uint64_t after)
{
    if (before > 0)
        fprintf(card->out, "| %s | %" PRIu64 " | %" PRIu64 " |\n", label,
                before, after);
}

static void put_range(const struct card *card, const struct gqa_range *range)
{
    if (range->low == range->high)
        fprintf(card->out, " %" PRIu64 " |", range->low);
    else
        fprintf(card->out, " %" PRIu64 " to %" PRIu64 " |", range->low,
                range->high);
}

static void put_facts(const struct card *card, const struct gqa_totals *t)
{
    fputs("| | original | this model |\n| --- | --- | --- |\n", card->out);
    if (t->n_grouped > 0) {
        fputs("| KV heads where they are grouped |", card->out);
        put_range(card, &t->before);
        put_range(card, &t->after);
        fputs("\n", card->out);
    }
    put_row(card, "KV cache, bytes a token", t->self_before, t->self_after);
    put_row(card, "KV cache of cross-attention, bytes a source token",
            t->cross_before, t->cross_after);
    put_row(card, "parameters", t->params_before, t->params_after);
    put_row(card, "tensors, bytes", t->bytes_before, t->bytes_after);
    fputs("\n", card->out);
}

/* The first of its architectures, if that can be a class of Python's. */
static const char *class_name(const struct card *card)
{
    const char *name = json_string_value(
        json_array_get(json_object_get(card->config, "architectures"), 0));

    return name && gqa_is_identifier(name) ? name : "AutoModel";
}

static void put_loading(const struct card *card)
{
    const bool own_code = json_object_get(card->config, "auto_map") != NULL;
    const char *class = card->stock == GQA_STOCK_HAS_MODULE
                            ? gqa_remote_code_loader(card->config)
                        : own_code ? "AutoModel"
                                   : class_name(card);

    fputs("## How to load it\n\n", card->out);
    if (card->stock != GQA_STOCK_LOADS && card->stock != GQA_STOCK_HAS_MODULE)
        fprintf(card->out, "%s\nAs it is, `gqa-verify FOLDER` checks it.\n",
                gqa_stock_note(card->stock));
    else
        fprintf(card->out,
                "```python\nfrom transformers import %s\n\n"
                "model = %s.from_pretrained(\"FOLDER\"%s)\n```\n",
                class, class, own_code ? ", trust_remote_code=True" : "");
    fputs("\n", card->out);
}

static void put_recipe(const struct card *card)
{
    char *text = json_dumps(card->recipe, JSON_INDENT(2) | JSON_ENSURE_ASCII);

    fputs("## How it was made\n\n", card->out);
    fputs(
        card->c->options->plan.method == GQA_METHOD_ALIGNED
            ? "`gqa-verify --against ORIGINAL FOLDER` holds all other values "
              "against the\noriginal's and measures what the model does. The "
              "recipe is in the metadata of the\nweights, too:\n\n"
            : "`gqa-verify --against ORIGINAL FOLDER` holds every value "
              "against this recipe,\nwhich is in the metadata of the weights, "
              "too:\n\n",
        card->out);
    fprintf(card->out, "```json\n%s\n```\n", text ? text : "");
    free(text);
}

static void put_all(const struct card *card)
{
    const struct gqa_totals t = gqa_totals_of(card->c->plan);

    put_front_matter(card);
    put_story(card, &t);
    put_facts(card, &t);
    put_loading(card);
    put_recipe(card);
}

/* Whether the source is a folder with a card. */
static bool has_card(const struct gqa_checkpoint *source)
{
    char *path = gqa_checkpoint_is_folder(source)
                     ? gqa_path_join(gqa_checkpoint_folder(source), "README.md")
                     : NULL;
    const bool has = path && access(path, F_OK) == 0;

    free(path);
    return has;
}

enum gqa_status gqa_card_create(char **out, const struct gqa_conversion *c,
                                const json_t *config, const json_t *recipe)
{
    struct card card = {.c = c, .config = config, .recipe = recipe};
    struct gqa_memory_stream text;
    json_t *original = NULL;
    enum gqa_status st;

    *out = NULL;
    if (gqa_is_repacking(c->plan) && has_card(c->source))
        return GQA_OK;
    st = gqa_front_matter_read(&original, gqa_checkpoint_is_folder(c->source)
                                              ? gqa_checkpoint_folder(c->source)
                                              : NULL);
    card.original = original;
    card.stock = gqa_stock_of(c->plan);
    if (st == GQA_OK && (st = gqa_memory_stream_open(&text)) == GQA_OK) {
        card.out = text.out;
        put_all(&card);
        if ((st = gqa_memory_stream_flush(&text)) == GQA_OK &&
            !(*out = strdup(text.text)))
            st = gqa_fail_nomem();
        gqa_memory_stream_free(&text);
    }
    json_decref(original);
    return st;
}
