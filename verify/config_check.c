#include "verify/config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/json.h"
#include "common/log.h"
#include "common/ull.h"
#include "formats/families/kv_said.h"
#include "formats/families/meaning.h"
#include "formats/families/remote_code.h"
#include "formats/folder/config_file.h"
#include "formats/folder/folder.h"
#include "formats/model/readings.h"
#include "formats/model/rope.h"
#include "formats/model/rope_config.h"
#include "formats/model/sizes.h"
#include "verify/clauses.h"
#include "verify/loader_check.h"
#include "verify/module_check.h"

enum { MAX_GENERATION_BYTES = 1 << 20 };

/* --- What is found ------------------------------------------------------- */

/* The check, and differences that were listed with it. */
struct finding {
    struct gqa_check *check;
    json_t *list;      /* of {"key", "original" or "beside", "converted"} */
    size_t n, n_shown; /* n_shown: in the detail */
};

static void fail(struct finding *f, const char *clause)
{
    f->check->verdict = GQA_FAILED;
    f->n++;
    f->n_shown += gqa_clause_add(f->check, clause);
}

/* The other configuration, and how both are spoken of. */
struct other {
    const char *name; /* in JSON */
    struct gqa_clause_words words;
};

static void add_difference(struct finding *f, const struct other *other,
                           const json_t *difference)
{
    char clause[GQA_CLAUSE_MAX];

    json_array_append_new(f->list, gqa_clause_json(difference, other->name));
    gqa_clause_of(clause, difference, &other->words);
    fail(f, clause);
}

static enum gqa_status compare(struct finding *f, const struct other *other,
                               const json_t *a, const json_t *b)
{
    json_t *differences = NULL;
    const enum gqa_status st = gqa_meaning_compare(&differences, a, b);

    for (size_t i = 0; i < json_array_size(differences); i++)
        add_difference(f, other, json_array_get(differences, i));
    json_decref(differences);
    return st;
}

/* --- Configurations ------------------------------------------------------ */

/* A config.json of Hugging Face, and not Keras's. */
static bool is_hugging_face(const json_t *config)
{
    return config && !json_object_get(config, "class_name");
}

static const json_t *raw_config(const struct gqa_subject *s)
{
    const json_t *whole = gqa_checkpoint_config(s->checkpoint);

    return s->model ? gqa_model_config_in(s->model, whole) : whole;
}

static uint64_t n_decoder_layers(const struct gqa_model *m)
{
    return gqa_model_is_encoder_decoder(m) ? m->n_decoder_layers : m->n_layers;
}

/* generation_config.json of a folder; *out stays NULL where there is none that
 * can be read, which is another check's to say. */
static enum gqa_status find_generation(json_t **out,
                                       const struct gqa_subject *s)
{
    enum gqa_status st;
    char *path;

    if (!gqa_checkpoint_is_folder(s->checkpoint))
        return GQA_OK;
    path = gqa_path_join(gqa_checkpoint_folder(s->checkpoint),
                         "generation_config.json");
    if (!path)
        return gqa_fail_nomem();
    st = gqa_json_load_file(out, path, MAX_GENERATION_BYTES);
    free(path);
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}

/* --- The original's ------------------------------------------------------ */

/* In the tensors, of most elements. */
static enum gqa_dtype most_common_float(const struct gqa_checkpoint *c)
{
    static const enum gqa_dtype floats[] = {GQA_F32, GQA_BF16, GQA_F16,
                                            GQA_F64};
    enum gqa_dtype best = GQA_F32;
    uint64_t most = 0;

    for (size_t f = 0; f < sizeof floats / sizeof *floats; f++) {
        uint64_t n = 0;

        for (size_t i = 0; i < gqa_checkpoint_n_tensors(c); i++) {
            const struct gqa_tensor *t = gqa_checkpoint_tensor(c, i);

            if (t->dtype == floats[f])
                n += t->n_bytes;
        }
        if (n > most) {
            most = n;
            best = floats[f];
        }
    }
    return best;
}

