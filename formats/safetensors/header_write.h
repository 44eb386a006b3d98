/*
 * What a safetensors file begins with: 8 bytes of length and a JSON header,
 * byte for byte as the reference library writes them.
 */
#ifndef GQA_FORMATS_SAFETENSORS_HEADER_WRITE_H
#define GQA_FORMATS_SAFETENSORS_HEADER_WRITE_H

#include "common/status.h"
#include "formats/write/output.h"

struct gqa_st_text {
    char *bytes; /* length and header; owned */
    size_t n_bytes;
    uint64_t data_bytes; /* of all tensors */
};

/*
 * Put n indices of tensors into the order of their data: widest dtype
 * first, then by name. order: [n], the indices of the tensors meant.
 */
void gqa_st_sort(size_t *order, size_t n,
                 const struct gqa_output_tensor *tensors);

/*
 * The header of n tensors in the given order, their data without gaps.
 *
 * metadata  string -> string, or NULL for none.
 * out       receives the header on GQA_OK; end it with gqa_st_text_free().
 * Errors    GQA_ERR_FORMAT: a name that occurs twice, is reserved or is not
 *           UTF-8; a header longer than readers accept. GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_st_text_create(struct gqa_st_text *out,
                                   const struct gqa_output_tensor *tensors,
                                   const size_t *order, size_t n,
                                   const json_t *metadata);
void gqa_st_text_free(struct gqa_st_text *header);

#endif
