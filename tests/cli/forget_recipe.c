/*
 * Empty the metadata of safetensors files, so that they are like those that
 * others wrote: usage: forget_recipe FILE...
 */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *path)
{
    fprintf(stderr, "forget_recipe: %s: cannot be read or written\n", path);
    exit(2);
}

static void forget(const char *path)
{
    FILE *file = fopen(path, "r+b");
    uint64_t n = 0;
    json_t *header;
    char *text, *shorter;

    if (!file || fread(&n, sizeof n, 1, file) != 1)
        fail(path);
    text = malloc((size_t)n);
    if (!text || fread(text, 1, (size_t)n, file) != n)
        fail(path);
    header = json_loadb(text, (size_t)n, 0, NULL);
    if (!header)
        fail(path);
    json_object_set_new(header, "__metadata__",
                        json_pack("{s:s}", "format", "pt"));
    shorter = json_dumps(header, JSON_COMPACT);
    if (!shorter || strlen(shorter) > n)
        fail(path);
    memset(text, ' ', (size_t)n);
    memcpy(text, shorter, strlen(shorter));
    if (fseek(file, 8, SEEK_SET) != 0 ||
        fwrite(text, 1, (size_t)n, file) != n || fclose(file) != 0)
        fail(path);
    json_decref(header);
    free(shorter);
    free(text);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        forget(argv[i]);
    return 0;
}
