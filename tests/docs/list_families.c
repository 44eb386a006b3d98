/*
 * The families that are built in, as rows of the table of docs/families.md:
 * where their heads lie, and what becomes of a grouped checkpoint. Types of a
 * family that do not differ in it share a row.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/families/kv_said.h"
#include "formats/families/load.h"
#include "formats/families/nested.h"

struct row {
    char types[1024], rest[2048];
};

static void add(char *out, size_t size, const char *text)
{
    const size_t n = strlen(out);

    if (n + strlen(text) + 1 > size) {
        fprintf(stderr, "list_families: a row is too long\n");
        exit(1);
    }
    memcpy(out + n, text, strlen(text) + 1);
}

#define ADD(out, text) add(out, sizeof(out), text)

/* "model.layers.N.self_attn.{q,k,v,o}_proj": the names that differ, in one. */
static void add_names(struct row *row, const struct gqa_family *f,
                      const struct gqa_attention_rule *a)
{
    const char *before = "{";

    ADD(row->rest, f->names.prefixes[0]);
    for (const char *c = a->pattern; *c; c++) {
        const char text[] = {*c == '%' ? 'N' : *c, '\0'};

        ADD(row->rest, text);
    }
    ADD(row->rest, ".");
    for (int i = 0; i < 4; i++) {
        if (i > 0 && strcmp(a->names[i], a->names[i - 1]) == 0)
            continue;
        ADD(row->rest, before);
        ADD(row->rest, a->names[i]);
        before = ",";
    }
    ADD(row->rest, "}");
}

/* What a norm of keys does to pooling. */
static const char *norm_words(const struct gqa_attention_rule *a)
{
    if (!a->head_norms.module[1].json)
        return "";
    switch (a->head_norms.weights) {
    case GQA_HEAD_NORM_SHARED:
        return "; keys are normed by one norm for all heads, which stays";
    case GQA_HEAD_NORM_FULL_WIDTH:
        return "; keys are normed all together, and the norm moves into them";
    default:
        return "; refused where each head has a norm of its own";
    }
}

static void add_word(struct row *row, const char *text)
{
    ADD(row->rest, "`");
    ADD(row->rest, text);
    ADD(row->rest, "`");
}

/* Keys that say KV heads by words, behind the one that leads to them. */
static void add_keys(struct row *row, const json_t *setting)
{
    const char *word;
    json_t *value;

    add_word(row, json_string_value(json_object_get(setting, "key")));
    json_object_foreach(json_object_get(setting, "map"), word, value)
    {
        if (!gqa_is_setting(value))
            continue;
        ADD(row->rest, ", ");
        ADD(row->rest, word);
        ADD(row->rest, ": ");
        add_keys(row, value);
    }
}

static const char *grouped_words(const struct gqa_family *f)
{
    if (f->remote_code && f->stock_grouped == GQA_STOCK_UNIFORM)
        return "a folder with a number that these keys can say, with others by "
               "`--remote-code`";
    if (f->remote_code)
        return "a folder with `--remote-code`, which has a module that loads "
               "it, or with `--expand`; grouped in `.gqa`";
    if (f->stock_own_code && f->stock_grouped != GQA_STOCK_UNIFORM)
        return "a folder with `--expand`, loaded by the code that comes with "
               "checkpoints; grouped in `.gqa`";
    if (f->stock_grouped != GQA_STOCK_UNIFORM)
        return "a folder with `--expand`; grouped in `.gqa`";
    return gqa_kv_said(f) ? "a folder with a number that these keys can say"
                          : "a folder with one number of KV heads";
}

static void make(struct row *row, const struct gqa_family *f)
{

    row->rest[0] = '\0';
    for (size_t i = 0; i < f->n_attentions; i++) {
        ADD(row->rest, i ? "<br>`" : "`");
        add_names(row, f, f->attentions[i]);
        ADD(row->rest, "`");
    }
    ADD(row->rest, " | ");
    ADD(row->rest, gqa_described_layout(f->attentions[0]->layout));
    ADD(row->rest, " | ");
    if (f->keys.n_kv_heads)
        add_word(row, f->keys.n_kv_heads[0]);
    else if (gqa_kv_said(f))
        add_keys(row, f->keys.n_kv_heads_by.json);
    ADD(row->rest, " | ");
    ADD(row->rest, grouped_words(f));
    ADD(row->rest, norm_words(f->attentions[0]));
}

static void print(const struct row *row)
{
    if (row->types[0])
        printf("| %s | %s |\n", row->types, row->rest);
}

/* Types that hold a model of another one; those that do so alike in one. */
static void list_nested(void)
{
    static char types[1024];

    for (const struct gqa_nested *n = gqa_nested_types; n->model_type; n++) {
        bool first = true;

        types[0] = '\0';
        for (const struct gqa_nested *m = gqa_nested_types; m->model_type;
             m++) {
            if (m->prefixes != n->prefixes || m->classes != n->classes ||
                strcmp(m->config, n->config) != 0)
                continue;
            if (m < n)
                first = false;
            add(types, sizeof types, types[0] ? ", `" : "`");
            add(types, sizeof types, m->model_type);
            add(types, sizeof types, "`");
        }
        if (!first)
            continue;
        printf("| %s | as the model in `%s` (`model_type` there), behind",
               types, n->config);
        for (gqa_texts p = n->prefixes; *p; p++)
            printf(**p ? "%s `%s`" : "%s nothing%s",
                   p == n->prefixes ? "" : " or", *p);
        printf(" | its own | in `%s` | as it is%s; other parts are copied |\n",
               n->config,
               n->classes ? ", and with `--remote-code` where it has no "
                            "grouped class"
                          : "");
    }
}

int main(void)
{
    const struct gqa_family_choice choice = {.library = &gqa_builtin_families};
    static struct row row, next;

    for (size_t i = 0; i < gqa_builtin_families.n; i++) {
        row.types[0] = row.rest[0] = '\0';
        for (gqa_texts t = gqa_builtin_families.items[i].model_types; *t; t++) {
            struct gqa_family *family;

            if (gqa_family_load(&family, &choice, i, *t) != GQA_OK) {
                fprintf(stderr, "list_families: %s\n", gqa_error_message());
                return 1;
            }
            make(&next, family);
            gqa_family_free(family);
            if (strcmp(next.rest, row.rest) != 0) {
                print(&row);
                row.types[0] = '\0';
                memcpy(row.rest, next.rest, sizeof row.rest);
            }
            if (row.types[0])
                ADD(row.types, ", ");
            ADD(row.types, "`");
            ADD(row.types, *t);
            ADD(row.types, "`");
        }
        print(&row);
    }
    list_nested();
    return 0;
}
