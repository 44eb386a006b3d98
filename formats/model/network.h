/*
 * What a model computes, as data: stacks of blocks made of norms,
 * attentions and feed-forwards, each naming its weights by parameter index.
 * It is made from the model description of formats/ and its configuration;
 * no weights are read. Backends never see a family, only this.
 *
 * Source: the modelling code of Hugging Face transformers, whose results on
 * float64 tensors are the reference.
 */
#ifndef GQA_FORMATS_MODEL_NETWORK_H
#define GQA_FORMATS_MODEL_NETWORK_H

#include "common/functions.h"
#include "formats/model/model.h"

/* y = x W^T + b; W is [out, in], or [in, out] when input_major. */
struct gqa_linear {
    size_t weight, bias; /* param indices; weight GQA_NO_PARAM: no such part */
    bool input_major;
    /* W is a part of the weight: [rows, cols] behind `offset` elements, as
     * they lie in it. rows 0: it is the whole. */
    uint64_t offset, rows, cols;
    uint64_t bias_offset; /* elements of the bias before those of this part */
};

struct gqa_norm {
    enum gqa_norm_kind kind;
    size_t weight, bias; /* param indices, or GQA_NO_PARAM: 1 and 0 */
    double eps;
    bool one_plus; /* 1 + weight in place of weight (Gemma) */
};

/*
 * A sublayer f (an attention, a feed-forward) of the residual stream x:
 *
 *   y = output_norm(f(norm(x)));  x = after_norm(x + residual_scale * y)
 *
 * each norm of kind NONE where the model has none.
 */

/* Gate GQA_NO_PARAM: there is none. */
struct gqa_expert {
    struct gqa_linear gate, up, down;
};

/* How a router's logits choose experts. */
enum gqa_experts_choice {
    GQA_EXPERTS_SOFTMAX,     /* the largest, by their shares of the softmax */
    GQA_EXPERTS_SIGMOID,     /* likewise, each by its sigmoid (DeepSeek-V3) */
    GQA_EXPERTS_SPARSEMIXER, /* Phi-MoE's two (runtime/experts.h) */
};

/* For each row the sum of n_chosen experts of it, each times a weight, and of
 * the shared one, which all rows have. */
struct gqa_experts {
    uint64_t n, n_chosen;
    uint64_t capacity; /* tokens of a sequence that each takes; 0: all */
    enum gqa_experts_choice choice;
    bool normalised; /* weights of those that are chosen add up to 1 */
    double jitter;   /* of the sparse mixer */
    double scale;    /* times each weight; 0: 1 */
    /* Those of the n_best groups alone may be chosen whose two best add up to
     * most, of n_groups of as many each; 0 or 1: all. */
    uint64_t n_groups, n_best;
    struct gqa_linear router;
    /* Param of n numbers that are added to shares or sigmoids where experts are
     * chosen, and not to what these count; GQA_NO_PARAM: none. */
    size_t correction;
    struct gqa_expert *each;  /* [n] */
    struct gqa_expert shared; /* up GQA_NO_PARAM: none */
    /* The shared one times sigmoid(x); weight GQA_NO_PARAM: times 1. */
    struct gqa_linear shared_gate;
};

/* down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate; or experts
 * that do so, and then up, gate and down are GQA_NO_PARAM. */
struct gqa_feed_forward {
    struct gqa_norm norm, output_norm, after_norm;
    struct gqa_linear gate, up, down;
    struct gqa_experts *experts; /* owned by the network; NULL: none */
    enum gqa_activation activation;
    /* In its place where there is xIELU: params of one element, before
     * softplus (common/functions.h: positive, and negative less beta), and of
     * beta and eps. */
    bool has_xielu;
    size_t xielu[4];
    /* In its place where it is clamped SwiGLU: there is no gate, and what up
     * makes are pairs of a gate's outputs and its own (common/functions.h), so
     * that down reads half as many. */
    bool has_pairs;
    struct gqa_clamped_swiglu pairs;
    double residual_scale; /* 0: 1 */
};

/*
 * Rotation of the pair j at position p by p * frequency[j]; cos and sin are
 * multiplied by magnitude (yarn, longrope; else 1). n_pairs 0: no rotation.
 * rope.h tells the frequencies of a length.
 */
struct gqa_rope {
    uint64_t n_pairs;
    bool interleaved; /* pairs (2j, 2j + 1), not (j, j + n_pairs) */
    uint64_t first;   /* element of a head that these begin with */
    double magnitude, theta;
    double *frequency; /* n_pairs, owned by the network */
    /* Sequences of more than `context` tokens have others (0: none have):
     * those in `longer` (longrope), or, where it is NULL, those of a base
     * that grows by `growth` (dynamic). */
    uint64_t context;
    double *longer; /* n_pairs, owned by the network */
    double growth;
};

