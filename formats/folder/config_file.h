/* The configuration of a checkpoint: config.json and where it lies. */
#ifndef GQA_FORMATS_FOLDER_CONFIG_FILE_H
#define GQA_FORMATS_FOLDER_CONFIG_FILE_H

#include <jansson.h>

#include "common/status.h"

/*
 * Load what --config names: a file, or a folder that holds config.json.
 *
 * config, path  receive the object and where it came from; the caller owns
 *               both.
 * Errors GQA_ERR_IO, GQA_ERR_NOMEM; GQA_ERR_FORMAT: not JSON, not an object.
 *        The message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_config_load(json_t **config, char **path,
                                const char *config_path);

/* As above for folder/config.json; where there is none, both stay NULL. */
GQA_MUST_USE
enum gqa_status gqa_config_find(json_t **config, char **path,
                                const char *folder);

#endif
