#include "formats/hdf5/library/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32 /* groups within groups */ };

#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
typedef H5O_token_t identity;
#define ITERATE H5Literate2
#else
typedef H5L_info_t link_info;
typedef haddr_t identity;
#define ITERATE H5Literate
#endif

static bool get_identity(hid_t object, identity *id)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t info;

    if (H5Oget_info3(object, &info, H5O_INFO_BASIC) < 0)
        return false;
    *id = info.token;
#else
    H5O_info_t info;

    if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0)
        return false;
    *id = info.addr;
#endif
    return true;
}

struct link {
    char *name;
    H5L_type_t type;
};

struct links {
    struct link *items;
    size_t n;
    size_t room;
    enum gqa_status status;
};

/* The groups from the base to here, to find cycles. */
struct way {
    const struct way *up;
    identity id;
    const char *path;
    unsigned depth;
};

bool gqa_h5_exists(struct gqa_h5_file *file, const char *path)
{
    return H5Lexists(file->id, path, H5P_DEFAULT) > 0;
}

static herr_t add_link(hid_t group, const char *name, const link_info *info,
                       void *arg)
{
    struct links *links = arg;
    char *copy;

    (void)group;
    if (links->n == GQA_H5_MAX_OBJECTS) {
        links->status = gqa_fail(GQA_ERR_UNSUPPORTED, "more than %d links",
                                 GQA_H5_MAX_OBJECTS);
        return -1;
    }
    if (links->n == links->room) {
        const size_t room = 2 * links->room + 16;
        struct link *larger = realloc(links->items, room * sizeof *larger);

        if (!larger) {
            links->status = gqa_fail_nomem();
            return -1;
        }
        links->items = larger;
        links->room = room;
    }
    copy = strdup(name);
    if (!copy) {
        links->status = gqa_fail_nomem();
        return -1;
    }
    links->items[links->n].name = copy;
    links->items[links->n++].type = info->type;
    return 0;
}

static int compare_links(const void *a, const void *b)
{
    return strverscmp(((const struct link *)a)->name,
                      ((const struct link *)b)->name);
}

static void links_clear(struct links *links)
{
    for (size_t i = 0; i < links->n; i++)
        free(links->items[i].name);
    free(links->items);
}

static enum gqa_status list_links(struct gqa_h5_file *file, struct links *links,
                                  hid_t group, const char *path)
{
    hsize_t at = 0;

    if (ITERATE(group, H5_INDEX_NAME, H5_ITER_NATIVE, &at, add_link, links) < 0)
        return links->status != GQA_OK
                   ? gqa_fail_prefix(links->status, "%s/", path)
                   : gqa_h5_damaged(path[0] ? path : "/", "this group");
    if (links->n > 0)
        qsort(links->items, links->n, sizeof *links->items, compare_links);
    /* In order, since then each mostly lies near the one before. */
    for (size_t i = 0; i < links->n; i++)
        if (!gqa_h5_is_from_file(file, links->items[i].name,
                                 strlen(links->items[i].name)))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: damaged: a name in it has bytes that are not "
                            "in the file",
                            path[0] ? path : "/");
    return GQA_OK;
}

static enum gqa_status add_object(struct gqa_h5_objects *objects, char *path)
{
    if (objects->n == GQA_H5_MAX_OBJECTS) {
        free(path);
        return gqa_fail(GQA_ERR_UNSUPPORTED, "more than %d objects",
                        GQA_H5_MAX_OBJECTS);
    }
    if (objects->n == objects->room) {
        const size_t room = 2 * objects->room + 64;
        struct gqa_h5_object *larger =
            realloc(objects->items, room * sizeof *larger);

        if (!larger) {
            free(path);
            return gqa_fail_nomem();
        }
        objects->items = larger;
        objects->room = room;
    }
    objects->items[objects->n] =
        (struct gqa_h5_object){.dataset = {.path = path}};
    objects->n++;
    return GQA_OK;
}

