#include "verify/module_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/ull.h"
#include "formats/families/remote_code.h"
#include "formats/folder/folder.h"

static void add(json_t *list, const char *key, const json_t *said,
                const char *clause)
{
    json_array_append_new(list, json_pack("{s:s, s:O*, s:s}", "key", key,
                                          "converted", said, "clause", clause));
}

/* "modeling_grouped_t5.GroupedT5Model" */
static char *file_of(const char *class)
{
    const size_t n = strcspn(class, ".");
    char *file = malloc(n + sizeof ".py");

    if (!file)
        return NULL;
    memcpy(file, class, n);
    memcpy(file + n, ".py", sizeof ".py");
    return file;
}

static enum gqa_status check_file(json_t *list,
                                  const struct gqa_subject *subject,
                                  const char *file)
{
    char clause[GQA_CLAUSE_MAX];
    char *path;

    if (!gqa_checkpoint_is_folder(subject->checkpoint))
        return GQA_OK;
    path = gqa_path_join(gqa_checkpoint_folder(subject->checkpoint), file);
    if (!path)
        return gqa_fail_nomem();
    if (access(path, F_OK) != 0) {
        snprintf(clause, sizeof clause,
                 "auto_map: names %.100s, which is not there", file);
        add(list, "auto_map", NULL, clause);
    }
    free(path);
    return GQA_OK;
}

/* Of an attention; 0: it says nothing that makes sense. */
static uint64_t said_of(const json_t *heads, const struct gqa_attention *a)
{
    const json_t *n =
        json_object_get(heads, gqa_remote_code_kind(a->stack, a->kind));
    uint64_t count = 0;

    if (json_is_array(n))
        n = json_array_get(n, (size_t)a->layer);
    return n && gqa_json_u64(n, &count) ? count : 0;
}

/* The first that is another; what is said of none is as many as query heads. */
static void check_heads(json_t *list, const struct gqa_model *m)
{
    const json_t *heads = json_object_get(m->config, GQA_REMOTE_CODE_HEADS);
    char clause[GQA_CLAUSE_MAX];

    for (size_t i = 0; i < m->n_attentions; i++) {
        const struct gqa_attention *a = &m->attentions[i];
        const char *kind = gqa_remote_code_kind(a->stack, a->kind);
        const bool is_said = json_object_get(heads, kind) != NULL;
        const uint64_t said = is_said ? said_of(heads, a) : a->n_heads;

        if (said == a->n_kv_heads)
            continue;
        snprintf(clause, sizeof clause,
                 "%s: \"%s\" is %s%llu, but the tensors of layer %llu have "
                 "%llu",
                 GQA_REMOTE_CODE_HEADS, kind,
                 is_said ? "" : "absent here, which makes it ", ULL(said),
                 ULL(a->layer), ULL(a->n_kv_heads));
        add(list, GQA_REMOTE_CODE_HEADS, heads, clause);
        return;
    }
}

enum gqa_status gqa_module_check(char **module, json_t *list,
                                 const struct gqa_subject *subject)
{
    const char *class =
        subject->model
            ? gqa_remote_code_class(gqa_model_whole_config(subject->model))
            : NULL;

    *module = NULL;
    if (!class)
        return GQA_OK;
    if (!(*module = file_of(class)))
        return gqa_fail_nomem();
    check_heads(list, subject->model);
    return check_file(list, subject, *module);
}
