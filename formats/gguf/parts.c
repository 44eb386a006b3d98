#include "formats/gguf/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/json.h"

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void gqa_gguf_part_ending(char out[GQA_GGUF_PART_ENDING + 1], unsigned number,
                          unsigned count)
{
    snprintf(out, GQA_GGUF_PART_ENDING + 1, "-%05u-of-%05u.gguf",
             number % (GQA_GGUF_MAX_PARTS + 1),
             count % (GQA_GGUF_MAX_PARTS + 1));
}

bool gqa_gguf_part_find(const char *path, unsigned *number, unsigned *count)
{
    char made[GQA_GGUF_PART_ENDING + 1];
    const char *name = name_of(path);
    const size_t n = strlen(name);

    if (n < GQA_GGUF_PART_ENDING)
        return false;
    name += n - GQA_GGUF_PART_ENDING;
    *number = (unsigned)strtoul(name + 1, NULL, 10);
    *count = (unsigned)strtoul(name + strlen("-00001-of-"), NULL, 10);
    if (*number == 0 || *number > *count || *count > GQA_GGUF_MAX_PARTS)
        return false;
    gqa_gguf_part_ending(made, *number, *count);
    return strcmp(name, made) == 0;
}

/* What a header says of its file: of how many it is which one, from 0 on. */
static void find_place(uint64_t *number, uint64_t *count,
                       const struct gqa_gguf_header *h)
{
    *number = 0;
    *count = 1;
    (void)gqa_json_u64(json_object_get(h->keys, "split.no"), number);
    (void)gqa_json_u64(json_object_get(h->keys, "split.count"), count);
}

/* The first of several, with a name by which the others are found. */
static enum gqa_status check_first(const struct gqa_file_handle *file,
                                   uint64_t number, uint64_t count)
{
    char ending[GQA_GGUF_PART_ENDING + 1];
    unsigned named = 0, of = 0;

    if (count > GQA_GGUF_MAX_PARTS)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "one of %llu files of a model; at most %d are read",
                        (unsigned long long)count, GQA_GGUF_MAX_PARTS);
    gqa_gguf_part_ending(ending, 1, (unsigned)count);
    if (number > 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "file %llu of %llu of a model; give the first, whose "
                        "name ends in %s",
                        (unsigned long long)number + 1,
                        (unsigned long long)count, ending);
    if (!file->open_beside || !gqa_gguf_part_find(file->path, &named, &of) ||
        named != 1 || of != count)
        return gqa_fail(GQA_ERR_USAGE,
                        "the first of %llu files of a model; by a name that "
                        "does not end in %s the others are not found",
                        (unsigned long long)count, ending);
    return GQA_OK;
}

/* Takes the tensors of more. */
static enum gqa_status append(struct gqa_gguf_header *h,
                              struct gqa_gguf_header *more, unsigned part)
{
    struct gqa_gguf_tensor *grown;

    if (more->n > GQA_GGUF_MAX_TENSORS - h->n)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the files of the model have more than %d tensors",
                        GQA_GGUF_MAX_TENSORS);
    grown = reallocarray(h->tensors, h->n + more->n + 1, sizeof *grown);
    if (!grown)
        return gqa_fail_nomem();
    h->tensors = grown;
    for (size_t i = 0; i < more->n; i++) {
        more->tensors[i].part = part;
        h->tensors[h->n++] = more->tensors[i];
    }
    more->n = 0;
    return GQA_OK;
}

static enum gqa_status read_part(struct gqa_gguf_parts *p,
                                 struct gqa_gguf_header *h,
                                 const struct gqa_file_handle *file,
                                 unsigned number, unsigned count)
{
    const size_t stem = strlen(file->path) - GQA_GGUF_PART_ENDING;
    char ending[GQA_GGUF_PART_ENDING + 1];
    struct gqa_gguf_header part = {0};
    uint64_t size = 0, said, of;
    enum gqa_status st;
    char *path;

    gqa_gguf_part_ending(ending, number, count);
    if (asprintf(&path, "%.*s%s", (int)stem, file->path, ending) < 0)
        return gqa_fail_nomem();
    st = file->open_beside(file->beside_ctx, &p->fds[p->n], &size, path);
    if (st == GQA_OK)
        st = gqa_gguf_header_read(&part, p->fds[p->n++], size);
    find_place(&said, &of, &part);
    if (st == GQA_OK && (said + 1 != number || of != count))
        st = gqa_fail(GQA_ERR_FORMAT,
                      "says that it is file %llu of %llu (split.no, "
                      "split.count), and its name says %u of %u",
                      (unsigned long long)said + 1, (unsigned long long)of,
                      number, count);
    if (st == GQA_OK)
        st = append(h, &part, number - 1);
    if (st == GQA_OK && !gqa_add_u64(p->n_bytes, size, &p->n_bytes))
        st = gqa_fail(GQA_ERR_FORMAT, "the files are larger than can be");
    gqa_gguf_header_clear(&part);
    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%s", name_of(path));
    free(path);
    return st;
}

/* Whether the files have all tensors that the first one counts. */
static enum gqa_status check_count(const struct gqa_gguf_header *h)
{
    uint64_t n;

    if (gqa_json_u64(json_object_get(h->keys, "split.tensors.count"), &n) &&
        n != h->n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "its files have %zu tensors, and split.tensors.count "
                        "says %llu",
                        h->n, (unsigned long long)n);
    return gqa_gguf_header_check_unique(h);
}

enum gqa_status gqa_gguf_parts_read(struct gqa_gguf_parts *p,
                                    struct gqa_gguf_header *h,
                                    const struct gqa_file_handle *file)
{
    uint64_t number, count;
    enum gqa_status st = gqa_gguf_header_read(h, file->fd, file->size);
    int *fds;

    p->n_bytes = file->size;
    if (st != GQA_OK)
        return st;
    find_place(&number, &count, h);
    if (count <= 1)
        return GQA_OK;
    if ((st = check_first(file, number, count)) != GQA_OK)
        return st;
    fds = reallocarray(p->fds, (size_t)count, sizeof *fds);
    if (!fds)
        return gqa_fail_nomem();
    p->fds = fds;
    while (p->n < count && st == GQA_OK)
        st = read_part(p, h, file, p->n + 1, (unsigned)count);
    return st == GQA_OK ? check_count(h) : st;
}

void gqa_gguf_parts_close(struct gqa_gguf_parts *p)
{
    for (unsigned i = 0; i < p->n; i++)
        close(p->fds[i]);
    free(p->fds);
}
