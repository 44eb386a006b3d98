/*
 * Names and shapes of tensors as Keras, TensorFlow and torch write them: a
 * digit (enum gqa_naming), then a line for each tensor, "NAME ROWS ...";
 * up to a NUL, behind which a configuration may follow. The weights lie in a
 * hole of the file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "formats/model/inventory.h"
#include "fuzz.h"

enum { MAX_TENSORS = 200, MAX_RANK = 4, MAX_DIM = 1 << 20 };

/* Of a tensor. */
static const uint64_t MAX_BYTES = (uint64_t)1 << 40;

/* What follows the name, or 0. */
static unsigned take_dim(char *const *line)
{
    char *end = strrchr(*line, ' ');
    unsigned long n = end ? strtoul(end + 1, NULL, 10) : 0;

    if (n == 0 || n > MAX_DIM)
        return 0;
    *end = '\0';
    return (unsigned)n;
}

static void add_tensor(json_t *header, char *line, uint64_t *at)
{
    json_t *shape = json_array();
    uint64_t n = 4;
    unsigned dim;

    while (json_array_size(shape) < MAX_RANK && n < MAX_BYTES / MAX_DIM &&
           (dim = take_dim(&line)) > 0) {
        json_array_insert_new(shape, 0, json_integer(dim));
        n *= dim;
    }
    json_object_set_new(header, line,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32",
                                  "shape", shape, "data_offsets",
                                  (json_int_t)*at, (json_int_t)(*at + n)));
    *at += n;
}

/* A safetensors file with these tensors, or -1. */
static int write_weights(char *lines)
{
    json_t *header = json_object();
    uint64_t at = 0, length;
    char *text, *line;
    int fd = -1;

    for (size_t i = 0; i < MAX_TENSORS && (line = strsep(&lines, "\n")); i++)
        if (*line && !json_object_get(header, line))
            add_tensor(header, line, &at);
    text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text)
        return -1;
    length = strlen(text);
    fd = fuzz_file((const uint8_t *)&length, sizeof length);
    if (write(fd, text, length) != (ssize_t)length ||
        ftruncate(fd, (off_t)(sizeof length + length + at)) != 0)
        abort();
    free(text);
    return fd;
}

static void understand(int weights, int config, enum gqa_naming naming)
{
    char path[64], config_path[64];
    const struct gqa_checkpoint_options options = {
        .config_path = config >= 0 ? config_path : NULL};
    const struct gqa_model_hints hints = {0};
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_inventory *inventory = NULL;
    struct gqa_model *model = NULL;

    snprintf(path, sizeof path, "/proc/self/fd/%d", weights);
    snprintf(config_path, sizeof config_path, "/proc/self/fd/%d", config);
    if (gqa_checkpoint_open(&checkpoint, path, &options) != GQA_OK)
        return;
    /* As a reader of another format would have said. */
    ((struct gqa_source *)gqa_checkpoint_source(checkpoint, 0))->naming =
        naming;
    if (gqa_model_create(&model, checkpoint, &hints) == GQA_OK &&
        gqa_inventory_create(&inventory, model, checkpoint) == GQA_OK)
        gqa_inventory_free(inventory);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *const text = size > 0 ? malloc(size) : NULL;
    size_t n;
    int weights, config = -1;

    gqa_log_init("fuzz", GQA_LOG_ERROR);
    if (size == 0 || *data < '0' || *data > '3')
        return free(text), 0;
    if (!text)
        abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    n = strlen(text);
    if (n + 2 < size)
        config = fuzz_file(data + n + 2, size - n - 2);
    weights = write_weights(text);
    if (weights >= 0) {
        understand(weights, config, (enum gqa_naming)(*data - '0'));
        close(weights);
    }
    if (config >= 0)
        close(config);
    free(text);
    return 0;
}