/* T5: a score's addend by head and bucket of the distance; buckets as in
 * T5Attention._relative_position_bucket, in float32 as there. */
struct gqa_relative_bias {
    size_t table; /* param [n_buckets, n_heads], or GQA_NO_PARAM: none */
    uint64_t n_buckets, max_distance;
    bool bidirectional;
};

/*
 * Keys and values beside those of tokens, which stand for `size` of them each
 * (LongT5): made, as theirs are, of rows, which are sums of their rows, normed.
 * A sequence has as many as fit into it whole, and the last one takes in what
 * is left over. All its queries see all of them; the bias is that of their
 * numbers' distance, a query's being that of the one it is in.
 */
struct gqa_summaries {
    uint64_t size; /* 0: there are none */
    struct gqa_norm norm;
    struct gqa_relative_bias bias; /* of layer 0 where layers share it */
};

struct gqa_attention_block {
    const struct gqa_attention *heads; /* lent by the model */
    struct gqa_norm norm, output_norm, after_norm;
    /* Distinct weights are projected once: k.weight may be q.weight. Where
     * heads lie in the outputs is in `heads`. */
    struct gqa_linear q, k, v, o;
    /* Before heads are rotated. Of each head by itself: width head_dim, the
     * same weights for all heads; or, with heads->full_norms, of all heads
     * together. */
    struct gqa_norm q_norm, k_norm;
    bool norms_turned;     /* or once they are rotated (HunYuan) */
    double residual_scale; /* 0: 1 */
    double scale;          /* of q . k */
    double soft_cap; /* a scaled score s is soft_cap * tanh(s / soft_cap); 0:
                        s as it is */
    /* Param [n_heads]: the softmax has one more score, which is the head's
     * number, and no value; GQA_NO_PARAM: it has not. */
    size_t sinks;
    double clip; /* queries, keys and values, normed and not rotated yet, are
                    within it; 0: as they are */
    bool causal;
    uint64_t window; /* a query sees itself and window - 1 keys before it; 0:
                        all */
    const struct gqa_rope *rope;   /* NULL: none; lent by the network */
    struct gqa_relative_bias bias; /* of layer 0 where layers share it */
    /* Only keys that are at most so far away, on either side, are seen, where
     * it is not 0: a bias by distance says so, of its own where there is no
     * other (LongT5, ModernBERT). */
    uint64_t within;
    struct gqa_summaries summaries; /* of an encoder */
    /* ALiBi: a score's addend is -slopes[h] * |distance|. [n_heads], owned
     * by the network; layers may share it. NULL: none, as where bias has a
     * table. */
    const double *slopes;
};

struct gqa_block {
    struct gqa_attention_block self;
    bool has_cross;
    struct gqa_attention_block cross;
    struct gqa_feed_forward ff;
    /* x + attention(self.norm(x)) + ff(ff.norm(x)), not one after the other;
     * output norms are as ever, and only ff.after_norm may be. */
    bool parallel;
    bool shared_norm; /* and the feed-forward reads self.norm(x) */
    /* Not 0: n * normed_scale + f(n) in place of x + f(n), n being norm(x), of
     * attention and feed-forward one after the other. */
    double normed_scale;
};

/*
 * Positions that are computed: of row p, element i of the first half is
 * sin(p f(i)), of the second cos(p f(i)), with half = d_model / 2.
 */
enum gqa_sinusoids {
    GQA_SINUSOIDS_NONE,
    GQA_SINUSOIDS_MARIAN,        /* f(i) = 10000^(-i / half) */
    GQA_SINUSOIDS_TENSOR2TENSOR, /* f(i) = 10000^(-i / (half - 1)) */
    GQA_SINUSOIDS_MUSICGEN,      /* the same, cosines before sines */
};

/*
 * A convolution over time: with n = kernel / 2, of frame t
 *
 *   y[i] = bias[i] + sum over c and j of W[i, c, j] x[stride t + j - n, c]
 *
 * where what lies beyond an end is 0, and then gelu(y), or of halves of y
 * first * sigmoid(second).
 */
struct gqa_convolution {
    struct gqa_linear linear; /* [outputs, inputs * kernel] */
    uint64_t inputs, kernel, stride;
    bool gated;
};

enum { GQA_MAX_CONVOLUTIONS = 4 };

/*
 * What a stack reads that reads no tokens: a token stands for a position, and
 * its number for `per_position` frames, which are drawn by it (runtime/frames.h
 * says how) and become that position's row.
 */
struct gqa_frames {
    uint64_t width;        /* of a frame; 0: the stack reads tokens */
    uint64_t per_position; /* product of the strides */
    struct gqa_convolution convolutions[GQA_MAX_CONVOLUTIONS];
    size_t n_convolutions; /* 0: a frame is the row */
};

