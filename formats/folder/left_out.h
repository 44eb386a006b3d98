/*
 * Files beside a checkpoint that are not true of a conversion of it, and so do
 * not come along.
 */
#ifndef GQA_FORMATS_FOLDER_LEFT_OUT_H
#define GQA_FORMATS_FOLDER_LEFT_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

/* What is true of the conversion. */
struct gqa_companion_rules {
    bool has_card;       /* a model card of its own: README.md */
    uint64_t n_kv_heads; /* in all layers; 0: layers differ */
    bool has_own_module; /* or none that reads grouped heads */
};

/* Why a file of this name stays behind, in a few words; NULL: its name says
 * nothing against it. rules: NULL: weights and their indices alone do. */
const char *gqa_left_out_by_name(const char *name,
                                 const struct gqa_companion_rules *rules);

/*
 * Likewise by what stands in it. fd: of a file of `size` bytes, lent. *reason
 * is NULL where nothing is against it. Errors GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_left_out_by_content(
    const char **reason, int fd, uint64_t size, const char *name,
    const struct gqa_companion_rules *rules);

#endif
