#include "formats/folder/config_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/json.h"
#include "formats/folder/folder.h"

/* Real ones have some kilobytes; label lists make a few large. */
enum { MAX_CONFIG_BYTES = 16 << 20 };

static enum gqa_status load(json_t **config, const char *path)
{
    json_t *root;
    const enum gqa_status st =
        gqa_json_load_file(&root, path, MAX_CONFIG_BYTES);

    if (st != GQA_OK)
        return st;
    if (!json_is_object(root)) {
        json_decref(root);
        return gqa_fail(GQA_ERR_FORMAT, "%s: not a JSON object", path);
    }
    *config = root;
    return GQA_OK;
}

enum gqa_status gqa_config_load(json_t **config, char **path,
                                const char *config_path)
{
    struct stat info;
    enum gqa_status st;
    char *name;

    if (stat(config_path, &info) != 0)
        return gqa_fail_errno("%s", config_path);
    name = S_ISDIR(info.st_mode) ? gqa_path_join(config_path, "config.json")
                                 : strdup(config_path);
    if (!name)
        return gqa_fail_nomem();
    if ((st = load(config, name)) != GQA_OK) {
        free(name);
        return st;
    }
    *path = name;
    return GQA_OK;
}

enum gqa_status gqa_config_find(json_t **config, char **path,
                                const char *folder)
{
    enum gqa_status st = GQA_OK;
    char *name = gqa_path_join(folder, "config.json");

    if (!name)
        return gqa_fail_nomem();
    if (access(name, F_OK) == 0) {
        if ((st = load(config, name)) == GQA_OK) {
            *path = name;
            return GQA_OK;
        }
    } else if (errno != ENOENT) {
        st = gqa_fail_errno("%s", name);
    }
    free(name);
    return st;
}
