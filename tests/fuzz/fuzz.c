#include "fuzz.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* More would only slow the search. */
enum { MAX_READ = 1 << 16, MAX_TENSORS = 100 };

int fuzz_file(const uint8_t *data, size_t size)
{
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    return fd;
}

void fuzz_read_tensors(struct gqa_source *source)
{
    static unsigned char buf[MAX_READ];

    for (size_t i = 0; i < source->n_tensors && i < MAX_TENSORS; i++) {
        const uint64_t n = source->tensors[i].n_bytes;
        const struct gqa_span whole = {0, n, 0, 1};
        const struct gqa_span pieces = {n / 3, 1, 2, n / 4};

        if (n <= MAX_READ &&
            source->ops->read(source, i, &whole, buf) == GQA_OK &&
            source->ops->read(source, i, &pieces, buf) != GQA_OK)
            abort(); /* what could be read whole can be read in part */
    }
}
