/* The table of the operations of gradients.h. */
#include "runtime/cuda/back.cuh"

/* By name, as backend.cu's. */
static constexpr struct gqa_gradient_ops make_gradients(void)
{
    struct gqa_gradient_ops g = {};

    g.widen = gqa_cuda_widen;
    g.narrow = gqa_cuda_narrow;
    g.add = gqa_cuda_add;
    g.embed = gqa_cuda_embed_back;
    g.turn = gqa_cuda_turn;
    g.project = gqa_cuda_project;
    g.turn_back = gqa_cuda_turn_back;
    g.attend_back = gqa_cuda_attend_back;
    g.sink = gqa_cuda_sink_back;
    g.sum_pieces = gqa_cuda_sum_pieces_back;
    g.norm_heads = gqa_cuda_norm_heads_back;
    g.norm = gqa_cuda_norm_back;
    g.linear_weight = gqa_cuda_linear_weight;
    g.activate = gqa_cuda_activate_back;
    g.xielu = gqa_cuda_xielu_back;
    g.swiglu_pairs = gqa_cuda_swiglu_pairs_back;
    g.clip = gqa_cuda_clip_back;
    g.dot_rows = gqa_cuda_dot_rows;
    g.loss = gqa_cuda_loss;
    g.compare = gqa_cuda_compare;
    g.squares = gqa_cuda_squares;
    g.norm2 = gqa_cuda_norm2;
    g.adamw = gqa_cuda_adamw;
    g.adafactor = gqa_cuda_adafactor;
    return g;
}

extern const struct gqa_gradient_ops gqa_cuda_gradients = make_gradients();
