/* A zip archive, and what its members hold: any bytes. */
#include <stdlib.h>
#include <unistd.h>

#include "formats/zip/archive.h"
#include "formats/zip/unpack.h"
#include "fuzz.h"

enum { MAX_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = fuzz_file(data, size);
    struct gqa_zip zip = {0};

    if (gqa_zip_read(&zip, fd, size) == GQA_OK)
        for (size_t i = 0; i < zip.n; i++) {
            char *text;

            if (gqa_zip_find(&zip, zip.members[i].name) != &zip.members[i])
                abort();
            if (gqa_zip_load(&text, &zip.members[i], fd, MAX_BYTES) == GQA_OK)
                free(text);
        }
    gqa_zip_clear(&zip);
    close(fd);
    return 0;
}