/* transformers 4 says torch_dtype, 5 dtype, which goes before it. */
static const char *stated_dtype(const char **key, const json_t *config)
{
    static const char before[] = "torch.";
    const char *text = json_string_value(json_object_get(config, "dtype"));

    *key = text ? "dtype" : "torch_dtype";
    if (!text)
        text = json_string_value(json_object_get(config, *key));
    return text && strncmp(text, before, sizeof before - 1) == 0
               ? text + sizeof before - 1
               : text;
}

/* It may say another than the original does, but only what the tensors are.
 * before, after: the two configurations. */
static void check_dtype(struct finding *f, const struct gqa_subject *subject,
                        const json_t *before, const json_t *after)
{
    static const char *const names[] = {[GQA_F32] = "float32",
                                        [GQA_BF16] = "bfloat16",
                                        [GQA_F16] = "float16",
                                        [GQA_F64] = "float64"};
    const char *key, *other;
    const char *was = stated_dtype(&other, before);
    const char *is = stated_dtype(&key, after);
    const char *fact = names[most_common_float(subject->checkpoint)];
    json_t *difference;
    char clause[256];

    if (!is || strcmp(is, fact) == 0 || (was && strcmp(is, was) == 0))
        return;
    difference = json_pack("{s:s, s:s*, s:s, s:s}", "key", key, "original", was,
                           "converted", is, "tensors", fact);
    json_array_append_new(f->list, difference);
    snprintf(clause, sizeof clause,
             "%s: %.40s in the original, %.40s here, but the tensors are %s",
             key, was ? was : "absent", is, fact);
    fail(f, clause);
}

/* What the recipe, or one that it began with, tells last of frequencies of
 * RoPE that were changed; NULL: none does. */
static const json_t *freed_pairs(const json_t *recipe)
{
    const json_t *freed = NULL;

    while (recipe && !freed) {
        freed = json_object_get(json_object_get(recipe, "alignment"),
                                "freed_pairs");
        recipe = json_object_get(json_object_get(recipe, "source"), "recipe");
    }
    return freed;
}

/* A conversion says sizes that its original leaves to the tensors; one that
 * leaves them out too says the same. */
static void expect_sizes(json_t *config, const struct gqa_subject *subject,
                         const struct gqa_subject *original)
{
    const json_t *before = original->model->config;
    const json_t *after =
        subject->model ? subject->model->config : raw_config(subject);
    const char *key;
    json_t *value;
    void *next;

    if (!original->inventory || !original->model->model_type)
        return;
    gqa_model_say_sizes(config, original->model, original->inventory, 0);
    json_object_foreach_safe(config, next, key, value)
    {
        json_t *said = json_object_get(before, key);
        const json_t *now = json_object_get(after, key);

        if (value == said || json_equal(value, said))
            continue;
        if (!said && !now)
            json_object_del(config, key);
        else if (said && json_equal(said, now))
            json_object_set(config, key, said);
    }
}

/* A module begins with the class that has all heads. */
static bool has_module(const struct gqa_subject *subject)
{
    return subject->model &&
           gqa_remote_code_class(gqa_model_whole_config(subject->model));
}

/* The original's configuration as a conversion and the recipe leave it. The
 * caller owns it. */
static json_t *expected_config(const struct gqa_subject *subject,
                               const struct gqa_subject *original)
{
    const json_t *divisors =
        json_object_get(freed_pairs(subject->recipe), "divisors");
    json_t *config = json_deep_copy(original->model->config);

    expect_sizes(config, subject, original);
    if (has_module(subject))
        gqa_remote_code_supersede(config);
    if (json_is_array(divisors) && gqa_rope_config_is_plain(config))
        gqa_rope_config_divide(config, divisors);
    return config;
}

/* What is said beside the language model that both hold. */
static enum gqa_status compare_beside(struct finding *f,
                                      const struct gqa_subject *subject,
                                      const struct other *other,
                                      const struct gqa_nested *nested,
                                      const json_t *whole,
                                      struct gqa_meaning_view views[2])
{
    const json_t *own = gqa_checkpoint_config(subject->checkpoint);
    json_t *first = NULL;
    json_t *second = NULL;
    enum gqa_status st;

    views[0].inner = views[1].inner = subject->model->family;
    st = gqa_meaning_beside(&first, nested, whole, &views[0]);
    if (st == GQA_OK)
        st = gqa_meaning_beside(&second, nested, own, &views[1]);
    if (st == GQA_OK)
        st = compare(f, other, first, second);
    json_decref(first);
    json_decref(second);
    return st;
}

