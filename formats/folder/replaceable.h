/*
 * What a folder may hold and yet be replaced: what a conversion has written
 * into it, and what the names of a checkpoint's own parts cover.
 */
#ifndef GQA_FORMATS_FOLDER_REPLACEABLE_H
#define GQA_FORMATS_FOLDER_REPLACEABLE_H

#include "common/atomic.h"
#include "formats/folder/companions.h"

/*
 * Set the verdicts. Ours is a regular file that
 * - the folder's gqa-manifest.json lists and that is as it says, or that
 *   manifest itself;
 * - is the config.json of a model, or model.safetensors beside one;
 * - is model.safetensors.index.json, or a *.safetensors that it names;
 * - is, byte for byte, the companion which is written there again.
 *
 * companions  a const struct gqa_companions.
 * folder_fd   of the folder, whose entries these are.
 * Errors      GQA_ERR_INTERRUPTED, GQA_ERR_NOMEM. What cannot be read is not
 *             ours.
 */
GQA_MUST_USE
enum gqa_status gqa_replaceable_judge(void *companions, int folder_fd,
                                      struct gqa_entries *entries);

/* For gqa_atomic_create_folder(). */
#define GQA_REPLACEABLE(companions)                                     \
    ((const struct gqa_atomic_judge){gqa_replaceable_judge, companions, \
                                     "what no conversion wrote"})

#endif
