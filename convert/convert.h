/* One conversion from beginning to end. */
#ifndef GQA_CONVERT_CONVERT_H
#define GQA_CONVERT_CONVERT_H

#include "convert/options.h"
#include "convert/remote_code.h"

/* What was done, for the summary. */
struct gqa_conversion {
    const struct gqa_convert_options *options; /* lent */
    struct gqa_family_file *family;            /* --family, or NULL */
    struct gqa_checkpoint *source;
    struct gqa_model *model;
    struct gqa_inventory *inventory; /* of the model */
    struct gqa_calibration calibration;
    struct gqa_calibrator *calibrator; /* NULL: nothing is to be learnt */
    struct gqa_kv_choice *choice;      /* NULL: numbers were asked for */
    struct gqa_plan *plan;
    struct gqa_alignment *alignment;  /* NULL: the method has none */
    struct gqa_output_summary output; /* zero after a dry run */
    uint64_t source_file_bytes;       /* of the weights */
    uint64_t content_bytes;           /* of the tensors to write */
    size_t n_unwritten;               /* tensors of the source, or in part */
    uint64_t n_nan, n_inf;            /* met in all output tensors */
    bool could_align;                 /* a mean; of what is told alone */
    enum gqa_status (*report)(const struct gqa_conversion *c);
    double start_s, elapsed_s;
    char *json; /* the summary; NULL unless the options ask for it. Owned */
};

/*
 * Convert as the options say; a dry run writes nothing, and reads only what it
 * takes to choose numbers of KV heads.
 *
 * out     filled on GQA_OK and ended with gqa_conversion_clear().
 * report  called once, when all is written and on the device, before it
 *         appears: what it has to say arrives, or nothing is left behind.
 * Errors  any; nothing is left behind.
 */
GQA_MUST_USE
enum gqa_status gqa_convert(
    struct gqa_conversion *out, const struct gqa_convert_options *options,
    enum gqa_status (*report)(const struct gqa_conversion *c));
/* The configuration of the output, once it is planned: in report(). Owned; as
 * gqa_json_check() says. */
json_t *gqa_conversion_config(const struct gqa_conversion *conversion);

/* A Python module that loads a folder which was converted with --remote-code.
 */
struct gqa_module {
    char name[GQA_REMOTE_CODE_FILE_MAX]; /* of its file */
    char *text;                          /* the caller frees it */
};

/* That of a model that has one. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_conversion_module(struct gqa_module *out,
                                      const struct gqa_model *model);
void gqa_conversion_clear(struct gqa_conversion *conversion);

#endif
