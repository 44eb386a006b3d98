/*
 * Run a fuzz target on files, and on all files below folders, as an ordinary
 * test: seeds, inputs that once failed, and the tests' data.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static size_t n_replayed;

static int replay(const char *path, const struct stat *info, int kind,
                  struct FTW *ftw)
{
    const size_t size = (size_t)info->st_size;
    FILE *file;
    uint8_t *data;

    (void)ftw;
    if (kind != FTW_F)
        return 0;
    file = fopen(path, "rb");
    data = malloc(size + 1);
    if (!file || !data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    n_replayed++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (nftw(argv[i], replay, 16, FTW_PHYS) != 0)
            return EXIT_FAILURE;
    printf("%zu inputs\n", n_replayed);
    return n_replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
