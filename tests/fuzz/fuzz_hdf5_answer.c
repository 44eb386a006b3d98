/*
 * What a hijacked HDF5 parser may send: two bytes of length and a table;
 * then the file, whose chunks lie one after another from its beginning.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/hdf5/chunks.h"
#include "fuzz.h"

enum { MAX_READ = 1 << 16 };

static void read_chunks(const struct gqa_h5_dataset *dataset, int fd,
                        size_t file_bytes)
{
    static struct gqa_h5_chunk chunks[64];
    static unsigned char buf[MAX_READ];
    const struct gqa_span whole = {0, dataset->n_bytes, 0, 1};
    struct gqa_h5_chunked source = {fd, dataset, 0, chunks, NULL};
    const size_t n = (size_t)dataset->n_chunks;

    if (n == 0 || n > sizeof chunks / sizeof *chunks ||
        dataset->n_bytes > MAX_READ || dataset->chunk_bytes > MAX_READ)
        return;
    for (size_t i = 0; i < n; i++)
        chunks[i] = (struct gqa_h5_chunk){
            .address = file_bytes / n * i,
            .size = (uint32_t)(file_bytes / n),
            .skipped = (uint32_t)(i % 2 ? i : 0),
        };
    if (gqa_h5_cache_create(&source.cache, MAX_READ) != GQA_OK)
        abort();
    (void)!gqa_h5_chunked_read(&source, &whole, buf);
    gqa_h5_cache_free(source.cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_h5_table table = {0};
    uint16_t length;
    size_t left;

    if (size < sizeof length)
        return 0;
    memcpy(&length, data, sizeof length);
    data += sizeof length;
    size -= sizeof length;
    if (length > size)
        return 0;
    left = size - length;
    if (gqa_h5_table_decode(&table, data, length, left) == GQA_OK) {
        const int fd = fuzz_file(data + length, left);

        for (size_t i = 0; i < table.n_datasets; i++)
            if (table.datasets[i].layout == GQA_H5_CHUNKED)
                read_chunks(&table.datasets[i], fd, left);
        close(fd);
    }
    gqa_h5_table_clear(&table);
    return 0;
}
