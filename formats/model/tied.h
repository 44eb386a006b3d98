/*
 * Matrices that a checkpoint holds beside an embedding that they are tied to.
 * Where they differ from it, versions of transformers take one or the other
 * without a word: 4 drops them, 5 keeps them.
 */
#ifndef GQA_FORMATS_MODEL_TIED_H
#define GQA_FORMATS_MODEL_TIED_H

#include "formats/checkpoint.h"
#include "formats/model/model.h"

enum gqa_tied_rows {
    GQA_TIED_SOME, /* spread evenly: little is read of a large matrix */
    GQA_TIED_ALL,
};

/* The embedding of tokens; false: there is none. */
bool gqa_find_embedding(size_t *index, const struct gqa_model *model);

/* Whether a model without a matrix for them makes logits with the embedding. */
struct gqa_tied {
    bool in_4, in_5; /* by transformers 4, and by 5 */
    const char *key; /* by which 4 does; NULL: because none says otherwise */
};

/* Errors as gqa_setting_flag(). */
GQA_MUST_USE
enum gqa_status gqa_model_tied(struct gqa_tied *out,
                               const struct gqa_model *model);

/* Whether the parameter of this name makes logits of the stream. */
bool gqa_name_is_unembedding(const struct gqa_model *model, const char *name);

/*
 * Whether two matrices of floats have the same shape and values. Reads them a
 * piece at a time, up to the first difference. Errors as gqa_checkpoint_read(),
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_params_agree(bool *out, struct gqa_checkpoint *checkpoint,
                                 const struct gqa_param *a,
                                 const struct gqa_param *b,
                                 enum gqa_tied_rows rows);

/*
 * *out receives one line that names the first matrix which differs from the
 * embedding, and what is made of it; NULL: none does, or nothing says that
 * they are the same. The caller owns it. A checkpoint whose content is damaged
 * says nothing of it. Errors as gqa_checkpoint_read() but GQA_ERR_FORMAT;
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tied_text(char **out, struct gqa_checkpoint *checkpoint,
                              const struct gqa_model *model,
                              enum gqa_tied_rows rows);

#endif
