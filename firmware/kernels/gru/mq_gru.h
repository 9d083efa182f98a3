/* GRU layer, `steps` steps over `batch` sequences in one or two directions. In reals, for step t with the state h:
 *
 *   z = f(clip(W_z x_t + R_z h + b_z)),  r = f(clip(W_r x_t + R_r h + b_r))
 *   n = g(clip(W_n x_t + b_n + r (R_n h + e)))         with linear_before_reset
 *   n = g(clip(W_n x_t + b_n + R_n (r h)))             without
 *   h = z h + (1 - z) n,  y_t = h
 *
 * x: [steps, batch, inputs]            y: [steps, directions, batch, units], or NULL
 * w: [directions, 3, units, inputs], r: [directions, 3, units, units], b: [directions, 3, units]; gates z, r, n
 * e: [directions, units], with linear_before_reset only    h: [directions, batch, units], updated in place
 * next: room for `units` values, twice as many without linear_before_reset (s8: never). Nothing overlaps.
 *
 * The first direction runs from the first step to the last, or backwards if `reverse`; the second runs backwards.
 * Sequence n has lengths[n] steps (all, where lengths is NULL); y is 0 beyond them.
 *
 *   f32, f16  arithmetic in f32; b and e (f32) may be NULL; clip is infinite for none. f, g and those of the second
 *             direction are mq_fn_*; parameters: [directions, 2, 2]. usual: f is the sigmoid and g is tanh, in all
 *             directions: a kernel may compute these by itself. f16 for Helium multiplies in f16.
 *   w8_f32, w8_f16  the same with w and r in s8, whose rows are multiplied by x_scale and h_scale, laid out as b
 *   s8        x s8; w and r s8, per row; h Q15, because it is a memory that changes by small steps. R reads a copy of
 *             it in s8 with scale 1/127, which is also y. copies: room for `units` such values, twice as many without
 *             linear_before_reset.
 *   s8_frame  as s8, with the scale of x in x_scale[0], found for this frame: x_multiplier and x_shift leave it out,
 * bias holds no more than the zero point of x folded in, and x_bias[q] is added at the scale of the sums: x[q] =
 * limit(requantise(bias[q] + w[q] . x, x_multiplier[q] x_scale), 2^29) + x_bias[q], |x_bias| <= 2^28 s16_s8    as s8,
 * but x s16. s16       x s16; w and r s8, per row; h and y Q15. s16s16    the same with s16 weights and wide biases;
 * 64-bit accumulators are rounded to 32 bits by x_narrow and h_narrow bits before they are requantised.
 *
 * The integer kernels, for row q = (gate, unit):
 *
 *   x[q]  = requantise(bias[q] + w[q] . x, x_multiplier[q], x_shift[q]), with the zero point of x folded into bias
 *   h[q]  = requantise(r[q] . h, h_multiplier[q], h_shift[q])
 *   z, r  = mq_gate(x[q] + h[q], sigmoid_clip, sigmoid_table), in Q15
 *   n     = mq_gate(x[q] + inner, tanh_clip, tanh_table), in Q15
 *           inner = mulhr(requantise(e + r[q] . h, h_multiplier[q], h_shift[q]), 2^16 r) with linear_before_reset,
 *           where the multiplier of these rows gives one bit more; else requantise(r[q] . (r h), ...), r h as h
 *   h     = rshr(z * h + (2^15 - z) * n, 15)
 *           within 32 bits, and never outside of the old h and n
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_GRU_H
#define MQ_GRU_H

#include "mq_base.h"

typedef struct {
    uint32_t steps;
    uint32_t batch;
    uint32_t inputs;
    uint32_t units;
    uint32_t directions;
    uint32_t reverse;
    const int32_t *lengths;
    uint32_t linear_before_reset;
    float clip;
    float (*f)(float x, const float *parameters);
    float (*g)(float x, const float *parameters);
    float (*f_second)(float x, const float *parameters);
    float (*g_second)(float x, const float *parameters);
    const float *parameters;
    uint32_t usual;
} mq_gru_float_params;

typedef struct {
    uint32_t steps;
    uint32_t batch;
    uint32_t inputs;
    uint32_t units;
    uint32_t directions;
    uint32_t reverse;
    const int32_t *lengths;
    uint32_t linear_before_reset;
    const int32_t *bias;
    const int64_t *wide_bias;
    const int32_t *e;
    const int64_t *wide_e;
    int32_t x_narrow;
    int32_t h_narrow;
    const int32_t *x_multiplier;
    const int8_t *x_shift;
    const int32_t *h_multiplier;
    const int8_t *h_shift;
    const int16_t *sigmoid_table;
    const int16_t *tanh_table;
    int32_t sigmoid_clip;
    int32_t tanh_clip;
} mq_gru_params;

void mq_gru_f32(const float *x, const float *w, const float *r, const float *b, const float *e, float *h, float *y,
                float *next, const mq_gru_float_params *p);
void mq_gru_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *e, mq_f16 *h, mq_f16 *y,
                mq_f16 *next, const mq_gru_float_params *p);
void mq_gru_w8_f32(const float *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                   const float *b, const float *e, float *h, float *y, float *next, const mq_gru_float_params *p);
void mq_gru_w8_f16(const mq_f16 *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                   const float *b, const float *e, mq_f16 *h, mq_f16 *y, mq_f16 *next, const mq_gru_float_params *p);
void mq_gru_s8(const int8_t *x, const int8_t *w, const int8_t *r, int16_t *h, int8_t *y, int16_t *next, int8_t *copies,
               const mq_gru_params *p);
void mq_gru_s8_frame(const int8_t *x, const float *x_scale, const int8_t *w, const int8_t *r, const int32_t *x_bias,
                     int16_t *h, int8_t *y, int16_t *next, int8_t *copies, const mq_gru_params *p);
void mq_gru_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int8_t *y, int16_t *next,
                   int8_t *copies, const mq_gru_params *p);
void mq_gru_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *y, int16_t *next,
                const mq_gru_params *p);
void mq_gru_s16s16(const int16_t *x, const int16_t *w, const int16_t *r, int16_t *h, int16_t *y, int16_t *next,
                   const mq_gru_params *p);

#endif
