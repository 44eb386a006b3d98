#include "formats/keras/reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/temporary.h"
#include "formats/hdf5/reader.h"
#include "formats/zip/archive.h"
#include "formats/zip/unpack.h"

#define WEIGHTS "model.weights.h5"
#define CONFIG  "config.json"

/* As of one beside weights (folder/config_file.c) */
enum { MAX_CONFIG_BYTES = 16 << 20 };

struct copy {
    int fd;
    uint64_t n;
};

static enum gqa_status put(void *ctx, const void *bytes, size_t n)
{
    struct copy *copy = ctx;
    const enum gqa_status st = gqa_temporary_write(copy->fd, bytes, n, copy->n);

    copy->n += n;
    return st;
}

static enum gqa_status find_weights(const struct gqa_zip_member **out,
                                    const struct gqa_zip *zip)
{
    *out = gqa_zip_find(zip, WEIGHTS);
    if (*out)
        return GQA_OK;
    if (gqa_zip_find(zip, "model.weights.npz"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a Keras archive whose weights are NumPy's "
                        "(model.weights.npz); save it where h5py is there");
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "a zip archive without " WEIGHTS ", which a Keras archive "
                    "of one file has; unpack it and give the folder");
}

static enum gqa_status open_weights(struct gqa_source **out,
                                    const struct gqa_zip *zip,
                                    const struct gqa_file_handle *file)
{
    struct gqa_file_handle weights = *file;
    const struct gqa_zip_member *m;
    struct copy copy = {.fd = -1};
    enum gqa_status st = find_weights(&m, zip);

    if (st == GQA_OK)
        st = gqa_temporary_open(&copy.fd, m->n_unpacked,
                                "a copy of the archive's weights");
    if (st != GQA_OK)
        return st;
    st = gqa_zip_unpack(m, file->fd, &(const struct gqa_zip_sink){put, &copy});
    if (st != GQA_OK) {
        close(copy.fd);
        return st;
    }
    weights.fd = copy.fd;
    weights.size = copy.n;
    if ((st = gqa_hdf5_open(out, &weights)) != GQA_OK)
        return gqa_fail_prefix(st, WEIGHTS);
    (*out)->file_bytes = file->size;
    if (!m->is_deflated)
        (*out)->content_bytes = file->size;
    return GQA_OK;
}

/* What the archive says of the model counts as what weights say inside. */
static enum gqa_status read_config(json_t **out, const struct gqa_zip *zip,
                                   int fd)
{
    const struct gqa_zip_member *m = gqa_zip_find(zip, CONFIG);
    enum gqa_status st;
    char *text;

    if (!m)
        return GQA_OK;
    if ((st = gqa_zip_load(&text, m, fd, MAX_CONFIG_BYTES)) != GQA_OK)
        return st;
    st = gqa_json_parse(out, text, strlen(text), CONFIG);
    free(text);
    if (st == GQA_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return gqa_fail(GQA_ERR_FORMAT, CONFIG " is no JSON object");
    }
    return st;
}

enum gqa_status gqa_keras_open(struct gqa_source **out,
                               const struct gqa_file_handle *file)
{
    struct gqa_source *source = NULL;
    struct gqa_zip zip = {0};
    json_t *config = NULL;
    enum gqa_status st = gqa_zip_read(&zip, file->fd, file->size);

    if (st == GQA_OK)
        st = open_weights(&source, &zip, file);
    if (st == GQA_OK)
        st = read_config(&config, &zip, file->fd);
    gqa_zip_clear(&zip);
    close(file->fd);
    if (st != GQA_OK) {
        gqa_source_close(source);
        return st;
    }
    if (config) {
        json_decref(source->config);
        source->config = config;
    }
    *out = source;
    return GQA_OK;
}
