/* A device that is lost on the way: every call says so, and closing is safe.
 * By itself, since a process does not get such a device back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"

static int exit_status = EXIT_SUCCESS;

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    printf("FAIL %s: %s\n", what, gqa_error_message());
    exit_status = EXIT_FAILURE;
}

static bool is_lost(enum gqa_status st)
{
    return st == GQA_ERR_IO && strstr(gqa_error_message(), "GPU 0 (") &&
           strstr(gqa_error_message(), "illegal");
}

int main(void)
{
    const struct gqa_device_options options = {.real = GQA_F32};
    const struct gqa_batch batch = {1, 1, (int32_t[]){0}, (uint64_t[]){1},
                                    (uint64_t[]){0}};
    /* Where no memory is. */
    const struct gqa_weight nowhere = {(void *)256, GQA_F32, 1, 64};
    const struct gqa_backend *backend = NULL;
    struct gqa_device *device = NULL, *other = NULL;
    struct gqa_device_info info;
    struct gqa_staging *staging = NULL, *late = NULL;
    float values[64] = {0};
    void *memory = NULL;

    if (gqa_cuda_backend_load(&backend) != GQA_OK) {
        printf("skipped: %s\n", gqa_error_message());
        return 77;
    }
    check(backend->open(&device, &options) == GQA_OK, "open");
    check(backend->alloc(device, &memory, sizeof values) == GQA_OK, "alloc");
    check(backend->stage_open(device, &staging, sizeof values) == GQA_OK,
          "stage_open");
    check(backend->set_batch(device, &batch) == GQA_OK, "set_batch");
    check(backend->embed(device, memory, &nowhere, 1, NULL) == GQA_OK,
          "a launch that fails later");
    check(is_lost(backend->download(device, values, memory, sizeof values)),
          "download tells of it");
    check(is_lost(backend->upload(device, memory, values, sizeof values)),
          "upload");
    check(is_lost(backend->stage_send(device, staging, memory, sizeof values)),
          "stage_send");
    check(is_lost(backend->stage_fetch(device, staging, memory, sizeof values)),
          "stage_fetch");
    check(is_lost(backend->stage_open(device, &late, sizeof values)) && !late,
          "stage_open of a lost device");
    check(is_lost(backend->set_batch(device, &batch)), "set_batch");
    check(is_lost(backend->activate(device, memory, memory, NULL, 64,
                                    GQA_ACTIVATION_RELU)),
          "activate");
    check(is_lost(backend->describe(device, &info)), "describe");
    backend->stage_close(device, staging);
    backend->free(device, memory);
    backend->close(device);
    check(backend->open(&other, &options) != GQA_OK && !other, "open again");
    printf("%s\n", exit_status == EXIT_SUCCESS ? "as expected" : "not so");
    return exit_status;
}
