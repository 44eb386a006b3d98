#include "formats/families/remote_code.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "common/strings.h"

bool gqa_is_identifier(const char *text)
{
    return *text && !isdigit((unsigned char)*text) &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789_")];
}

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

bool gqa_remote_code_is_file(const char *name)
{
    return begins_with(name, GQA_REMOTE_CODE_MODULE) &&
           gqa_has_ending(name, ".py");
}

void gqa_remote_code_supersede(json_t *config)
{
    json_t *map = json_object_get(config, "auto_map");
    const char *loader;
    json_t *class;
    void *next;

    json_object_foreach_safe(map, next, loader, class)
    {
        if (strcmp(loader, "AutoConfig") == 0 ||
            begins_with(loader, "AutoModel"))
            json_object_del(map, loader);
    }
    if (json_object_size(map) == 0)
        json_object_del(config, "auto_map");
}

static bool is_ours(const json_t *class)
{
    return json_is_string(class) &&
           begins_with(json_string_value(class), GQA_REMOTE_CODE_MODULE);
}

const char *gqa_remote_code_class(const json_t *config)
{
    const char *loader;
    json_t *class;

    json_object_foreach(json_object_get(config, "auto_map"), loader, class)
    {
        if (is_ours(class))
            return json_string_value(class);
    }
    return NULL;
}

static void forget_classes(json_t *map)
{
    const char *loader;
    json_t *class;
    void *next;

    json_object_foreach_safe(map, next, loader, class)
    {
        if (is_ours(class))
            json_object_del(map, loader);
    }
}

static void name_stock_classes(json_t *architectures)
{
    json_t *class;
    size_t i;

    json_array_foreach(architectures, i, class)
    {
        const char *name = json_string_value(class);

        if (name && begins_with(name, GQA_REMOTE_CODE_CLASS))
            json_array_set_new(
                architectures, i,
                json_string(name + strlen(GQA_REMOTE_CODE_CLASS)));
    }
}

/* Numbers by kind, and nothing else. */
static bool are_heads(const json_t *heads)
{
    const char *kind;
    json_t *n;

    json_object_foreach((json_t *)(uintptr_t)heads, kind, n)
    {
        if (strcmp(kind, "encoder") != 0 && strcmp(kind, "self") != 0 &&
            strcmp(kind, "cross") != 0)
            return false;
    }
    return json_is_object(heads);
}

void gqa_remote_code_forget(json_t *config)
{
    json_t *map = json_object_get(config, "auto_map");

    if (are_heads(json_object_get(config, GQA_REMOTE_CODE_HEADS)))
        json_object_del(config, GQA_REMOTE_CODE_HEADS);
    if (!gqa_remote_code_class(config))
        return;
    forget_classes(map);
    if (json_object_size(map) == 0)
        json_object_del(config, "auto_map");
    name_stock_classes(json_object_get(config, "architectures"));
}

const char *gqa_remote_code_kind(enum gqa_stack stack,
                                 enum gqa_attention_kind kind)
{
    if (stack == GQA_STACK_ENCODER)
        return "encoder";
    return kind == GQA_ATTENTION_CROSS ? "cross" : "self";
}
