/*
 * A model to write, with tensors around the edges of blocks: what it is
 * made of can be computed anew at any place.
 */
#ifndef GQA_TESTS_OUTPUT_MODEL_H
#define GQA_TESTS_OUTPUT_MODEL_H

#include "formats/writers.h"

enum { N_MODEL_TENSORS = 8 };

extern const struct gqa_output_tensor model_tensors[N_MODEL_TENSORS];

/* Their indices in the order that the data must have. */
extern const size_t model_order[N_MODEL_TENSORS];

/* What gqa_produce_fn is given as ctx; all zero for no trouble. */
struct model_trouble {
    unsigned seed;    /* other seed, other content */
    bool fails;       /* produce fails in a late block */
    bool is_signaled; /* SIGTERM comes in a late block */
};

enum gqa_status model_produce(void *ctx, unsigned worker, size_t tensor,
                              uint64_t offset, size_t n, void *buf);

/* Options with one thread and __metadata__ {"format": "pt"}; lent. */
struct gqa_output_options model_options(const struct gqa_writer *writer);

/* Write the model with content `seed` to path; must succeed. */
struct gqa_output_summary model_write(const char *path,
                                      const struct gqa_output_options *options,
                                      unsigned seed);

/* The whole file; the caller frees it. */
unsigned char *read_file(const char *path, size_t *n);

/* The safetensors file that the model is; the caller frees it. */
unsigned char *model_content(unsigned seed, size_t *n);

/* Entries of a folder, `.` and `..` aside. */
size_t count_entries(const char *folder);

#endif
