#include "verify/inventory_check.h"

#include <stdio.h>

/* Of each kind of fault, as many names as a report takes. */
enum { MAX_NAMED = 100 };

void gqa_inventory_check_config(struct gqa_check *check,
                                const struct gqa_subject *subject)
{
    const struct gqa_inventory *inventory = subject->inventory;

    if (!inventory || (inventory->n_of[GQA_FAULT_NUMBER] == 0 &&
                       inventory->n_of[GQA_FAULT_CONFIG] == 0))
        return;
    check->verdict = GQA_FAILED;
    check->figure[0] = '\0';
    gqa_inventory_text(check->detail, sizeof check->detail, inventory,
                       GQA_FAULT_NUMBER, GQA_FAULT_CONFIG);
}

static json_t *list_names(const struct gqa_inventory *inventory,
                          enum gqa_fault_kind first, enum gqa_fault_kind last)
{
    json_t *list = json_array();

    for (size_t i = 0; i < inventory->n_faults; i++) {
        const struct gqa_fault *fault = &inventory->faults[i];

        if (fault->kind >= first && fault->kind <= last &&
            json_array_size(list) < MAX_NAMED)
            json_array_append_new(list, json_string(fault->name));
    }
    return list;
}

static size_t count(const struct gqa_subject *subject, enum gqa_param_role role)
{
    size_t n = 0;

    for (size_t i = 0; i < subject->model->n_params; i++)
        n += subject->inventory->roles[i] == role;
    return n;
}

/* "21, all of them, 2 that nothing reads" */
static void put_figure(struct gqa_check *check,
                       const struct gqa_subject *subject)
{
    static const struct {
        enum gqa_param_role role;
        const char *words;
    } parts[] = {
        {GQA_ROLE_COPY, "of the embedding once more"},
        {GQA_ROLE_HEAD, "of a head of its task"},
        {GQA_ROLE_OUTER, "of other parts of the model"},
        {GQA_ROLE_BUFFER, "that nothing reads"},
        {GQA_ROLE_SCALE, "of scales"},
        {GQA_ROLE_BESIDE, "beside them"},
    };
    int used = snprintf(check->figure, sizeof check->figure, "%zu, all of them",
                        count(subject, GQA_ROLE_NETWORK));

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t n = count(subject, parts[i].role);
        const size_t left = sizeof check->figure - (size_t)used;
        int added;

        if (n == 0)
            continue;
        added =
            snprintf(check->figure + used, left, ", %zu %s", n, parts[i].words);
        if (added < 0 || (size_t)added >= left)
            return;
        used += added;
    }
}

enum gqa_status gqa_inventory_check(struct gqa_report *report,
                                    const struct gqa_subject *subject,
                                    bool allow_extra)
{
    const struct gqa_inventory *inventory = subject->inventory;
    struct gqa_check check = {
        .group = GQA_CHECK_FILE, .name = "parameters", .verdict = GQA_PASSED};
    bool is_whole;

    if (!inventory) {
        check.verdict = GQA_SKIPPED;
        snprintf(check.detail, sizeof check.detail,
                 "what the tensors mean is not known");
        return gqa_report_add(report, &check);
    }
    gqa_inventory_text(check.detail, sizeof check.detail, inventory,
                       GQA_FAULT_MISSING, GQA_FAULT_ATTENTION);
    is_whole = inventory->n_of[GQA_FAULT_MISSING] == 0 &&
               inventory->n_of[GQA_FAULT_SHAPE] == 0 &&
               inventory->n_of[GQA_FAULT_ATTENTION] == 0;
    if (is_whole && inventory->n_of[GQA_FAULT_EXTRA] == 0)
        put_figure(&check, subject);
    else
        check.verdict = is_whole && allow_extra ? GQA_REPORTED : GQA_FAILED;
    check.values = json_pack(
        "{s:o, s:o, s:o}", "missing",
        list_names(inventory, GQA_FAULT_MISSING, GQA_FAULT_MISSING),
        "misshapen", list_names(inventory, GQA_FAULT_SHAPE, GQA_FAULT_SHAPE),
        "left_over",
        list_names(inventory, GQA_FAULT_EXTRA, GQA_FAULT_ATTENTION));
    return gqa_report_add(report, &check);
}
