/* Teacher and student: two checkpoints and what they have in common. */
#ifndef GQA_UPTRAIN_PAIR_H
#define GQA_UPTRAIN_PAIR_H

#include "formats/content_digest.h"
#include "formats/families/load.h"
#include "formats/model/network.h"
#include "runtime/runtime.h"
#include "runtime/weights.h"

struct gqa_side {
    const char *path; /* as given; lent */
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
    struct gqa_checkpoint_weights weights;
    /* XXH3, 128 bits: of each parameter's values, and of all with names. */
    char (*digests)[GQA_CONTENT_DIGITS + 1];
    char digest[GQA_CONTENT_DIGITS + 1];
    uint64_t (*n_nonfinite)[2]; /* of each: NaN, infinities */
};

/* Between a parameter's values and the teacher's, rounded to its type. */
struct gqa_difference_of {
    uint64_t n_values; /* that are unlike; 0: none, or they were not compared */
    double largest;
};

struct gqa_pair {
    struct gqa_side teacher, student;
    struct gqa_family_file *family;             /* or NULL */
    char family_digest[GQA_CONTENT_DIGITS + 1]; /* of its text, or "" */
    /* By parameter of the student: */
    size_t *same;     /* the teacher's with the same bytes, or GQA_NO_PARAM */
    size_t *partners; /* the teacher's of that name and shape, or likewise */
    bool *differs;    /* its values are none of the teacher's, also rounded */
    struct gqa_difference_of *differences; /* where it differs */
    bool *used;                            /* the network computes with it */
    bool *teacher_used; /* the same of the teacher, by its parameter */
};

struct gqa_pair_options {
    const char *teacher, *student, *family_path;
    const int *student_fd; /* of struct gqa_checkpoint_options */
    bool shapes_alone; /* no value is read: what has the same shape is the same
                        */
    bool unsafe_hdf5;
    bool dequantise;
    const char *state_dict; /* likewise */
    bool may_differ;        /* also where grouping changes nothing */
    unsigned n_threads;
};

/*
 * Open both and compare their parameters, which reads all of them. Strings are
 * lent.
 *
 * out    zeroed; end it with gqa_pair_close(), also after an error.
 * Errors those of checkpoints, models and networks, with the path;
 *        GQA_ERR_USAGE: not the same kind of model or vocabulary, a student
 *        whose heads were expanded; those of gqa_alike_check().
 */
GQA_MUST_USE
enum gqa_status gqa_pair_open(struct gqa_pair *out,
                              const struct gqa_pair_options *options);
void gqa_pair_close(struct gqa_pair *pair);

#endif
