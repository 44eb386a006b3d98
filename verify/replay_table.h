/* Tables with a column for each query head, which go where an aligned
 * conversion puts its heads: T5's relative positions. */
#ifndef GQA_VERIFY_REPLAY_TABLE_H
#define GQA_VERIFY_REPLAY_TABLE_H

#include "verify/recipe.h"

/* Of a table that follows no attention. */
#define GQA_FOLLOWS_NONE ((size_t)-1)

/*
 * follows[p]: an attention whose heads' order the columns of the converted
 * model's parameter p have, [n_params]; noted where those that read one table
 * are told to be in different orders. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_tables_find(size_t *follows, struct gqa_finding *finding,
                                const struct gqa_model *converted,
                                const struct gqa_recipe *recipe);

/* One of them, in both checkpoints. */
struct gqa_table_pair {
    struct gqa_checkpoint *original, *converted;
    const struct gqa_param *from, *to;
    const struct gqa_recipe *recipe;
    const struct gqa_model *model; /* the converted one */
    size_t attention;              /* that it follows */
};

/* What is not as it has to be is noted. Errors those of reading. */
GQA_MUST_USE
enum gqa_status gqa_table_replay(struct gqa_finding *finding,
                                 const struct gqa_table_pair *pair);

#endif