/* Whether both hold a language model, and say of what. */
static const struct gqa_nested *nested_in_both(
    const struct gqa_subject *subject, const json_t *whole)
{
    const struct gqa_nested *nested =
        subject->model ? gqa_model_nested(subject->model) : NULL;

    return nested && json_object_get(whole, nested->config) ? nested : NULL;
}

static enum gqa_status compare_wholes(struct finding *f,
                                      const struct gqa_subject *subject,
                                      const struct gqa_subject *original,
                                      const struct other *other,
                                      json_t *generation[2])
{
    json_t *whole = json_deep_copy(gqa_model_whole_config(original->model));
    const struct gqa_nested *nested = nested_in_both(subject, whole);
    struct gqa_meaning_view views[2] = {{.generation = generation[0]},
                                        {.generation = generation[1]}};
    enum gqa_status st = GQA_OK;

    if (nested && original->model->within) {
        if (has_module(subject))
            gqa_remote_code_supersede(whole);
        st = compare_beside(f, subject, other, nested, whole, views);
        check_dtype(f, subject, whole,
                    gqa_checkpoint_config(subject->checkpoint));
    }
    json_decref(whole);
    return st;
}

static enum gqa_status compare_original(struct finding *f,
                                        const struct gqa_subject *subject,
                                        const struct gqa_subject *original)
{
    const struct gqa_model *a = original->model, *b = subject->model;
    const bool alike = is_hugging_face(raw_config(original)) &&
                       is_hugging_face(raw_config(subject));
    const bool freed = freed_pairs(subject->recipe) != NULL;
    const bool are_folders = gqa_checkpoint_is_folder(original->checkpoint) &&
                             gqa_checkpoint_is_folder(subject->checkpoint);
    const struct other other = {
        "original",
        {freed ? "the original or its recipe" : "the original", "here"}};
    json_t *generation[2] = {NULL, NULL};
    struct gqa_meaning_view view = {.n_layers = n_decoder_layers(a),
                                    .network_alone = !alike};
    json_t *expected = expected_config(subject, original);
    json_t *first = NULL;
    json_t *second = NULL;
    enum gqa_status st = find_generation(&generation[0], original);

    if (st == GQA_OK)
        st = find_generation(&generation[1], subject);
    view.generation = generation[0];
    view.no_generation = are_folders && !generation[0];
    if (st == GQA_OK)
        st = gqa_meaning_create(&first, a->family, expected, &view);
    view.generation = generation[1];
    view.no_generation = are_folders && !generation[1];
    view.tokens_said = view.no_generation;
    if (st == GQA_OK)
        st = gqa_meaning_create(&second, a->family,
                                b ? b->config : raw_config(subject), &view);
    if (st == GQA_OK)
        st = compare(f, &other, first, second);
    if (st == GQA_OK && alike)
        st = compare_wholes(f, subject, original, &other, generation);
    if (st == GQA_OK && alike)
        check_dtype(f, subject, raw_config(original), raw_config(subject));
    json_decref(expected);
    json_decref(first);
    json_decref(second);
    json_decref(generation[0]);
    json_decref(generation[1]);
    return st;
}

static enum gqa_status check_original(struct finding *f,
                                      const struct gqa_subject *subject,
                                      const struct gqa_subject *original)
{
    const struct gqa_model *m = subject->model;

    if (!original->model->config_is_complete)
        return GQA_OK;
    if (m ? m->config_is_complete : is_hugging_face(raw_config(subject)))
        return compare_original(f, subject, original);
    if (!raw_config(subject) && gqa_checkpoint_is_folder(subject->checkpoint))
        fail(f, "there is no config.json, and the original has one");
    return GQA_OK;
}

/* --- KV heads ------------------------------------------------------------ */

/* The first attention that has another number than loaders take without the
 * key: a number of the class's own, or as many as there are query heads, as of
 * a model that was not grouped yet. NULL: there is none. */
