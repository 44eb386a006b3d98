#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "formats/formats.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/reader.h"
#include "formats/span.h"

struct safetensors {
    struct gqa_source base;
    int fd;
    uint64_t data_start; /* of the data, in the file */
    uint64_t *offsets;   /* [base.n_tensors] from data_start */
};

static enum gqa_status safetensors_read(struct gqa_source *source, size_t index,
                                        const struct gqa_span *span, void *buf)
{
    const struct safetensors *s = (const struct safetensors *)source;
    const enum gqa_status st =
        gqa_span_pread(s->fd, s->data_start + s->offsets[index], span, buf);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "tensor %s", source->tensors[index].name);
    return GQA_OK;
}

static void safetensors_close(struct gqa_source *source)
{
    struct safetensors *s = (struct safetensors *)source;

    close(s->fd);
    free(s->offsets);
    gqa_source_clear(source);
    free(s);
}

static const struct gqa_source_ops safetensors_ops = {safetensors_read,
                                                      safetensors_close};

static enum gqa_status check_length(uint64_t length, uint64_t file_bytes)
{
    if (length > GQA_ST_MAX_HEADER_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the header claims %" PRIu64 " bytes, more than the "
                        "%" PRIu64 " that safetensors allows",
                        length, GQA_ST_MAX_HEADER_BYTES);
    if (length > file_bytes - GQA_ST_PREFIX_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the header claims %" PRIu64 " bytes, but only "
                        "%" PRIu64 " follow its length; the file is cut off",
                        length, file_bytes - GQA_ST_PREFIX_BYTES);
    return gqa_json_check_bytes(length, "header");
}

/* The JSON, length bytes of it, into *text, which the caller frees. */
static enum gqa_status read_header(char **text, uint64_t *length, int fd,
                                   uint64_t file_bytes)
{
    unsigned char prefix[GQA_ST_PREFIX_BYTES];
    enum gqa_status st;

    if (file_bytes < sizeof prefix)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes: too short for the length of a "
                        "safetensors header",
                        file_bytes);
    if ((st = gqa_file_read(fd, prefix, sizeof prefix, 0)) != GQA_OK)
        return st;
    *length = gqa_st_header_length(prefix);
    if ((st = check_length(*length, file_bytes)) != GQA_OK)
        return st;
    *text = malloc((size_t)*length + 1);
    if (!*text)
        return gqa_fail_nomem();
    return gqa_file_read(fd, *text, (size_t)*length, sizeof prefix);
}

static enum gqa_status check_data(const struct gqa_st_header *header,
                                  uint64_t n_bytes)
{
    if (header->data_bytes > n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s ends at byte %" PRIu64
                        " of the data, but the file holds only %" PRIu64
                        "; the file is cut off (%" PRIu64 " bytes missing)",
                        header->tensors[header->n_tensors - 1].name,
                        header->data_bytes, n_bytes,
                        header->data_bytes - n_bytes);
    if (header->data_bytes < n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes after the last tensor belong to no "
                        "tensor",
                        n_bytes - header->data_bytes);
    return GQA_OK;
}

static enum gqa_status parse_file(struct safetensors *s)
{
    struct gqa_st_header header = {0};
    enum gqa_status st;
    char *text = NULL;
    uint64_t length = 0;

    if ((st = read_header(&text, &length, s->fd, s->base.file_bytes)) != GQA_OK)
        goto done;
    if ((st = gqa_st_header_parse(&header, text, (size_t)length)) != GQA_OK)
        goto done;
    s->data_start = GQA_ST_PREFIX_BYTES + length;
    st = check_data(&header, s->base.file_bytes - s->data_start);
    if (st != GQA_OK)
        goto done;
    if ((st = gqa_st_header_move(&s->base, &header)) != GQA_OK)
        goto done;
    s->offsets = header.offsets;
    header.offsets = NULL;
done:
    free(text);
    gqa_st_header_clear(&header);
    return st;
}

enum gqa_status gqa_safetensors_open(struct gqa_source **out,
                                     const struct gqa_file_handle *file)
{
    enum gqa_status st;
    struct safetensors *s = calloc(1, sizeof *s);

    if (!s) {
        close(file->fd);
        return gqa_fail_nomem();
    }
    s->base.ops = &safetensors_ops;
    s->base.format = &gqa_format_safetensors;
    s->base.file_bytes = s->base.content_bytes = file->size;
    s->fd = file->fd;
    s->base.path = strdup(file->path);
    if (!s->base.path)
        st = gqa_fail_nomem();
    else
        st = parse_file(s);
    if (st != GQA_OK) {
        safetensors_close(&s->base);
        return st;
    }
    *out = &s->base;
    return GQA_OK;
}
