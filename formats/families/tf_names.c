/*
 * TensorFlow names and orientation of transformers' TF classes, turned into
 * those of its PyTorch classes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strings.h"
#include "formats/model/params.h"

/* How much of a part of a path stands for TensorFlow alone: "mlm___cls/" is
 * PyTorch's "cls". */
static size_t own_words(const char *part)
{
    const char *end = strchr(part, '/');
    size_t n = 0;

    for (const char *p = part; end && (p = strstr(p, "___")) && p < end; p++)
        n = (size_t)(p - part) + 3;
    return n;
}

/* "h_._0/attn/c_attn/weight:0" -> "h.0.attn.c_attn.weight", in place. */
static void rename_path(char *name)
{
    const size_t n = strlen(name);
    char *to = name;

    if (gqa_ends_with(name, ":0"))
        name[n - 2] = '\0';
    for (const char *from = name; *from;) {
        if (from == name || from[-1] == '/')
            from += own_words(from);
        if (strncmp(from, "_._", 3) == 0) {
            *to++ = '.';
            from += 3;
        } else {
            *to++ = *from == '/' ? '.' : *from;
            from++;
        }
    }
    *to = '\0';
}

/* Replace a Keras variable's own name by PyTorch's; out: room for more. */
static void rename_leaf(char *name)
{
    static const struct {
        const char *tf, *torch;
    } leaves[] = {
        {"kernel", "weight"},
        {"embeddings", "weight"},
        {"gamma", "weight"},
        {"beta", "bias"},
    };
    char *leaf = strrchr(name, '.');

    leaf = leaf ? leaf + 1 : name;
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (strcmp(leaf, leaves[i].tf) == 0) {
            /* "gamma" is shorter than "weight": callers leave a byte. */
            strcpy(leaf, leaves[i].torch);
            return;
        }
}

/* [inputs, outputs] to [outputs, inputs]; of a convolution [places, inputs,
 * outputs] to [outputs, inputs, places], where places may be two axes. */
static void turn_kernel(struct gqa_param *param,
                        const struct gqa_tensor *tensor)
{
    const unsigned n_axes = tensor->rank - 2; /* of places */
    struct gqa_view *view = &param->parts[0];

    param->shape[0] = tensor->shape[tensor->rank - 1];
    param->shape[1] = tensor->shape[tensor->rank - 2];
    for (unsigned i = 0; i < n_axes; i++)
        param->shape[2 + i] = tensor->shape[i];
    param->rows = param->shape[0];
    param->cols = param->rows ? param->n_elements / param->rows : 0;
    *view = (struct gqa_view){.tensor = view->tensor,
                              .rows = param->rows,
                              .cols = param->cols,
                              .transposed = true};
    if (n_axes > 0 && param->cols > 0)
        view->places = param->cols / param->shape[1];
}

static enum gqa_status add(struct gqa_params *params,
                           const struct gqa_tensor *tensor, size_t index)
{
    const size_t room = strlen(tensor->name) + sizeof "weight";
    struct gqa_tensor shaped = *tensor;
    enum gqa_status st;
    char *name = malloc(room);
    bool is_kernel;

    if (!name)
        return gqa_fail_nomem();
    strcpy(name, tensor->name);
    rename_path(name);
    is_kernel = gqa_ends_with(name, ".kernel");
    rename_leaf(name);
    if (is_kernel && tensor->rank > 4) {
        st = gqa_fail(GQA_ERR_UNSUPPORTED,
                      "tensor '%s': a TensorFlow kernel of %u dimensions is "
                      "not handled",
                      tensor->name, tensor->rank);
        goto done;
    }
    /* Conv1D keeps its bias as one row. */
    if (tensor->rank == 2 && tensor->shape[0] == 1 &&
        gqa_ends_with(name, ".bias")) {
        shaped.rank = 1;
        shaped.shape[0] = tensor->shape[1];
    }
    /* A number is a vector of one there. */
    if (tensor->rank == 1 && tensor->shape[0] == 1 &&
        gqa_ends_with(name, "logit_scale"))
        shaped.rank = 0;
    if ((st = gqa_params_add_tensor(params, name, &shaped, index)) != GQA_OK)
        goto done;
    if (is_kernel && tensor->rank >= 2)
        turn_kernel(&params->items[params->n - 1], tensor);
done:
    free(name);
    return st;
}

enum gqa_status gqa_params_from_tf(struct gqa_params *params,
                                   const struct gqa_checkpoint *checkpoint)
{
    const size_t n = gqa_checkpoint_n_tensors(checkpoint);

    for (size_t i = 0; i < n; i++) {
        const enum gqa_status st =
            add(params, gqa_checkpoint_tensor(checkpoint, i), i);

        if (st != GQA_OK)
            return st;
    }
    return gqa_params_finish(params);
}