static const struct gqa_attention *find_unsaid(uint64_t *taken,
                                               const struct gqa_model *m,
                                               const char *key, bool is_null)
{
    const uint64_t own =
        is_null ? 0 : gqa_family_default(m->family, m->config, key);
    const struct gqa_attention *a = gqa_grouped_by_key(m);

    /* A folder that no loader takes has no class. */
    if (own && m->family->stock_grouped == GQA_STOCK_UNIFORM) {
        *taken = own;
        a = a ? a : gqa_model_kv_heads(m) ? &m->attentions[0] : NULL;
    } else if (a) {
        *taken = a->n_heads;
    }
    return a && a->n_kv_heads != *taken ? a : NULL;
}

/* One that contradicts the tensors is no understood model. */
static void check_kv_key(struct finding *f, const struct gqa_subject *subject)
{
    const struct gqa_model *m = subject->model;
    const char *key = gqa_config_key(m->config, m->family->keys.n_kv_heads);
    const json_t *said = key ? json_object_get(m->config, key) : NULL;
    const struct gqa_attention *a;
    uint64_t taken;
    char clause[GQA_CLAUSE_MAX];

    if (!key || (said && !json_is_null(said)) ||
        !is_hugging_face(raw_config(subject)) ||
        !(a = find_unsaid(&taken, m, key, said != NULL)))
        return;
    json_array_append_new(f->list,
                          json_pack("{s:s, s:I}", "key", key, "tensors",
                                    (json_int_t)a->n_kv_heads));
    snprintf(clause, sizeof clause,
             "%.100s: %s here, so that loaders take %llu, but the tensors of "
             "layer %llu have %llu",
             key, said ? "null" : "absent", ULL(taken), ULL(a->layer),
             ULL(a->n_kv_heads));
    fail(f, clause);
}

/* The first attention of which words say another number, or NULL. Where there
 * are none for it, shapes alone tell what no folder is. */
static const struct gqa_attention *find_missaid(
    uint64_t *said, const struct gqa_subject *subject)
{
    const struct gqa_model *m = subject->model;
    const bool all = has_module(subject);
    const bool must_be_said =
        gqa_checkpoint_is_folder(subject->checkpoint) ||
        gqa_kv_said_can(m->family, m->config, gqa_model_n_heads(m),
                        gqa_model_kv_heads(m));

    for (size_t i = 0; i < m->n_attentions; i++) {
        const struct gqa_attention *a = &m->attentions[i];

        *said = gqa_kv_said_count(m->family, m->config, a->n_heads);
        if (must_be_said && a->stack == GQA_STACK_DECODER &&
            *said != (all ? a->n_heads : a->n_kv_heads))
            return a;
    }
    return NULL;
}

static void check_kv_said(struct finding *f, const struct gqa_subject *subject)
{
    const struct gqa_model *m = subject->model;
    const struct gqa_attention *a;
    const json_t *value;
    const char *key;
    uint64_t said;
    char clause[GQA_CLAUSE_MAX], text[41] = "absent";

    if (!gqa_kv_said(m->family) || !is_hugging_face(raw_config(subject)) ||
        !(a = find_missaid(&said, subject)))
        return;
    key = gqa_kv_said_key(m->family, m->config);
    if ((value = json_object_get(m->config, key)))
        gqa_value_text(text, sizeof text, value);
    json_array_append_new(f->list, json_pack("{s:s, s:O*, s:I}", "key", key,
                                             "converted", value, "tensors",
                                             (json_int_t)a->n_kv_heads));
    if (said && has_module(subject))
        snprintf(clause, sizeof clause,
                 "%.100s: %s here, by which loaders take %llu KV heads, and "
                 "its module begins with all %llu",
                 key, text, ULL(said), ULL(a->n_heads));
    else if (said)
        snprintf(clause, sizeof clause,
                 "%.100s: %s here, by which loaders take %llu KV heads, but "
                 "the tensors of layer %llu have %llu",
                 key, text, ULL(said), ULL(a->layer), ULL(a->n_kv_heads));
    else
        snprintf(clause, sizeof clause,
                 "%.100s: %s here, which says no number of KV heads", key,
                 text);
    fail(f, clause);
}

static void check_kv_heads(struct finding *f, const struct gqa_subject *subject)
{
    if (!subject->model)
        return;
    check_kv_key(f, subject);
    check_kv_said(f, subject);
}

