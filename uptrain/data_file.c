#include "uptrain/data_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/file.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "common/temporary.h"
#include "formats/content_digest.h"
#include "runtime/data/sample.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"

enum {
    START_BYTES = 4096,
    COPY_BYTES = 1 << 16,
    LOOK_MS = 100, /* between looks at signals and the deadline */
    MAX_SHARE = 10,
};

/* --- Standard input ------------------------------------------------------- */

/* Until something is there, or the end of it. Reading alone would wait beyond
 * the deadline, and through a signal that comes just before. */
static enum gqa_status await_input(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int n = 0;

    while (n == 0 && !gqa_interrupt_pending())
        if ((n = poll(&input, 1, LOOK_MS)) < 0 && errno == EINTR)
            n = 0;
    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    return n > 0 ? GQA_OK : gqa_fail_errno("standard input");
}

/* Readers look here and there: what comes is copied into a file first. */
static enum gqa_status copy_input(int *out)
{
    char *buf = malloc(COPY_BYTES);
    uint64_t offset = 0;
    enum gqa_status st =
        buf ? gqa_temporary_open(out, 0, "standard input") : gqa_fail_nomem();

    while (st == GQA_OK && (st = await_input()) == GQA_OK) {
        const ssize_t n = read(STDIN_FILENO, buf, COPY_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = gqa_fail_errno("reading standard input");
        else if (n == 0)
            break;
        else
            st = gqa_temporary_write(*out, buf, (size_t)n, offset);
        offset += (uint64_t)n;
    }
    free(buf);
    return st;
}

/* --- Reading -------------------------------------------------------------- */

static enum gqa_status find_kind(enum gqa_data_kind *kind, const char *path)
{
    unsigned char start[START_BYTES];
    uint64_t size;
    int fd;
    enum gqa_status st = gqa_file_open(&fd, &size, path);

    if (st != GQA_OK)
        return st;
    size = gqa_min_u64(size, sizeof start);
    st = gqa_file_read(fd, start, (size_t)size, 0);
    close(fd);
    if (st != GQA_OK)
        return st;
    *kind = gqa_data_kind_of(start, (size_t)size);
    return *kind != GQA_DATA_FILE
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "%s: neither tokens (safetensors, .npy, lines of "
                          "numbers) nor text, which has no bytes that are 0; "
                          "--text takes it for text all the same",
                          path);
}

static enum gqa_status read_path(struct gqa_tokens *out, const char *path,
                                 enum gqa_data_kind kind,
                                 const struct gqa_token_rules *rules,
                                 uint64_t length)
{
    enum gqa_status st =
        kind == GQA_DATA_FILE ? find_kind(&kind, path) : GQA_OK;

    if (st != GQA_OK)
        return st;
    return kind == GQA_DATA_TEXT
               ? gqa_tokens_from_text(out, path, rules, length, 0)
               : gqa_tokens_read(out, path, rules, 0);
}

/* --- Pieces --------------------------------------------------------------- */

static struct gqa_sequence *append(struct gqa_tokens *tokens)
{
    struct gqa_sequence *grown;

    if (tokens->n >= SIZE_MAX / sizeof *grown - 1)
        return NULL;
    grown = realloc(tokens->sequences, (tokens->n + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    tokens->sequences = grown;
    grown[tokens->n] = (struct gqa_sequence){0};
    return &grown[tokens->n++];
}

static enum gqa_status add_piece(struct gqa_tokens *out,
                                 const struct gqa_sequence *s, uint64_t at,
                                 uint64_t n)
{
    struct gqa_sequence *piece = append(out);

    if (!piece)
        return gqa_fail_nomem();
    piece->decoder = malloc(n * sizeof *piece->decoder);
    piece->next = malloc(n * sizeof *piece->next);
    if (!piece->decoder || !piece->next)
        return gqa_fail_nomem();
    memcpy(piece->decoder, s->decoder + at, n * sizeof *piece->decoder);
    memcpy(piece->next, s->next + at, n * sizeof *piece->next);
    piece->n_decoder = n;
    piece->starts = s->starts && at == 0;
    return GQA_OK;
}

/* Longer ones in pieces; a rest of one token has nothing to say. */
static enum gqa_status cut_pieces(struct gqa_tokens *tokens, uint64_t length)
{
    struct gqa_tokens out = {NULL, 0};
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < tokens->n && st == GQA_OK; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        for (uint64_t at = 0; at < s->n_decoder && st == GQA_OK; at += length) {
            const uint64_t n = gqa_min_u64(length, s->n_decoder - at);

            if (gqa_interrupt_pending())
                st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            else if (n > 1 || at == 0)
                st = add_piece(&out, s, at, n);
        }
    }
    gqa_tokens_clear(tokens);
    *tokens = out;
    return st;
}

static void take_digest(char *hex, struct gqa_content_digest *digest,
                        const struct gqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];
        const uint64_t lengths[] = {s->n_encoder, s->n_decoder};

        gqa_content_digest_update(digest, lengths, sizeof lengths);
        gqa_content_digest_update(digest, s->encoder,
                                  s->n_encoder * sizeof *s->encoder);
        gqa_content_digest_update(digest, s->decoder,
                                  s->n_decoder * sizeof *s->decoder);
        gqa_content_digest_update(digest, s->next,
                                  s->n_decoder * sizeof *s->next);
    }
    gqa_content_digest_format(hex, digest);
}

