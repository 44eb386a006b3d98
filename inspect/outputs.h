/* Files that an inspection is written into: a page, a figure. */
#ifndef GQA_INSPECT_OUTPUTS_H
#define GQA_INSPECT_OUTPUTS_H

#include "common/whole_file.h"
#include "inspect/inspection.h"

struct gqa_inspect_outputs {
    struct gqa_whole_file page, figure;
};

/* Those that are asked for, before anything is read: whether they can be
 * written shows here. Errors as gqa_whole_file_begin(). */
GQA_MUST_USE
enum gqa_status gqa_inspect_outputs_begin(
    struct gqa_inspect_outputs *outputs,
    const struct gqa_inspect_options *options);

/* Errors GQA_ERR_USAGE: an output is what was read; those of the writers. */
GQA_MUST_USE
enum gqa_status gqa_inspect_outputs_write(
    struct gqa_inspect_outputs *outputs,
    const struct gqa_inspection *inspection);

/* They appear, where st is GQA_OK. Returns st, or what went wrong. */
enum gqa_status gqa_inspect_outputs_end(struct gqa_inspect_outputs *outputs,
                                        enum gqa_status st);

#endif
