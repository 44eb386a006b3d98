#include "formats/hdf5/library/private.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static bool short_of_memory;

void gqa_h5_note_no_memory(void)
{
    short_of_memory = true;
}

bool gqa_h5_short_of_memory(void)
{
    return short_of_memory;
}

/* Why a read failed; 0: the file ended too early; NONE: none failed. */
enum { NONE = -1 };
static int read_error = NONE;

void gqa_h5_note_read_error(int error)
{
    if (read_error == NONE)
        read_error = error;
}

enum gqa_status gqa_h5_check_reading(void)
{
    if (read_error == NONE)
        return GQA_OK;
    if (read_error == 0)
        return gqa_fail(GQA_ERR_IO, "the file shrank while it was read");
    errno = read_error;
    return gqa_fail_errno("cannot read the file");
}

static herr_t find_no_memory(unsigned n, const H5E_error2_t *error, void *arg)
{
    (void)n;
    (void)arg;
    if (error->maj_num == H5E_RESOURCE && error->min_num == H5E_NOSPACE)
        gqa_h5_note_no_memory();
    return 0;
}

/*
 * Called for each function of the library that fails. Short of memory, it
 * may say so, something else or nothing, and its callers may take it for the
 * answer "no"; but errno still has what malloc() put there.
 */
static herr_t note_failure(hid_t stack, void *arg)
{
    (void)arg;
    if (errno == ENOMEM)
        gqa_h5_note_no_memory();
    /* Other calls may have changed errno since. */
    H5Ewalk2(stack, H5E_WALK_UPWARD, find_no_memory, NULL);
    return 0;
}

enum gqa_status gqa_h5_library_start(void)
{
    static char zone[] = "TZ=UTC0";
    enum gqa_status st;

    /*
     * The library asks for local time, which no one wants to know. The file
     * of the zone would be refused later, and errno be lost.
     */
    if (putenv(zone) != 0)
        return gqa_fail_nomem();
    tzset();
    if ((st = gqa_h5_load()) != GQA_OK)
        return st;
    errno = 0;
    /* The process ends without ceremony. Fails where it is too late. */
    (void)H5dont_atexit();
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, note_failure, NULL) < 0 ||
        H5PLset_loading_state(0) < 0 || H5Lunregister(H5L_TYPE_EXTERNAL) < 0 ||
        !gqa_h5_driver_register())
        return errno == ENOMEM
                   ? gqa_fail_nomem()
                   : gqa_fail(GQA_ERR_IO,
                              "the HDF5 library does not start (%s)",
                              gqa_h5_reason());
    return GQA_OK;
}

enum gqa_status gqa_h5_file_open(struct gqa_h5_file **out, int fd,
                                 uint64_t size)
{
    struct gqa_h5_file *file = calloc(1, sizeof *file);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    enum gqa_status st = GQA_OK;

    if (!file) {
        st = gqa_fail_nomem();
        goto done;
    }
    file->fd = fd;
    file->size = size;
    file->origin.fd = fd;
    if (access < 0 || !gqa_h5_driver_set(access, file) ||
        (file->id = H5Fopen("gqa", H5F_ACC_RDONLY, access)) < 0) {
        st = gqa_fail(GQA_ERR_FORMAT,
                      "the HDF5 library cannot open the file (%s)",
                      gqa_h5_reason());
        goto done;
    }
    *out = file;
    file = NULL; /* now the caller's */
done:
    H5Pclose(access);
    free(file);
    return st;
}

bool gqa_h5_find_in_file(struct gqa_h5_file *file, const void *bytes, size_t n,
                         uint64_t *address)
{
    if (gqa_h5_origin_find(&file->origin, bytes, n, address))
        return true;
    if (file->origin.is_unread)
        gqa_h5_note_read_error(file->origin.error);
    return false;
}

bool gqa_h5_is_from_file(struct gqa_h5_file *file, const void *bytes, size_t n)
{
    uint64_t address;

    return gqa_h5_find_in_file(file, bytes, n, &address);
}
