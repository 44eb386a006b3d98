/*
 * How fast the output side is by itself: the tensors are pieces of a file
 * that is read anew as often as needed.
 *
 *   bench_writer KIND OUTPUT GIGABYTES THREADS SOURCE [LEVEL]
 *
 * KIND is safetensors, store, gqa or folder. Prints seconds, GB/s of content
 * and peak memory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "formats/writers.h"

enum { COLS = 4096, ROWS = 11008 }; /* as in a model of 7e9 parameters */

struct source {
    int fd;
    uint64_t n_bytes;
};

static enum gqa_status produce(void *ctx, unsigned worker, size_t tensor,
                               uint64_t offset, size_t n, void *buf)
{
    const struct source *source = ctx;
    const uint64_t start = (tensor * UINT64_C(12345678) + offset) / 2 * 2;

    (void)worker;
    return gqa_file_read(source->fd, buf, n,
                         start % (source->n_bytes - GQA_BLOCK_BYTES));
}

int main(int argc, char **argv)
{
    static const uint64_t matrix[2] = {ROWS, COLS};
    static const uint64_t vector[1] = {COLS};
    struct gqa_output_options options = {.force = true,
                                         .settings.shard_bytes = 5000000000};
    struct gqa_output_summary summary;
    struct gqa_output_tensor *tensors;
    struct source source;
    struct rusage usage;
    struct stat info;
    double start, seconds;
    size_t n;

    if (argc < 6) {
        fprintf(stderr, "usage: bench_writer KIND OUTPUT GIGABYTES THREADS "
                        "SOURCE [LEVEL]\n");
        return 2;
    }
    options.writer = strcmp(argv[1], "safetensors") == 0
                         ? &gqa_writer_safetensors
                     : strcmp(argv[1], "folder") == 0 ? &gqa_writer_folder
                                                      : &gqa_writer_gqa;
    options.settings.store = strcmp(argv[1], "store") == 0;
    options.n_threads = (unsigned)atoi(argv[4]);
    options.settings.level = argc > 6 ? (unsigned)atoi(argv[6]) : 1;
    source.fd = open(argv[5], O_RDONLY);
    if (source.fd < 0 || fstat(source.fd, &info) != 0) {
        perror(argv[5]);
        return 2;
    }
    source.n_bytes = (uint64_t)info.st_size;
    n = (size_t)(atof(argv[3]) * 1e9 / (double)(2 * ROWS * COLS)) * 2;
    tensors = calloc(n, sizeof *tensors);
    if (!tensors)
        return 2;
    /* A norm after each matrix. */
    for (size_t i = 0; i < n; i++) {
        char *name = malloc(32);

        if (!name)
            return 2;
        snprintf(name, 32, "layers.%04zu.%s", i / 2, i % 2 ? "norm" : "w");
        tensors[i].name = name;
        tensors[i].dtype = GQA_BF16;
        tensors[i].rank = i % 2 ? 1 : 2;
        tensors[i].shape = i % 2 ? vector : matrix;
        tensors[i].n_bytes = i % 2 ? 2 * COLS : UINT64_C(2) * ROWS * COLS;
    }
    start = gqa_clock_s();
    if (gqa_output_write(&summary, argv[2], tensors, n, produce, &source,
                         &options) != GQA_OK) {
        fprintf(stderr, "bench_writer: %s\n", gqa_error_message());
        return 2;
    }
    seconds = gqa_clock_s() - start;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-11s %.2f GB in %.2f s: %.3f GB/s, %.3f of it, %.2f s of "
           "processors, %ld MiB\n",
           argv[1], (double)summary.content_bytes * 1e-9, seconds,
           (double)summary.content_bytes * 1e-9 / seconds,
           (double)summary.file_bytes / (double)summary.content_bytes,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
           usage.ru_maxrss / 1024);
    for (size_t i = 0; i < n; i++)
        free((char *)tensors[i].name);
    free(tensors);
    close(source.fd);
    return 0;
}