/* --- What loaders take ---------------------------------------------------- */

/* list: of findings, each with its clause. */
static void take_found(struct finding *f, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *found = json_array_get(list, i);

        fail(f, json_string_value(json_object_get(found, "clause")));
        json_object_del(found, "clause");
        json_array_append(f->list, found);
    }
}

/* *module: a text of the caller's, or NULL. */
static enum gqa_status check_module(char **module, struct finding *f,
                                    const struct gqa_subject *subject)
{
    json_t *list = json_array();
    const enum gqa_status st = gqa_module_check(module, list, subject);

    take_found(f, list);
    json_decref(list);
    return st;
}

static enum gqa_status check_loaders(struct finding *f,
                                     const struct gqa_subject *subject,
                                     const struct gqa_subject *original)
{
    json_t *list = NULL;
    enum gqa_status st;

    if (!subject->inventory || !is_hugging_face(raw_config(subject)) ||
        !json_object_get(raw_config(subject), "model_type"))
        return GQA_OK;
    st = gqa_loader_check(&list, subject, original);
    take_found(f, list);
    json_decref(list);
    return st;
}

/* --- Inside and beside --------------------------------------------------- */

/* other: the whole of a configuration that holds for the same tensors. */
static enum gqa_status compare_other(struct finding *f,
                                     const struct gqa_subject *subject,
                                     const json_t *other, const char *path)
{
    const struct gqa_model *m = subject->model;
    const struct gqa_meaning_view view = {.n_layers = n_decoder_layers(m),
                                          .kv_heads = true};
    const struct other beside = {"beside", {path, "inside the file"}};
    json_t *first = NULL;
    json_t *second = NULL;
    const struct gqa_nested *nested = nested_in_both(subject, other);
    struct gqa_meaning_view views[2] = {view, view};
    enum gqa_status st = gqa_meaning_create(
        &first, m->family, nested ? gqa_model_config_in(m, other) : other,
        &view);

    if (st == GQA_OK)
        st = gqa_meaning_create(&second, m->family, raw_config(subject), &view);
    if (st == GQA_OK)
        st = compare(f, &beside, first, second);
    if (st == GQA_OK && nested)
        st = compare_beside(f, subject, &beside, nested, other, views);
    json_decref(first);
    json_decref(second);
    return st;
}

