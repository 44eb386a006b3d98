#include "inspect/adapter.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "formats/folder/folder.h"

enum { MAX_BYTES = 1 << 20 };

enum gqa_status gqa_adapter_config(json_t **out,
                                   const struct gqa_checkpoint *checkpoint)
{
    enum gqa_status st = GQA_OK;
    char *path;

    *out = NULL;
    if (!gqa_checkpoint_is_folder(checkpoint))
        return GQA_OK;
    path =
        gqa_path_join(gqa_checkpoint_folder(checkpoint), "adapter_config.json");
    if (!path)
        return gqa_fail_nomem();
    if (access(path, F_OK) == 0)
        st = gqa_json_load_file(out, path, MAX_BYTES);
    free(path);
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}
