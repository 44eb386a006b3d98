#include "formats/hdf5/library/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an access list carries to driver_open(). */
struct driver_info {
    struct gqa_h5_file *file;
};

/* The library's handle is its first member. */
struct driver {
    H5FD_t base;
    struct gqa_h5_file *file;
    haddr_t end_of_space; /* as the library counts it */
};

static hid_t driver_id = -1;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access,
                           haddr_t max_address)
{
    const struct driver_info *info = H5Pget_driver_info(access);
    struct driver *driver;

    (void)name;
    (void)max_address;
    if (!info || info->file->opened || (flags & H5F_ACC_RDWR))
        return NULL;
    driver = calloc(1, sizeof *driver);
    if (!driver)
        return NULL;
    driver->file = info->file;
    driver->file->opened = true;
    return &driver->base;
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

static haddr_t driver_get_eoa(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver *)handle)->end_of_space;
}

static herr_t driver_set_eoa(H5FD_t *handle, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct driver *)handle)->end_of_space = address;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *handle, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver *)handle)->file->size;
}

static void note_place(struct gqa_h5_place *place, haddr_t address, size_t size)
{
    place->n++;
    place->address = address;
    place->size = size;
}

static herr_t driver_read(H5FD_t *handle, H5FD_mem_t type, hid_t dxpl,
                          haddr_t address, size_t size, void *buffer)
{
    struct gqa_h5_file *file = ((const struct driver *)handle)->file;
    char *at = buffer;

    (void)dxpl;
    if (file->place && type == H5FD_MEM_DRAW) {
        note_place(file->place, address, size);
        return 0;
    }
    if (address > file->size)
        return -1;
    while (size > 0) {
        const ssize_t got = pread(file->fd, at, size, (off_t)address);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got == 0 && address < file->size)) {
            gqa_h5_note_read_error(got < 0 ? errno : 0);
            return -1;
        }
        if (got == 0) {
            /* Beyond the end the library expects zeros. */
            memset(at, 0, size);
            break;
        }
        gqa_h5_origin_note(&file->origin, address, (uint64_t)got);
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
    .fapl_size = sizeof(struct driver_info),
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

bool gqa_h5_driver_register(void)
{
    driver_id = H5FDregister(&driver_class);
    return driver_id >= 0;
}

bool gqa_h5_driver_set(hid_t access, struct gqa_h5_file *file)
{
    const struct driver_info info = {file};

    return H5Pset_driver(access, driver_id, &info) >= 0;
}