/* Index of the file that the configuration came from; n: from none. */
static size_t config_source(const struct gqa_checkpoint *c)
{
    const size_t n = gqa_checkpoint_n_sources(c);
    const char *path = gqa_checkpoint_config_path(c);
    size_t i = 0;

    while (i < n && path && strcmp(path, gqa_checkpoint_source(c, i)->path))
        i++;
    return path ? i : n;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 &&
           x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A config.json in a folder with other weights is those', not a file's. */
static enum gqa_status is_its_own(bool *own, const struct gqa_subject *subject,
                                  const struct gqa_subject *original,
                                  const char *beside)
{
    const struct gqa_checkpoint *c = subject->checkpoint;
    const char *path = gqa_checkpoint_path(c);
    const char *slash = strrchr(path, '/');

    *own = true;
    if (gqa_checkpoint_is_folder(c))
        return GQA_OK;
    if (original &&
        is_same_file(gqa_checkpoint_config_path(original->checkpoint),
                     beside)) {
        *own = false;
        return GQA_OK;
    }
    return gqa_folder_is_of(own, gqa_checkpoint_folder(c),
                            slash ? slash + 1 : path);
}

static enum gqa_status check_beside(struct finding *f,
                                    const struct gqa_subject *subject,
                                    const struct gqa_subject *original)
{
    json_t *config = NULL;
    char *path = NULL;
    bool own = false;
    const char *folder = gqa_checkpoint_folder(subject->checkpoint);
    enum gqa_status st =
        folder ? gqa_config_find(&config, &path, folder) : GQA_OK;

    if (st == GQA_ERR_FORMAT) {
        fail(f, gqa_error_message());
        return GQA_OK;
    }
    if (st == GQA_OK && config)
        st = is_its_own(&own, subject, original, path);
    if (st == GQA_OK && config && !own)
        gqa_info("%s: not compared: it belongs to other weights", path);
    else if (st == GQA_OK && is_hugging_face(config))
        st = compare_other(f, subject, config, path);
    json_decref(config);
    free(path);
    return st;
}

static enum gqa_status check_others(struct finding *f,
                                    const struct gqa_subject *subject,
                                    const struct gqa_subject *original)
{
    const struct gqa_checkpoint *c = subject->checkpoint;
    enum gqa_status st = GQA_OK;

    if (!subject->model || !is_hugging_face(raw_config(subject)))
        return GQA_OK;
    for (size_t i = config_source(c) + 1;
         i < gqa_checkpoint_n_sources(c) && st == GQA_OK; i++) {
        const struct gqa_source *s = gqa_checkpoint_source(c, i);

        if (is_hugging_face(s->config))
            st = compare_other(f, subject, s->config, s->path);
    }
    if (st == GQA_OK && config_source(c) < gqa_checkpoint_n_sources(c))
        st = check_beside(f, subject, original);
    return st;
}

/* --- Frequencies that were changed on purpose ---------------------------- */

static void say_freed(struct gqa_check *check, const json_t *freed)
{
    const json_t *divisors = json_object_get(freed, "divisors");
    const json_t *cost = json_object_get(freed, "kl");
    const size_t n = json_array_size(divisors);
    char clause[GQA_CLAUSE_MAX];
    size_t n_still = 0;

    for (size_t j = 0; j < n; j++)
        n_still +=
            json_number_value(json_array_get(divisors, j)) >= GQA_ROPE_STILL;
    if (n == 0)
        return;
    snprintf(clause, sizeof clause,
             "RoPE has the frequencies of the recipe: %zu of %zu pairs do not "
             "turn",
             n_still, n);
    gqa_clause_add(check, clause);
    if (!json_is_number(cost))
        return;
    snprintf(clause, sizeof clause,
             "by the recipe that alone cost the original a mean KL of %.3g "
             "nats",
             json_number_value(cost));
    gqa_clause_add(check, clause);
}

static void say_module(struct gqa_check *check, const char *module)
{
    char clause[GQA_CLAUSE_MAX];

    snprintf(clause, sizeof clause,
             "transformers loads it by %.100s, with trust_remote_code", module);
    gqa_clause_add(check, clause);
}

/* --- What is read in two ways --------------------------------------------- */

/* Each is right by a version of transformers. */
static enum gqa_status say_readings(struct gqa_check *check,
                                    const struct gqa_subject *subject)
{
    json_t *texts = NULL;
    json_t *text;
    size_t i;
    enum gqa_status st;

    if (!subject->model || !is_hugging_face(raw_config(subject)))
        return GQA_OK;
    st = gqa_readings_create(&texts, subject->checkpoint, subject->model,
                             GQA_TIED_ALL);
    json_array_foreach(texts, i, text)
    {
        gqa_clause_add(check, json_string_value(text));
    }
    json_decref(texts);
    return st;
}

/* --- All ----------------------------------------------------------------- */

enum gqa_status gqa_config_check(size_t *n_found, struct gqa_check *check,
                                 const struct gqa_subject *subject,
                                 const struct gqa_subject *original)
{
    struct finding f = {.check = check, .list = json_array()};
    const bool failed = check->verdict == GQA_FAILED;
    char *module = NULL;
    enum gqa_status st;

    check_kv_heads(&f, subject);
    st = check_module(&module, &f, subject);
    if (st == GQA_OK)
        st = check_loaders(&f, subject, original);
    if (st == GQA_OK)
        st = check_others(&f, subject, original);
    if (st == GQA_OK && original)
        st = check_original(&f, subject, original);
    if (original && f.n == 0)
        say_freed(check, freed_pairs(subject->recipe));
    if (module && f.n == 0)
        say_module(check, module);
    free(module);
    if (st == GQA_OK)
        st = say_readings(check, subject);
    gqa_clause_end(check, f.n - f.n_shown);
    if (f.n > 0 && !failed)
        snprintf(check->figure, sizeof check->figure, "%zu difference%s", f.n,
                 f.n == 1 ? "" : "s");
    if (!check->values)
        check->values = json_object();
    json_object_set_new(check->values, "differences", f.list);
    *n_found = f.n;
    return st;
}
