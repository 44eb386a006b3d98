/* The form of a zip archive: X/data.pkl, and X/data/KEY for each storage. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/file.h"
#include "common/strings.h"
#include "formats/torch/content.h"
#include "formats/torch/unpickle.h"
#include "formats/zip/archive.h"

static const char pickle_name[] = "/data.pkl";

/* The member that its top folder holds, which all others lie in. */
static const struct gqa_zip_member *find_pickle(const struct gqa_zip *zip)
{
    for (size_t i = 0; i < zip->n; i++) {
        const char *name = zip->members[i].name;

        if (gqa_has_ending(name, pickle_name) &&
            strchr(name, '/') == strrchr(name, '/'))
            return &zip->members[i];
    }
    return NULL;
}

/* X/name, where the pickle is X/data.pkl. */
static enum gqa_status find_beside(const struct gqa_zip_member **out,
                                   const struct gqa_zip *zip,
                                   const struct gqa_zip_member *pickle,
                                   const char *folder, const char *name)
{
    const int n = (int)(strlen(pickle->name) - strlen(pickle_name));
    char *path;

    if (asprintf(&path, "%.*s/%s%s", n, pickle->name, folder, name) < 0)
        return gqa_fail_nomem();
    *out = gqa_zip_find(zip, path);
    free(path);
    return GQA_OK;
}

static enum gqa_status refuse_deflated(const struct gqa_zip_member *m)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s is compressed, which PyTorch does not do: unpack the "
                    "archive and pack it again without compression (zip -0 -r)",
                    m->name);
}

static enum gqa_status check_order(const struct gqa_zip *zip,
                                   const struct gqa_zip_member *pickle, int fd)
{
    const struct gqa_zip_member *m = NULL;
    char text[16] = "";
    enum gqa_status st = find_beside(&m, zip, pickle, "", "byteorder");

    if (st != GQA_OK || !m)
        return st;
    st = gqa_file_read(
        fd, text, (size_t)gqa_min_u64(m->n_bytes, sizeof text - 1), m->offset);
    if (st == GQA_OK && (m->is_deflated || strcmp(text, "little") != 0))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "numbers are of the byte order \"%s\"; load and save "
                        "it on a little-endian machine",
                        text);
    return st;
}

static enum gqa_status check_kind(const struct gqa_zip *zip,
                                  const struct gqa_zip_member *pickle, int fd)
{
    const struct gqa_zip_member *m = NULL;
    const enum gqa_status st =
        find_beside(&m, zip, pickle, "", "constants.pkl");

    if (st != GQA_OK)
        return st;
    if (m)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a TorchScript archive, which holds code with its "
                        "weights; write these alone: python3 -c 'import "
                        "torch; torch.save(torch.jit.load(\"FILE\")"
                        ".state_dict(), \"pytorch_model.bin\")'");
    if (pickle->is_deflated)
        return refuse_deflated(pickle);
    return check_order(zip, pickle, fd);
}

static enum gqa_status check_member(const struct gqa_pickle_storage *s,
                                    const struct gqa_zip_member *m)
{
    uint64_t end;

    if (m->is_deflated)
        return refuse_deflated(m);
    if (!gqa_add_u64(s->first, s->n_elements, &end) ||
        !gqa_mul_u64(end, s->element_bytes, &end) || end > m->n_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s has %" PRIu64 " bytes, too few for its %" PRIu64
                        " elements",
                        m->name, m->n_bytes, s->n_elements);
    return GQA_OK;
}

static enum gqa_status find_storages(struct gqa_pickle_values *values,
                                     const struct gqa_zip *zip,
                                     const struct gqa_zip_member *pickle)
{
    for (size_t i = 0; i < values->n_storages; i++) {
        struct gqa_pickle_storage *s = &values->storages[i];
        const struct gqa_zip_member *m = NULL;
        enum gqa_status st = find_beside(&m, zip, pickle, "data/",
                                         gqa_pickle_text(values, s->key));

        if (st == GQA_OK && m)
            st = check_member(s, m);
        if (st != GQA_OK)
            return st;
        s->is_found = m != NULL;
        s->offset = m ? m->offset + s->first * s->element_bytes : 0;
    }
    return GQA_OK;
}

enum gqa_status gqa_torch_read_archive(struct gqa_torch_content *content,
                                       int fd, uint64_t size)
{
    struct gqa_input *in = NULL;
    const struct gqa_zip_member *pickle;
    struct gqa_zip zip = {0};
    enum gqa_status st = gqa_zip_read(&zip, fd, size);

    if (st != GQA_OK)
        goto done;
    pickle = find_pickle(&zip);
    if (!pickle) {
        st = gqa_fail(GQA_ERR_FORMAT,
                      "a PyTorch file without data.pkl, which says what it "
                      "holds");
        goto done;
    }
    if ((st = check_kind(&zip, pickle, fd)) != GQA_OK)
        goto done;
    in = malloc(sizeof *in);
    if (!in) {
        st = gqa_fail_nomem();
        goto done;
    }
    gqa_input_begin(in, "the pickle", fd, pickle->offset,
                    pickle->offset + pickle->n_bytes);
    st = gqa_unpickle(&content->root, &content->values, in);
    st = st == GQA_OK ? find_storages(&content->values, &zip, pickle)
                      : gqa_fail_prefix(st, "%s", pickle->name);
done:
    free(in);
    gqa_zip_clear(&zip);
    return st;
}
