#include "uptrain/card.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/file.h"
#include "common/json.h"
#include "common/memory_stream.h"
#include "formats/folder/folder.h"

/* Front matter is shorter. */
enum { MAX_BYTES = 1 << 16 };

static const char fence[] = "---\n";

/* That of the source's card: what holds of it holds of what was trained. *out
 * is "" where there is none; the caller owns it. */
static enum gqa_status read_front_matter(char **out,
                                         const struct gqa_checkpoint *source)
{
    char *path = gqa_checkpoint_is_folder(source)
                     ? gqa_path_join(gqa_checkpoint_folder(source), "README.md")
                     : NULL;
    char *text = calloc(MAX_BYTES + 1, 1), *end = NULL;
    uint64_t size = 0;
    int fd = -1;
    enum gqa_status st = text ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK && path && access(path, F_OK) == 0)
        st = gqa_file_open(&fd, &size, path);
    if (st == GQA_OK && fd >= 0)
        st = gqa_file_read(fd, text, (size_t)gqa_min_u64(size, MAX_BYTES), 0);
    if (fd >= 0)
        close(fd);
    free(path);
    if (st != GQA_OK) {
        free(text);
        return st;
    }
    if (strncmp(text, fence, sizeof fence - 1) == 0)
        end = strstr(text + sizeof fence - 1, "\n---\n");
    text[end ? (size_t)(end - text) + sizeof "\n---\n" - 1 : 0] = '\0';
    *out = text;
    return GQA_OK;
}

static void put_story(FILE *out, const struct gqa_history *h)
{
    const struct gqa_evaluation *start = gqa_history_start(h);
    const struct gqa_evaluation *best = gqa_history_best(h);

    fprintf(out,
            "# Grouped-query attention, healed\n\n"
            "A checkpoint that gqa-convert grouped, trained by gqa-uptrain %s "
            "towards what the\noriginal says: %" PRIu64 " steps, %" PRIu64
            " tokens. On sequences held out, in nats:\n\n"
            "| | before | now |\n| --- | --- | --- |\n"
            "| mean KL from the original | %.4g | %.4g |\n"
            "| same most likely token | %.1f %% | %.1f %% |\n\n"
            "Nothing else was measured: what holds of the original need not "
            "hold of it.\n\n",
            GQA_VERSION, h->n_steps, h->n_tokens, start->kl, best->kl,
            100 * start->top1, 100 * best->top1);
}

static void put_recipe(FILE *out, const json_t *recipe)
{
    char *text = json_dumps(recipe, JSON_INDENT(2) | JSON_ENSURE_ASCII |
                                        gqa_json_real_flags(recipe));

    fprintf(out,
            "## How it was made\n\n"
            "`gqa-verify --against ORIGINAL FOLDER` holds what was not trained "
            "against this\nrecipe, which is in the metadata of the weights, "
            "too, and measures the rest:\n\n```json\n%s\n```\n",
            text ? text : "");
    free(text);
}

enum gqa_status gqa_trained_card(char **out,
                                 const struct gqa_checkpoint *source,
                                 const json_t *recipe,
                                 const struct gqa_history *history)
{
    struct gqa_memory_stream text;
    char *front = NULL;
    enum gqa_status st = read_front_matter(&front, source);

    if (st == GQA_OK && (st = gqa_memory_stream_open(&text)) == GQA_OK) {
        fprintf(text.out, "%s%s", front, *front ? "\n" : "");
        put_story(text.out, history);
        put_recipe(text.out, recipe);
        if ((st = gqa_memory_stream_flush(&text)) == GQA_OK &&
            !(*out = strdup(text.text)))
            st = gqa_fail_nomem();
        gqa_memory_stream_free(&text);
    }
    free(front);
    return st;
}
