/*
 * The header of a safetensors stream: JSON that names each tensor and says
 * where its bytes lie. The same parser serves a .safetensors file and the
 * first frame of a .gqa.
 */
#ifndef GQA_FORMATS_SAFETENSORS_HEADER_H
#define GQA_FORMATS_SAFETENSORS_HEADER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/source.h"
#include "formats/tensor.h"

/* Bytes before the JSON: its length. */
#define GQA_ST_PREFIX_BYTES ((size_t)8)
/* The longest JSON that the safetensors library reads, and so do we. */
#define GQA_ST_MAX_HEADER_BYTES ((uint64_t)100000000)
/* The gqa.version of the metadata that we know. */
#define GQA_FORMAT_VERSION "1"

/* Zero-initialise; gqa_st_header_clear() frees what parsing put in. */
struct gqa_st_header {
    struct gqa_tensor *tensors; /* [n_tensors], in data order; names unique */
    uint64_t *offsets;          /* [n_tensors] bytes from the data's start */
    size_t n_tensors;
    uint64_t data_bytes; /* the tensors tile [0, data_bytes) */
    json_t *metadata;    /* __metadata__: string -> string; may be NULL */
};

/* The JSON's length from the first GQA_ST_PREFIX_BYTES bytes. */
uint64_t gqa_st_header_length(const unsigned char *prefix);

/*
 * Parse the JSON. Allocates by what the text holds, never by what it claims.
 *
 * header  receives the tensors; on an error the caller clears it, too, and
 *         may find the metadata in it.
 * Errors  GQA_ERR_FORMAT: not JSON, a name twice, ranges that overlap or
 *         leave a gap, a range that does not fit its shape; the message
 *         names the tensor. GQA_ERR_UNSUPPORTED: a dtype that we do not
 *         know, too high a rank, too long a name or a control character in
 *         one. GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_st_header_parse(struct gqa_st_header *header,
                                    const char *text, size_t length);
void gqa_st_header_clear(struct gqa_st_header *header);

/*
 * Give the tensors and the metadata to a source, with what the metadata
 * says: naming, and the configuration if there is one inside. header keeps
 * its offsets. Errors GQA_ERR_FORMAT: the configuration is not an object;
 * GQA_ERR_UNSUPPORTED: a gqa.version that we do not know.
 */
GQA_MUST_USE
enum gqa_status gqa_st_header_move(struct gqa_source *source,
                                   struct gqa_st_header *header);

#endif
