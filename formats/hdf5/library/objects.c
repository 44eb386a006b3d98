#include "formats/hdf5/library/private.h"

#include <stdlib.h>
#include <string.h>

void gqa_h5_objects_clear(struct gqa_h5_objects *objects)
{
    for (size_t i = 0; i < objects->n; i++) {
        gqa_h5_dataset_clear(&objects->items[i].dataset);
        free(objects->items[i].why);
    }
    free(objects->items);
}

enum gqa_status gqa_h5_is_other(struct gqa_h5_object *object, const char *what)
{
    object->kind = GQA_H5_OTHER;
    return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: holds %s, not a tensor",
                    object->dataset.path, what);
}

static enum gqa_status describe_shape(struct gqa_h5_object *object, hid_t space)
{
    struct gqa_h5_dataset *d = &object->dataset;
    hsize_t shape[H5S_MAX_RANK];
    int rank;

    if (H5Sget_simple_extent_type(space) == H5S_NULL)
        return gqa_h5_is_other(object, "nothing (a null dataspace)");
    rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0)
        return gqa_h5_damaged(d->path, "the shape");
    if (rank > GQA_MAX_RANK)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %d dimensions, more than the %d that are "
                        "supported",
                        d->path, rank, GQA_MAX_RANK);
    if (H5Sget_simple_extent_dims(space, shape, NULL) < 0)
        return gqa_h5_damaged(d->path, "the shape");
    d->rank = (unsigned)rank;
    for (unsigned i = 0; i < d->rank; i++)
        d->shape[i] = shape[i];
    return GQA_OK;
}

static enum gqa_status describe(struct gqa_h5_file *file,
                                struct gqa_h5_object *object, hid_t dataset,
                                hid_t plist)
{
    const char *path = object->dataset.path;
    const H5D_layout_t layout = H5Pget_layout(plist);
    enum gqa_status st;
    hid_t type, space;

    /* Both before anything that makes the library look at other files. */
    if (layout == H5D_VIRTUAL)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: a virtual dataset, whose values lie in other "
                        "datasets; copy them into one file first",
                        path);
    if (H5Pget_external_count(plist) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: external storage, values in another file; copy "
                        "them into one file first",
                        path);
    type = H5Dget_type(dataset);
    space = H5Dget_space(dataset);
    if (type < 0 || space < 0)
        st = gqa_h5_damaged(path, "the type or shape");
    else if ((st = gqa_h5_describe_type(file, object, dataset, type)) ==
                 GQA_OK &&
             (st = describe_shape(object, space)) == GQA_OK)
        st = gqa_h5_describe_layout(file, object, dataset, plist, type, layout);
    H5Sclose(space);
    H5Tclose(type);
    return st;
}

/* What cannot be read is a failure only if it turns out to be a weight. */
static enum gqa_status keep_reason(struct gqa_h5_object *object,
                                   enum gqa_status st)
{
    object->status = st;
    if (st == GQA_OK || st == GQA_ERR_NOMEM)
        return st;
    if (object->kind != GQA_H5_OTHER)
        object->kind = GQA_H5_REFUSED;
    object->why = strdup(gqa_error_message());
    return object->why ? GQA_OK : gqa_fail_nomem();
}

enum gqa_status gqa_h5_describe_dataset(struct gqa_h5_file *file,
                                        struct gqa_h5_object *object,
                                        hid_t dataset)
{
    const hid_t plist = H5Dget_create_plist(dataset);
    const htri_t tagged = H5Aexists(dataset, "__H5_TYPE__");
    enum gqa_status st;

    object->kind = GQA_H5_TENSOR;
    object->has_type_tag = tagged > 0;
    if (plist < 0)
        st = gqa_h5_damaged(object->dataset.path, "this dataset");
    else if (tagged < 0)
        st = gqa_h5_damaged(object->dataset.path, "its attributes");
    else
        st = describe(file, object, dataset, plist);
    H5Pclose(plist);
    return keep_reason(object, st);
}

enum gqa_status gqa_h5_describe_other(struct gqa_h5_object *object,
                                      const char *what)
{
    object->kind = GQA_H5_OTHER;
    return keep_reason(object,
                       gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %s, not a tensor",
                                object->dataset.path, what));
}
