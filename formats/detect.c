#include "formats/detect.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/file.h"
#include "formats/start.h"

/* Less than this is no file of weights. */
enum { LEAST_BYTES = 8 };

/* Room for the first line of a text. */
enum { MAX_LINE = 64 };

/* A message in place of the file, as hubs answer, or a program: its first line.
 * False: not text. */
static bool take_text(char line[MAX_LINE], const struct gqa_file_start *start)
{
    size_t n = 0;

    for (size_t i = 0; i < start->n; i++) {
        const unsigned char c = start->bytes[i];

        if ((c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t')
            return false;
    }
    while (n < start->n && n + 1 < MAX_LINE && start->bytes[n] >= ' ') {
        line[n] = (char)start->bytes[n];
        n++;
    }
    line[n] = '\0';
    return n > 0;
}

static bool has_zeros_alone(const struct gqa_file_start *start)
{
    for (size_t i = 0; i < start->n; i++)
        if (start->bytes[i] != 0)
            return false;
    return true;
}

static enum gqa_status refuse_unknown(const struct gqa_file_start *start)
{
    const unsigned char *b = start->bytes;
    const struct gqa_format *f = NULL;
    char known[256] = "", line[MAX_LINE];
    size_t n = 0;

    if (start->n <= LEAST_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes: too short for a checkpoint",
                        start->size);
    while ((f = gqa_format_next_preferred(f)) && n < sizeof known)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s",
                              n > 0 ? ", " : "", f->label);
    if (take_text(line, start))
        return gqa_fail(GQA_ERR_FORMAT,
                        "not a checkpoint that we know (%s or an index), but "
                        "text: \"%s\"",
                        known, line);
    if (has_zeros_alone(start))
        return gqa_fail(GQA_ERR_FORMAT,
                        "not a checkpoint that we know (%s or an index); it "
                        "begins with zeros alone: a download that was not "
                        "finished, or what is left of a file",
                        known);
    return gqa_fail(GQA_ERR_FORMAT,
                    "not a checkpoint that we know (%s or an index); it begins "
                    "with the bytes %02x %02x %02x %02x %02x %02x %02x %02x",
                    known, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
}

static enum gqa_status recognise(bool *is, const struct gqa_format *format,
                                 const struct gqa_file_start *start)
{
    *is = false;
    for (const struct gqa_mark *m = format->marks; m && m->bytes; m++)
        if (gqa_start_has(start, m->offset, m->bytes, m->n)) {
            *is = true;
            return GQA_OK;
        }
    return format->recognise ? format->recognise(is, start) : GQA_OK;
}

enum gqa_status gqa_file_detect(const struct gqa_format **format, int fd,
                                uint64_t size)
{
    struct gqa_file_start start = {.fd = fd, .size = size};
    enum gqa_status st;
    bool is;

    if (size == 0)
        return gqa_fail(GQA_ERR_FORMAT, "the file is empty");
    start.n = size < sizeof start.bytes ? (size_t)size : sizeof start.bytes;
    if ((st = gqa_file_read(fd, start.bytes, start.n, 0)) != GQA_OK)
        return st;
    for (size_t i = 0; i < gqa_n_formats; i++) {
        const struct gqa_format *f = gqa_formats[i];

        if ((st = recognise(&is, f, &start)) != GQA_OK)
            return st;
        if (!is)
            continue;
        if (!f->open && !f->is_index)
            return gqa_fail(GQA_ERR_UNSUPPORTED, "%s",
                            f->advise ? f->advise(&start) : f->advice);
        *format = f;
        return GQA_OK;
    }
    return refuse_unknown(&start);
}
