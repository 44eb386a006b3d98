#include "twin.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gqa_device *twin_cpu(void)
{
    static struct gqa_device *device;
    const struct gqa_device_options options = {.real = GQA_F64};

    if (!device)
        gpu_must(gqa_cpu_backend()->open(&device, &options), "open the CPU");
    return device;
}

void twin_set_batch(const struct gqa_batch *batch)
{
    gpu_must(gpu.backend->set_batch(gpu.device, batch), "set_batch");
    gpu_must(gqa_cpu_backend()->set_batch(twin_cpu(), batch),
             "set_batch on the CPU");
}

double twin_tolerance(double bf16, double f16)
{
    return gpu.real == GQA_F32 ? 1e-5 : gpu.real == GQA_BF16 ? bf16 : f16;
}

static int add(struct trial *trial, struct array array, const char *name,
               double tolerance)
{
    if (trial->n == TWIN_OPERANDS) {
        fprintf(stderr, "too many operands\n");
        exit(EXIT_FAILURE);
    }
    trial->operands[trial->n] = (struct operand){array, tolerance, name};
    return (int)trial->n++;
}

int trial_input(struct trial *trial, size_t n, enum gqa_dtype dtype)
{
    return add(trial, array_random(n, dtype), "", -1);
}

int trial_sum(struct trial *trial, const char *name, size_t n,
              enum gqa_dtype dtype, double tolerance)
{
    return add(trial, array_random(n, dtype), name, tolerance);
}

int trial_result(struct trial *trial, const char *name, size_t n,
                 enum gqa_dtype dtype, double tolerance)
{
    return add(trial, array_nan(n, dtype), name, tolerance);
}

double *trial_host(struct trial *trial, int operand)
{
    return trial->operands[operand].array.host;
}

struct gqa_weight side_weight(const struct side *side, int operand,
                              uint64_t rows, uint64_t cols)
{
    return (struct gqa_weight){
        side->p[operand],
        side->is_cpu ? GQA_F64 : side->trial->operands[operand].array.dtype,
        rows, cols};
}

static void run_gpu(const struct trial *trial, twin_call *call, const void *ctx,
                    double **results)
{
    struct side side = {gpu.backend, gpu.device, false, trial, {NULL}};

    for (size_t i = 0; i < trial->n; i++) {
        struct array array = trial->operands[i].array;

        array_send(&array);
        side.p[i] = array.device;
    }
    gpu_must(call(&side, ctx), "the GPU");
    for (size_t i = 0; i < trial->n; i++)
        results[i] =
            array_read(&trial->operands[i].array, trial->operands[i].array.n);
}

void trial_run(struct trial *trial, twin_call *call, const void *ctx,
               const char *what, ...)
{
    struct side cpu = {gqa_cpu_backend(), twin_cpu(), true, trial, {NULL}};
    double *first[TWIN_OPERANDS], *second[TWIN_OPERANDS];
    char name[256];
    va_list ap;

    va_start(ap, what);
    vsnprintf(name, sizeof name, what, ap);
    va_end(ap);
    run_gpu(trial, call, ctx, first); /* rounds the host's numbers as well */
    run_gpu(trial, call, ctx, second);
    for (size_t i = 0; i < trial->n; i++) {
        const struct array *array = &trial->operands[i].array;

        cpu.p[i] = must_allocate(array->n, sizeof(double));
        memcpy(cpu.p[i], array->host, array->n * sizeof(double));
    }
    gpu_must(call(&cpu, ctx), "the CPU");
    for (size_t i = 0; i < trial->n; i++) {
        const struct operand *operand = &trial->operands[i];
        const size_t n = operand->array.n;

        check_true(memcmp(first[i], second[i], n * sizeof **first) == 0,
                   "%s, %s: other bits in a second run", name, operand->name);
        if (operand->tolerance >= 0)
            check_values(first[i], cpu.p[i], n, operand->tolerance, "%s, %s",
                         name, operand->name);
        free(cpu.p[i]);
        free(first[i]);
        free(second[i]);
        array_free(&trial->operands[i].array);
    }
    trial->n = 0;
}
