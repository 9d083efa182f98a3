/* Simple recurrent layer, `steps` steps over `batch` sequences in one or two directions. In reals, for step t:
 *
 *   h = f(clip(W x_t + R h + b)),  y_t = h
 *
 * x: [steps, batch, inputs]            y: [steps, directions, batch, units], or NULL
 * w: [directions, units, inputs], r: [directions, units, units], b: [directions, units]
 * h: [directions, batch, units], updated in place          next: room for `units` values. Nothing overlaps.
 *
 * The first direction runs from the first step to the last, or backwards if `reverse`; the second runs backwards.
 * Sequence n has lengths[n] steps (all, where lengths is NULL); y is 0 beyond them.
 *
 *   f32, f16  arithmetic in f32; b (f32) may be NULL; clip is infinite for none. f and f_second are mq_fn_*;
 *             parameters: [directions, 2]. usual: f is tanh in all directions: a kernel may compute it by itself.
 *             f16 for Helium multiplies in f16.
 *   w8_f32, w8_f16  the same with w and r in s8, whose rows are multiplied by x_scale and h_scale, laid out as b
 *   s8        f is tanh; x s8; w and r s8, per row; h and y s8 with scale 1/127.
 *   s16_s8    as s8, but x s16.
 *   s16       f is tanh; x s16; w and r s8, per row; h and y Q15.
 *   s16s16    the same with s16 weights and wide biases; 64-bit accumulators are rounded to 32 bits by x_narrow and
 *             h_narrow bits before they are requantised.
 *
 * The integer kernels, for row q:
 *
 *   sum[q] = requantise(bias[q] + w[q] . x, x_multiplier[q], x_shift[q])
 *            + requantise(r[q] . h, h_multiplier[q], h_shift[q])
 *            with the zero point of x and both biases of ONNX folded into bias
 *   h      = mq_gate(sum, tanh_clip, tanh_table), in Q15; stored as h * 127 / 2^15 in s8
 *
 * mq_fn_affine, mq_fn_scaled_tanh: activation functions that ONNX has in recurrent layers only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_RNN_H
#define MQ_RNN_H

#include "mq_base.h"

typedef struct {
    uint32_t steps;
    uint32_t batch;
    uint32_t inputs;
    uint32_t units;
    uint32_t directions;
    uint32_t reverse;
    const int32_t *lengths;
    float clip;
    float (*f)(float x, const float *parameters);
    float (*f_second)(float x, const float *parameters);
    const float *parameters;
    uint32_t usual;
} mq_rnn_float_params;

typedef struct {
    uint32_t steps;
    uint32_t batch;
    uint32_t inputs;
    uint32_t units;
    uint32_t directions;
    uint32_t reverse;
    const int32_t *lengths;
    const int32_t *bias;
    const int64_t *wide_bias;
    int32_t x_narrow;
    int32_t h_narrow;
    const int32_t *x_multiplier;
    const int8_t *x_shift;
    const int32_t *h_multiplier;
    const int8_t *h_shift;
    const int16_t *tanh_table;
    int32_t tanh_clip;
} mq_rnn_params;

void mq_rnn_f32(const float *x, const float *w, const float *r, const float *b, float *h, float *y, float *next,
                const mq_rnn_float_params *p);
void mq_rnn_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, mq_f16 *h, mq_f16 *y, mq_f16 *next,
                const mq_rnn_float_params *p);
void mq_rnn_w8_f32(const float *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                   const float *b, float *h, float *y, float *next, const mq_rnn_float_params *p);
void mq_rnn_w8_f16(const mq_f16 *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                   const float *b, mq_f16 *h, mq_f16 *y, mq_f16 *next, const mq_rnn_float_params *p);
void mq_rnn_s8(const int8_t *x, const int8_t *w, const int8_t *r, int8_t *h, int8_t *y, int8_t *next,
               const mq_rnn_params *p);
void mq_rnn_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int8_t *h, int8_t *y, int8_t *next,
                   const mq_rnn_params *p);
void mq_rnn_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *y, int16_t *next,
                const mq_rnn_params *p);
void mq_rnn_s16s16(const int16_t *x, const int16_t *w, const int16_t *r, int16_t *h, int16_t *y, int16_t *next,
                   const mq_rnn_params *p);

float mq_fn_affine(float x, const float *parameters);      /* p[0] x + p[1] */
float mq_fn_scaled_tanh(float x, const float *parameters); /* p[0] tanh(p[1] x) */

#endif
