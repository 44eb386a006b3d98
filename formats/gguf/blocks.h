/*
 * What blocks of quantised weights stand for, as ggml has it: numbers that are
 * rounded to float32 once.
 */
#ifndef GQA_FORMATS_GGUF_BLOCKS_H
#define GQA_FORMATS_GGUF_BLOCKS_H

/* 32 elements: of 34, 18, 20, 22 and 24 bytes. */
void gqa_gguf_decode_q8_0(float *out, const unsigned char *block);
void gqa_gguf_decode_q4_0(float *out, const unsigned char *block);
void gqa_gguf_decode_q4_1(float *out, const unsigned char *block);
void gqa_gguf_decode_q5_0(float *out, const unsigned char *block);
void gqa_gguf_decode_q5_1(float *out, const unsigned char *block);

/* 256 elements: of 84, 110, 144, 176 and 210 bytes. */
void gqa_gguf_decode_q2_k(float *out, const unsigned char *block);
void gqa_gguf_decode_q3_k(float *out, const unsigned char *block);
void gqa_gguf_decode_q4_k(float *out, const unsigned char *block);
void gqa_gguf_decode_q5_k(float *out, const unsigned char *block);
void gqa_gguf_decode_q6_k(float *out, const unsigned char *block);

#endif