enum { GQA_MAX_PLACES = 4 };

struct gqa_network_stack {
    enum gqa_stack stack;
    struct gqa_frames frames; /* or, where its width is 0: */
    size_t embedding;         /* param [vocab, d_model] */
    /* Further tables, whose rows of the same token are added (MusicGen, whose
     * codes of one position are all the same here). */
    size_t *codes; /* [n_codes], owned by the network */
    size_t n_codes;
    size_t positions; /* param [n_rows, d_model] added, or GQA_NO_PARAM */
    enum gqa_sinusoids sinusoids; /* or these; one of both is none */
    uint64_t position_offset;     /* position p's row is p + position_offset */
    uint64_t zero_row;    /* of sinusoids: the row that is 0, or UINT64_MAX */
    uint64_t n_positions; /* there are rows for so many; 0: nothing is added */
    /* Tables whose first row each token has, too: a place on a page, which is
     * the same for all (UDOP). */
    size_t places[GQA_MAX_PLACES];
    size_t n_places;
    /* Not 0: the embedding is so wide, and the stream what this makes of it,
     * before positions are added (OPT-350m), or of all below, normed, which are
     * no wider than it, nor than the stream (ALBERT). */
    uint64_t embedding_width;
    struct gqa_linear widened;
    bool widened_behind;
    /* x = embedding_norm(embedding * embedding_scale + positions + places),
     * codes being further embeddings. The scale is rounded to the type of the
     * activations, as Gemma rounds it. */
    double embedding_scale;
    struct gqa_norm embedding_norm;
    bool norm_first; /* of the embedding alone: positions are added behind */
    /* Owned by the network. Layers that run several times are as many. */
    struct gqa_block *blocks;
    size_t n_blocks;
    struct gqa_norm final_norm;
};

struct gqa_network {
    const struct gqa_model *model; /* lent; must outlive the network */
    /* Encoder, then decoder, or one of both. Of a decoder that looks back at
     * what another model makes, the encoder is frames alone, without blocks. */
    struct gqa_network_stack stacks[2];
    size_t n_stacks;
    /* What comes of a token: logits of vocab_size tokens; or, of a model that
     * makes none (an encoder alone, a classifier), the last stack's row behind
     * its norm, which is what a head of its own reads. */
    bool has_logits;
    uint64_t n_outputs; /* vocab_size or d_model */
    /* The embedding where it has none; weight GQA_NO_PARAM: no logits. */
    struct gqa_linear unembedding;
    double logit_scale; /* of the final norm's output */
    /* Not 0: the unembedding reads so wide what this makes of that. */
    uint64_t logit_width;
    struct gqa_linear narrowed;
    /* Before that the final norm's output x becomes norm(act(transform x)). */
    bool transforms;
    struct gqa_linear transform;
    enum gqa_activation transform_activation;
    struct gqa_norm transform_norm;
    uint64_t d_model, vocab_size;
    uint64_t table_size;    /* tokens that are read: not less than vocab_size */
    uint64_t memory_width;  /* of what the decoder looks back at; 0: nothing */
    double logit_soft_cap;  /* as an attention's, of logits; 0: none */
    uint64_t max_positions; /* the fewest of a stack's n_positions; 0: no
                               such limit */
    int64_t start_token;    /* what a decoder (or text) begins with */
    int64_t end_token, pad_token; /* -1: none */
    struct gqa_rope rope;
    struct gqa_rope local_rope; /* of layers that slide, where it differs */
    double *slopes;             /* of ALiBi: [n_heads], owned; NULL: none */
};

/*
 * Errors GQA_ERR_UNSUPPORTED: names what cannot be run (a family, an
 * activation, a RoPE variant); GQA_ERR_FORMAT: a parameter that the family
 * needs is missing or misshapen, or a key of the configuration is bad.
 */
GQA_MUST_USE
enum gqa_status gqa_network_create(struct gqa_network **out,
                                   const struct gqa_model *model);
void gqa_network_free(struct gqa_network *network);

/* Whether it has an encoder and no decoder: tokens see those behind them, so
 * that a sequence is run all at once, and nothing of it is kept for more. */
bool gqa_network_is_encoder(const struct gqa_network *network);

/* Whether layers run several times. */
bool gqa_network_repeats(const struct gqa_network *network);

/* Whether the stack is looked back at by another: an encoder beside a
 * decoder. */
bool gqa_network_is_input(const struct gqa_network *network,
                          const struct gqa_network_stack *stack);

/* The widest row of a stream between blocks, behind an encoder, or of an
 * embedding before it is one. */
uint64_t gqa_network_row_width(const struct gqa_network *network);

#endif
