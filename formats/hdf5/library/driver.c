#include "formats/hdf5/library/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gqa_h5_file gqa_h5_file = {.driver = -1, .id = -1, .fd = -1};

/*
 * Called for each function of the library that fails. Short of memory, it
 * may say so, something else or nothing, and its callers may take it for the
 * answer "no"; but errno still has what malloc() put there.
 */
static herr_t note_failure(hid_t stack, void *arg)
{
    (void)stack;
    (void)arg;
    if (errno == ENOMEM)
        gqa_h5_file.short_of_memory = true;
    return 0;
}

bool gqa_h5_short_of_memory(void)
{
    return gqa_h5_file.short_of_memory;
}

bool gqa_h5_is_from_file(const void *bytes, size_t n)
{
    uint64_t address;

    return gqa_h5_origin_find(&gqa_h5_file.origin, bytes, n, &address);
}

/*
 * The file driver: reads the one descriptor that the process was given, and
 * cannot open, write or grow anything.
 */

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t fapl,
                           haddr_t max_address)
{
    H5FD_t *handle;

    (void)name;
    (void)fapl;
    (void)max_address;
    if (gqa_h5_file.opened || (flags & H5F_ACC_RDWR))
        return NULL;
    handle = calloc(1, sizeof *handle);
    gqa_h5_file.opened = handle != NULL;
    return handle;
}

static herr_t driver_close(H5FD_t *handle)
{
    free(handle);
    return 0;
}

static herr_t driver_query(const H5FD_t *handle, unsigned long *flags)
{
    (void)handle;
    *flags = H5FD_FEAT_ACCUMULATE_METADATA_READ;
    return 0;
}

static haddr_t end_of_space = 0;

static haddr_t driver_get_eoa(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)handle;
    (void)type;
    return end_of_space;
}

static herr_t driver_set_eoa(H5FD_t *handle, H5FD_mem_t type, haddr_t address)
{
    (void)handle;
    (void)type;
    end_of_space = address;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)handle;
    (void)type;
    return gqa_h5_file.size;
}

static herr_t driver_read(H5FD_t *handle, H5FD_mem_t type, hid_t dxpl,
                          haddr_t address, size_t size, void *buffer)
{
    char *at = buffer;

    (void)handle;
    (void)dxpl;
    if (gqa_h5_file.noting && type == H5FD_MEM_DRAW) {
        gqa_h5_file.n_noted++;
        gqa_h5_file.noted_address = address;
        gqa_h5_file.noted_size = size;
        return 0;
    }
    if (address > gqa_h5_file.size)
        return -1;
    while (size > 0) {
        const ssize_t got = pread(gqa_h5_file.fd, at, size, (off_t)address);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) {
            /* Beyond the end the library expects zeros. */
            memset(at, 0, size);
            break;
        }
        gqa_h5_origin_note(&gqa_h5_file.origin, address, (uint64_t)got);
        at += got;
        size -= (size_t)got;
        address += (haddr_t)got;
    }
    return 0;
}

static herr_t driver_write(H5FD_t *handle, H5FD_mem_t type, hid_t dxpl,
                           haddr_t address, size_t size, const void *buffer)
{
    (void)handle;
    (void)type;
    (void)dxpl;
    (void)address;
    (void)size;
    (void)buffer;
    return -1;
}

static const H5FD_class_t driver_class = {
#if H5_VERSION_GE(1, 14, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600, /* the range for private drivers */
#endif
    .name = "gqa",
    .maxaddr = HADDR_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

enum gqa_status gqa_h5_library_start(void)
{
    errno = 0;
    /* The process ends without ceremony. Fails where it is too late. */
    (void)H5dont_atexit();
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, note_failure, NULL) < 0 ||
        H5PLset_loading_state(0) < 0 || H5Lunregister(H5L_TYPE_EXTERNAL) < 0 ||
        (gqa_h5_file.driver = H5FDregister(&driver_class)) < 0)
        return errno == ENOMEM
                   ? gqa_fail_nomem()
                   : gqa_fail(GQA_ERR_IO,
                              "the HDF5 library does not start (%s)",
                              gqa_h5_reason());
    return GQA_OK;
}

enum gqa_status gqa_h5_file_open(int fd, uint64_t size)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);

    gqa_h5_file.fd = fd;
    gqa_h5_file.size = size;
    gqa_h5_file.origin.fd = fd;
    if (access < 0 || H5Pset_driver(access, gqa_h5_file.driver, NULL) < 0 ||
        (gqa_h5_file.id = H5Fopen("gqa", H5F_ACC_RDONLY, access)) < 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the HDF5 library cannot open the file (%s)",
                        gqa_h5_reason());
    H5Pclose(access);
    return GQA_OK;
}
