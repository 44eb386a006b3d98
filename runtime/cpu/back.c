#include "runtime/cpu/back.h"

const struct gqa_gradient_ops gqa_cpu_gradients = {
    .widen = gqa_cpu_back_widen,
    .narrow = gqa_cpu_back_narrow,
    .add = gqa_cpu_back_add,
    .embed = gqa_cpu_back_embed,
    .turn = gqa_cpu_turn,
    .turn_back = gqa_cpu_back_turn,
    .attend = gqa_cpu_back_attend,
    .attend_back = gqa_cpu_back_attend_back,
    .norm_heads = gqa_cpu_back_norm_heads,
    .norm = gqa_cpu_back_norm,
    .linear_weight = gqa_cpu_back_linear_weight,
    .activate = gqa_cpu_back_activate,
    .clip = gqa_cpu_back_clip,
    .dot_rows = gqa_cpu_dot_rows,
    .loss = gqa_cpu_back_loss,
    .compare = gqa_cpu_compare,
    .squares = gqa_cpu_back_squares,
    .norm2 = gqa_cpu_back_norm2,
    .adamw = gqa_cpu_back_adamw,
    .adafactor = gqa_cpu_back_adafactor,
};
