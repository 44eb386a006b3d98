/*
 * usage: bench_load MODEL [cpu|cuda [F32|F64|BF16|F16 [RUNS [THREADS]]]]
 *
 * How long the weights of a checkpoint take to a device, memory for them
 * included: each run, and the median of all but the first, which also fills
 * the page cache.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/runtime.h"
#include "runtime/weights.h"

enum { MAX_RUNS = 101 };

static void must(enum gqa_status st)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "bench_load: %s\n", gqa_error_message());
    exit(st == GQA_ERR_UNSUPPORTED ? 77 : 2);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare_times(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static const struct gqa_checkpoint_options as_it_is;
    const bool cuda = argc > 2 && strcmp(argv[2], "cuda") == 0;
    const int n_runs = argc > 4 ? atoi(argv[4]) : 5;
    const struct gqa_backend *backend = gqa_cpu_backend();
    struct gqa_device_options options = {.real = GQA_F32};
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;
    struct gqa_network *network = NULL;
    struct gqa_device *device = NULL;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source;
    double times[MAX_RUNS], n_bytes = 0;

    if (argc < 2 || n_runs < 2 || n_runs > MAX_RUNS ||
        (argc > 3 && !gqa_dtype_parse(argv[3], &options.real))) {
        fputs("usage: bench_load MODEL [cpu|cuda [F32|F64|BF16|F16 [RUNS "
              "[THREADS]]]]\n",
              stderr);
        return 2;
    }
    if (argc > 5)
        options.n_threads = (unsigned)strtoul(argv[5], NULL, 10);
    must(gqa_checkpoint_open(&checkpoint, argv[1], &as_it_is));
    must(gqa_model_create(&model, checkpoint, NULL));
    must(gqa_network_create(&network, model));
    if (cuda)
        must(gqa_cuda_backend_load(&backend));
    must(backend->open(&device, &options));
    weights = (struct gqa_checkpoint_weights){checkpoint, model};
    source = gqa_checkpoint_weight_source(&weights);
    for (size_t i = 0; i < model->n_params; i++)
        n_bytes += (double)model->params[i].n_bytes;
    for (int run = 0; run < n_runs; run++) {
        struct gqa_runtime *runtime = NULL;
        const double begin = now();

        must(gqa_runtime_create(&runtime, network, backend, device, &source));
        times[run] = now() - begin;
        printf("run %d: %.3f s, %.2f GB/s\n", run, times[run],
               n_bytes * 1e-9 / times[run]);
        gqa_runtime_free(runtime);
    }
    qsort(times + 1, (size_t)n_runs - 1, sizeof *times, compare_times);
    printf("%s, %.2f GB: median %.3f s, %.2f GB/s\n", backend->name,
           n_bytes * 1e-9, times[1 + (n_runs - 1) / 2],
           n_bytes * 1e-9 / times[1 + (n_runs - 1) / 2]);
    backend->close(device);
    gqa_network_free(network);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
    return 0;
}
