/*
 * What is written: each kind of output is an entry, defined in the folder of
 * its format beside the reader, and a line here. All that depends on the kind
 * of an output asks its entry.
 */
#ifndef GQA_FORMATS_WRITERS_H
#define GQA_FORMATS_WRITERS_H

#include <limits.h>

#include "formats/write/output.h"

/* In the order in which a name is tried: the first that takes it has it. */
#define GQA_WRITERS(X) \
    X(gqa)             \
    X(safetensors)     \
    X(gguf)            \
    X(folder)

/* Which of gqa_output_settings are for a writer. */
enum gqa_writer_setting {
    GQA_SETTING_COMPRESSION = 1, /* store, level */
    GQA_SETTING_SHARDS = 2,      /* shard_bytes */
};

/* What loaders of an output take of a model; bits, or-ed. */
enum gqa_writer_takes {
    GQA_TAKES_PAIRS = 1,  /* a divisor of each pair's frequency */
    GQA_TAKES_HYBRID = 2, /* layers that differ in KV heads */
};

struct gqa_model;

struct gqa_writer {
    const char *word;  /* "folder": in "--shard-size is for folder output" */
    const char *name;  /* for programs: "folder" */
    const char *label; /* in sentences, behind "a" */
    const char *form;  /* in lists of what an output may be: "NAME.gqa" */
    /* Of outputs: as `names` of a gqa_format; NULL: folders. */
    const char *const *names;

    /* What it can hold, and needs. */
    unsigned settings; /* gqa_writer_setting, or-ed */
    bool needs_config; /* nobody reads it without a configuration */
    bool is_folder;    /* that lies beside the weights, and more with it */
    bool stock;        /* read by loaders that know no grouped attention but
                          their own */

    /* gqa_writer_takes of a model; NULL: what its family's stock loaders do. */
    unsigned (*takes)(const struct gqa_model *model);

    /* What an output is: "a .gqa, zstd level 3". */
    void (*describe)(char *out, size_t size,
                     const struct gqa_output_settings *settings);
    /* gqa_output_try(), gqa_output_write() */
    enum gqa_status (*check)(const char *path,
                             const struct gqa_output_options *options);
    /*
     * Whether it can hold this model, which is found out before anything is run
     * or written; of output all but produce counts. NULL: it holds any. Errors
     * GQA_ERR_UNSUPPORTED: something in it that the format, or who loads it,
     * does not know; GQA_ERR_USAGE: something that another option changes;
     * GQA_ERR_FORMAT. The message begins with the path.
     */
    enum gqa_status (*check_model)(const struct gqa_output *output);
    enum gqa_status (*write)(struct gqa_output_summary *summary,
                             const struct gqa_output *output);
    /* gqa_output_first(), of more than one file; NULL: the output's name. */
    void (*first)(char out[PATH_MAX], const char *path, size_t n_files);
};

#define GQA_WRITER_DECLARE(name) \
    extern const struct gqa_writer gqa_writer_##name;
GQA_WRITERS(GQA_WRITER_DECLARE)
#undef GQA_WRITER_DECLARE

extern const struct gqa_writer *const gqa_writers[];
extern const size_t gqa_n_writers;

/*
 * The writer of outputs with this name: of a folder where it ends in '/' or one
 * is there. Errors GQA_ERR_USAGE: none writes what has such a name, or it may
 * be a folder's and may be a mistake, or it is that of one of several files;
 * the message says what to write instead. GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_writer_find(const struct gqa_writer **out,
                                const char *output);

/* What a loader is given of an output in so many files, which are there: of
 * several that have its name with a number the first, else the output. */
void gqa_output_first(char out[PATH_MAX], const struct gqa_writer *writer,
                      const char *path, size_t n_files);

#endif
