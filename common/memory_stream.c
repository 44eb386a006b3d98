#include "common/memory_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { FIRST_BYTES = 4096 };

/* Room for n bytes more and a terminator. */
static bool make_room(struct gqa_memory_stream *stream, size_t n)
{
    size_t room = stream->room;
    char *text;

    while (room - stream->n <= n)
        room *= 2;
    if (room == stream->room)
        return true;
    text = realloc(stream->text, room);
    if (!text)
        return false;
    stream->text = text;
    stream->room = room;
    return true;
}

/* What stdio calls; 0 tells it that nothing more goes in. */
static ssize_t put(void *ctx, const char *bytes, size_t n)
{
    struct gqa_memory_stream *stream = ctx;

    if (stream->is_short || !make_room(stream, n)) {
        stream->is_short = true;
        return 0;
    }
    memcpy(stream->text + stream->n, bytes, n);
    stream->n += n;
    stream->text[stream->n] = '\0';
    return (ssize_t)n;
}

enum gqa_status gqa_memory_stream_open(struct gqa_memory_stream *stream)
{
    *stream = (struct gqa_memory_stream){.room = FIRST_BYTES};
    stream->text = malloc(FIRST_BYTES);
    if (!stream->text)
        return gqa_fail_nomem();
    *stream->text = '\0';
    stream->out =
        fopencookie(stream, "w", (cookie_io_functions_t){.write = put});
    if (stream->out)
        return GQA_OK;
    free(stream->text);
    stream->text = NULL;
    return gqa_fail_nomem();
}

enum gqa_status gqa_memory_stream_flush(struct gqa_memory_stream *stream)
{
    if (fflush(stream->out) != 0 || ferror(stream->out) || stream->is_short)
        return gqa_fail_nomem();
    return GQA_OK;
}

void gqa_memory_stream_rewind(struct gqa_memory_stream *stream)
{
    stream->n = 0;
    *stream->text = '\0';
}

void gqa_memory_stream_free(struct gqa_memory_stream *stream)
{
    if (stream->out)
        (void)fclose(stream->out);
    free(stream->text);
    *stream = (struct gqa_memory_stream){0};
}
