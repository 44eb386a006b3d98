#include "changed_config.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "scratch.h"

const char *changed_config(const char *fixture, const char *key,
                           const char *value)
{
    char path[256], outer[64];
    json_t *config = NULL, *at, *put;
    char *text;
    const char *dot = strchr(key, '.');
    const char *written;

    snprintf(path, sizeof path, "%s/config.json", fixture);
    ck_assert_int_eq(
        gqa_json_load_file(&config, test_data(path), (size_t)1 << 20), GQA_OK);
    at = config;
    if (dot) {
        snprintf(outer, sizeof outer, "%.*s", (int)(dot - key), key);
        at = json_object_get(config, outer);
        ck_assert_msg(json_is_object(at), "%s has no %s", fixture, outer);
        key = dot + 1;
    }
    put = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    if (put)
        json_object_set_new(at, key, put);
    else
        json_object_del(at, key);
    text = json_dumps(config, 0);
    written = scratch_write_text("config.json", text);
    free(text);
    json_decref(config);
    return written;
}