/* What is left to do once sequences are read. */
static enum gqa_status finish(struct gqa_tokens *out, char *hex,
                              struct gqa_runtime *teacher,
                              const struct gqa_network *network,
                              uint64_t length, uint64_t seed)
{
    struct gqa_content_digest *digest = NULL;
    const struct gqa_sample_options options = {
        .n = out->n, .length = length, .seed = seed};
    enum gqa_status st;

    if (network->n_stacks > 1)
        gqa_tokens_cut(out, length);
    st = network->n_stacks > 1 ? GQA_OK : cut_pieces(out, length);
    if (st == GQA_OK && (out->n == 0 || !gqa_tokens_any_counted(out)))
        st = gqa_fail(GQA_ERR_FORMAT, "no position is there to train on");
    if (st == GQA_OK)
        st = gqa_content_digest_create(&digest);
    if (st != GQA_OK)
        return st;
    take_digest(hex, digest, out);
    gqa_content_digest_free(digest);
    return gqa_tokens_any_to_draw(out)
               ? gqa_sample_outputs(out, teacher, network, &options)
               : GQA_OK;
}

/* Messages of readers begin with the path; of a copy it says nothing. */
static enum gqa_status name_input(enum gqa_status st, const char *path)
{
    const char *message = gqa_error_message();
    const size_t n = strlen(path);
    char *rest;

    if (st == GQA_OK || strncmp(message, path, n) != 0)
        return st;
    if (!(rest = strdup(message + n)))
        return gqa_fail_nomem();
    st = gqa_fail(st, "standard input%s", rest);
    free(rest);
    return st;
}

static enum gqa_status read_input(struct gqa_tokens *out,
                                  enum gqa_data_kind kind,
                                  const struct gqa_token_rules *rules,
                                  uint64_t length)
{
    char path[64];
    int fd = -1;
    enum gqa_status st = copy_input(&fd);

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (st == GQA_OK)
        st = name_input(read_path(out, path, kind, rules, length), path);
    if (fd >= 0)
        close(fd);
    return st;
}

enum gqa_status gqa_data_file_read(struct gqa_tokens *out, char *digest,
                                   const struct gqa_data_item *item,
                                   struct gqa_runtime *teacher,
                                   const struct gqa_network *network,
                                   uint64_t length, uint64_t seed)
{
    const struct gqa_token_rules rules = gqa_token_rules_of(network);
    const bool is_input = strcmp(item->path, "-") == 0;
    enum gqa_status st =
        is_input ? read_input(out, item->kind, &rules, length)
                 : read_path(out, item->path, item->kind, &rules, length);

    if (st != GQA_OK)
        return st; /* which says the path */
    st = finish(out, digest, teacher, network, length, seed);
    return st == GQA_OK
               ? st
               : gqa_fail_prefix(st, "%s",
                                 is_input ? "standard input" : item->path);
}

/* --- Held out ------------------------------------------------------------- */

enum gqa_status gqa_tokens_move(struct gqa_tokens *to, struct gqa_tokens *from)
{
    struct gqa_sequence *grown;

    if (from->n == 0)
        return GQA_OK;
    if (from->n > SIZE_MAX / sizeof *grown - to->n)
        return gqa_fail_nomem();
    grown = realloc(to->sequences, (to->n + from->n) * sizeof *grown);
    if (!grown)
        return gqa_fail_nomem();
    memcpy(grown + to->n, from->sequences, from->n * sizeof *grown);
    to->sequences = grown;
    to->n += from->n;
    from->n = 0;
    return GQA_OK;
}

enum gqa_status gqa_tokens_copy(struct gqa_tokens *to,
                                const struct gqa_sequence *s)
{
    struct gqa_sequence *copy;
    enum gqa_status st = add_piece(to, s, 0, s->n_decoder);

    if (st != GQA_OK || !s->encoder)
        return st;
    copy = &to->sequences[to->n - 1];
    copy->encoder = malloc(s->n_encoder * sizeof *copy->encoder);
    if (!copy->encoder)
        return gqa_fail_nomem();
    memcpy(copy->encoder, s->encoder, s->n_encoder * sizeof *copy->encoder);
    copy->n_encoder = s->n_encoder;
    return GQA_OK;
}

enum gqa_status gqa_data_hold_out(struct gqa_tokens *held_out,
                                  uint64_t *n_held_out, struct gqa_tokens *from,
                                  uint64_t n)
{
    const uint64_t all = from->n;
    struct gqa_tokens moved = {NULL, 0};
    size_t kept = 0;
    enum gqa_status st;

    n = gqa_min_u64(n, all / MAX_SHARE);
    if (n == 0) {
        gqa_warn("few sequences: one of them is trained on and measured on "
                 "too");
        *n_held_out = 1;
        return gqa_tokens_copy(held_out, &from->sequences[0]);
    }
    if (!(moved.sequences = calloc(n, sizeof *moved.sequences)))
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < all; i++) {
        /* i is the first that belongs to its part of n. */
        if (i * n / all != (i + 1) * n / all)
            moved.sequences[moved.n++] = from->sequences[i];
        else
            from->sequences[kept++] = from->sequences[i];
    }
    from->n = kept;
    *n_held_out = moved.n;
    st = gqa_tokens_move(held_out, &moved);
    gqa_tokens_clear(&moved);
    return st;
}
