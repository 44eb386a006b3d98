/*
 * What a checkpoint is opened by: any bytes, in a folder with files for an
 * index to name. 1 holds a; 2 holds b; t holds h/kernel:0 in TensorFlow's
 * spelling.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/checkpoint.h"
#include "fuzz.h"
#include "tests/find_tensor.h"

static char folder[] = "/tmp/gqa-fuzz-XXXXXX";

static void write_file(const char *name, const void *data, size_t size)
{
    char path[sizeof folder + 8];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
}

static void write_shard(const char *name, const char *header)
{
    unsigned char bytes[200] = {0};
    const size_t length = strlen(header);

    bytes[0] = (unsigned char)length;
    memcpy(bytes + 8, header, length);
    write_file(name, bytes, 8 + length + 4);
}

static void remove_folder(void)
{
    static const char *const names[] = {"1", "2", "t", "i"};

    if (chdir(folder) == 0)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            unlink(names[i]);
    rmdir(folder);
}

static void make_folder(void)
{
    static const char info[] =
        "{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}";
    char header[200];

    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
    snprintf(header, sizeof header, "{\"a\":%s}", info);
    write_shard("1", header);
    snprintf(header, sizeof header, "{\"b\":%s}", info);
    write_shard("2", header);
    snprintf(header, sizeof header,
             "{\"__metadata__\":{\"format\":\"tf\"},\"h/kernel:0\":%s}", info);
    write_shard("t", header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gqa_checkpoint_options options = {0};
    const struct gqa_span all = {0, 4, 0, 1};
    struct gqa_checkpoint *checkpoint;
    char path[sizeof folder + 8];
    static bool is_made;
    char buf[4];
    size_t i;

    /* HDF5 has its own target, and a process for each file. */
    if (size >= 4 && memcmp(data, "\x89HDF", 4) == 0)
        return 0;
    if (!is_made)
        make_folder();
    is_made = true;
    write_file("i", data, size);
    snprintf(path, sizeof path, "%s/i", folder);
    if (gqa_checkpoint_open(&checkpoint, path, &options) != GQA_OK)
        return 0;
    if (find_tensor(checkpoint, "a", &i) &&
        gqa_checkpoint_tensor(checkpoint, i)->n_bytes == 4 &&
        gqa_checkpoint_read(checkpoint, i, &all, buf) != GQA_OK)
        abort();
    gqa_checkpoint_close(checkpoint);
    return 0;
}
