#include "inspect/json_values.h"

#include <math.h>

#include "common/json.h"

json_t *gqa_json_make_text(const char *text)
{
    return text ? gqa_json_text(text) : json_null();
}

json_t *gqa_json_make_count(uint64_t n)
{
    return n <= INT64_MAX ? json_integer((json_int_t)n) : json_real((double)n);
}

json_t *gqa_json_make_real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *gqa_json_make_attention_key(const struct gqa_attention *a)
{
    json_t *object = json_object();

    json_object_set_new(object, "stack", json_string(gqa_stack_name(a->stack)));
    json_object_set_new(object, "kind",
                        json_string(gqa_attention_kind_name(a->kind)));
    json_object_set_new(object, "layer", gqa_json_make_count(a->layer));
    return object;
}