static enum gqa_status walk_group(struct gqa_h5_file *file,
                                  struct gqa_h5_objects *objects, hid_t group,
                                  const struct way *way);

static enum gqa_status enter_group(struct gqa_h5_file *file,
                                   struct gqa_h5_objects *objects, hid_t group,
                                   const char *path, const struct way *up)
{
    struct way way = {.up = up, .path = path, .depth = up->depth + 1};

    if (way.depth > MAX_DEPTH)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: groups nested more than %d deep", path, MAX_DEPTH);
    if (!get_identity(group, &way.id))
        return gqa_h5_damaged(path, "this group");
    for (const struct way *w = up; w; w = w->up)
        if (memcmp(&w->id, &way.id, sizeof way.id) == 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: leads back to the group %s that holds it (a "
                            "link cycle)",
                            path, w->path[0] ? w->path : "/");
    return walk_group(file, objects, group, &way);
}

static enum gqa_status check_link(const struct link *link, const char *path)
{
    if (link->type == H5L_TYPE_HARD || link->type == H5L_TYPE_SOFT)
        return GQA_OK;
    if (link->type == H5L_TYPE_EXTERNAL)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: an external link, to another file; copy what it "
                        "names into this file first",
                        path);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: a user-defined link, which cannot be followed", path);
}

static enum gqa_status visit(struct gqa_h5_file *file,
                             struct gqa_h5_objects *objects, hid_t group,
                             const struct link *link, const struct way *way)
{
    enum gqa_status st;
    hid_t object;
    char *path;

    if (strlen(way->path) + strlen(link->name) >= GQA_H5_MAX_PATH)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: a path of more than %d characters", way->path,
                        GQA_H5_MAX_PATH);
    if (asprintf(&path, "%s/%s", way->path, link->name) < 0)
        return gqa_fail_nomem();
    if ((st = check_link(link, path)) != GQA_OK) {
        free(path);
        return st;
    }
    if ((st = add_object(objects, path)) != GQA_OK)
        return st;
    object = H5Oopen(group, link->name, H5P_DEFAULT);
    if (object < 0)
        return link->type == H5L_TYPE_SOFT
                   ? gqa_fail(GQA_ERR_FORMAT,
                              "%s: a soft link that leads nowhere", path)
                   : gqa_h5_damaged(path, "this object");
    switch (H5Iget_type(object)) {
    case H5I_GROUP:
        st = enter_group(file, objects, object, path, way);
        break;
    case H5I_DATASET:
        st = gqa_h5_describe_dataset(file, &objects->items[objects->n - 1],
                                     object);
        break;
    case H5I_DATATYPE:
        st = gqa_h5_describe_other(&objects->items[objects->n - 1],
                                   "a named type");
        break;
    default:
        st = gqa_h5_describe_other(
            &objects->items[objects->n - 1],
            "an object of a kind that weights do not have");
    }
    H5Oclose(object);
    return st;
}

static enum gqa_status walk_group(struct gqa_h5_file *file,
                                  struct gqa_h5_objects *objects, hid_t group,
                                  const struct way *way)
{
    struct links links = {0};
    enum gqa_status st = list_links(file, &links, group, way->path);

    for (size_t i = 0; i < links.n && st == GQA_OK; i++)
        st = visit(file, objects, group, &links.items[i], way);
    links_clear(&links);
    return st;
}

enum gqa_status gqa_h5_walk(struct gqa_h5_file *file,
                            struct gqa_h5_objects *objects, const char *base)
{
    struct way way = {.path = strcmp(base, "/") == 0 ? "" : base};
    const hid_t group = H5Gopen2(file->id, base, H5P_DEFAULT);
    enum gqa_status st;

    if (group < 0 || !get_identity(group, &way.id))
        st = gqa_h5_damaged(base, "this group");
    else
        st = walk_group(file, objects, group, &way);
    H5Gclose(group);
    return st;
}
