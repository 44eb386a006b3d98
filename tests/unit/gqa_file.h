/* A .gqa file built piece by piece, right or wrong as a test needs it. */
#ifndef GQA_TESTS_GQA_FILE_H
#define GQA_TESTS_GQA_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GQA_FILE_MAX_ENTRIES = 32 };

struct gqa_file_entry {
    uint32_t n_bytes, content_bytes, checksum;
};

/* Zero-initialise; gqa_file_free() frees what building put in. */
struct gqa_file {
    unsigned char *bytes; /* [n] the file so far, and room for a byte */
    size_t n;
    struct gqa_file_entry entries[GQA_FILE_MAX_ENTRIES];
    size_t n_entries;
    json_t *manifest; /* a test may change it before it is added */
    unsigned char digests[GQA_FILE_MAX_ENTRIES][32]; /* header, tensors */
    size_t n_digests;
    uint64_t content_bytes;
    bool without_checksum;     /* of the frames added next */
    bool without_content_size; /* likewise */
    int window_log;            /* likewise; 0: zstd's choice */
};

/* The frame of the header: its length, and its JSON. */
void gqa_file_add_header(struct gqa_file *file, const char *json);

/* Frames of at most frame_bytes, and a line in the manifest. */
void gqa_file_add_tensor(struct gqa_file *file, const char *name,
                         const void *data, size_t n, size_t frame_bytes);

/* One frame of content, and nothing else. */
void gqa_file_add_frame(struct gqa_file *file, const void *data, size_t n);

/* Fill in the manifest's totals and stream digest; seal and add it. */
void gqa_file_add_manifest(struct gqa_file *file);

/* Only seal it and add it. */
void gqa_file_add_sealed(struct gqa_file *file);

/* A skippable frame, with or without an entry in the seek table. */
void gqa_file_add_skippable(struct gqa_file *file, uint32_t magic,
                            const void *payload, size_t n, bool in_table);

void gqa_file_add_table(struct gqa_file *file, bool with_checksums);
void gqa_file_free(struct gqa_file *file);

#endif
