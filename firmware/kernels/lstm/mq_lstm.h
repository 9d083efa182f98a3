/* LSTM layer, `steps` steps over `batch` sequences in one or two directions. In reals, for step t with states h and c:
 *
 *   i = f(clip(W_i x_t + R_i h + P_i c + b_i))
 *   k = f(clip(W_f x_t + R_f h + P_f c + b_f))         the forget gate; 1 - i with `input_forget`
 *   g = g(clip(W_c x_t + R_c h + b_c))
 *   c = k c + i g
 *   o = f(clip(W_o x_t + R_o h + P_o c + b_o))         with the new c
 *   h = o h(c),  y_t = h
 *
 * x: [steps, batch, inputs]            y: [steps, directions, batch, units], or NULL
 * w: [directions, 4, units, inputs], r: [directions, 4, units, units], b: [directions, 4, units]; gates i, o, f, c
 * peephole: [directions, 3, units], gates i, o, f          h, c: [directions, batch, units], updated in place
 * next: room for `units` values. Nothing overlaps.
 *
 * The first direction runs from the first step to the last, or backwards if `reverse`; the second runs backwards.
 * Sequence n has lengths[n] steps (all, where lengths is NULL); y is 0 beyond them.
 *
 *   f32, f16       arithmetic in f32; b (f32) and peephole may be NULL; clip is infinite for none. f16: c is stored in
 *                  f16, its tanh is taken before rounding. Functions f, g, h and those of the second direction are
 *                  mq_fn_*; parameters: [directions, 3, 2].
 *   s8             x s8, w and r s8 per row, h s8 with scale 1/127, c s16 with scale 2^(cell_bits - 15), y as h.
 *   s16            x s16, w and r s8 per row, h Q15, c as above, y as h.
 *   s16s16         the same with s16 weights, wide_bias, and 64-bit accumulators that are rounded to 32 bits by
 * x_narrow and h_narrow bits before they are requantised.
 *
 *     sum[q]  = requantise(bias[q] + w[q] . x, x_multiplier[q], x_shift[q]) + requantise(r[q] . h, h_multiplier[q],
 * ...) (the zero point of x is folded into bias; bias holds both biases of ONNX) i, k, o = mq_gate(sum, sigmoid_clip,
 * sigmoid_table), g = mq_gate(sum, tanh_clip, tanh_table); k = 2^15 - i with input_forget Q15 c'      = sat_s16(rshr(k
 * c + rshr(i g, cell_bits), 15)): 32 bits wide, as k + i |g| <= 2^16 and |c| <= 2^15 h'      = o *
 * tanh_table(sat_s16(rshr(2 c', 4 - cell_bits)))      Q30, then to s8 by 127 / 2^30, to s16 by 2^-15
 *
 *   cell_bits is in [0, 4]: |c| < 2^cell_bits, saturating. Beyond 8, tanh(c) is 1 in Q15.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LSTM_H
#define MQ_LSTM_H

#include "mq_base.h"

typedef struct {
    uint32_t steps;
    uint32_t batch;
    uint32_t inputs;
    uint32_t units;
    uint32_t directions;
    uint32_t reverse;
    const int32_t *lengths;
    uint32_t input_forget;
    float clip;
    float (*f)(float x, const float *parameters);
    float (*g)(float x, const float *parameters);
    float (*h)(float x, const float *parameters);
    float (*f_second)(float x, const float *parameters);
    float (*g_second)(float x, const float *parameters);
    float (*h_second)(float x, const float *parameters);
    const float *parameters;
} mq_lstm_float_params;

typedef struct {
    uint32_t steps;
    uint32_t batch;
    uint32_t inputs;
    uint32_t units;
    uint32_t directions;
    uint32_t reverse;
    const int32_t *lengths;
    uint32_t input_forget;
    const int32_t *bias;
    const int64_t *wide_bias;
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
    int32_t cell_bits;
} mq_lstm_params;

void mq_lstm_f32(const float *x, const float *w, const float *r, const float *b, const float *peephole, float *h,
                 float *c, float *y, float *next, const mq_lstm_float_params *p);
void mq_lstm_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *peephole, mq_f16 *h,
                 mq_f16 *c, mq_f16 *y, mq_f16 *next, const mq_lstm_float_params *p);
void mq_lstm_s8(const int8_t *x, const int8_t *w, const int8_t *r, int8_t *h, int16_t *c, int8_t *y, int8_t *next,
                const mq_lstm_params *p);
void mq_lstm_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *c, int16_t *y, int16_t *next,
                 const mq_lstm_params *p);
void mq_lstm_s16s16(const int16_t *x, const int16_t *w, const int16_t *r, int16_t *h, int16_t *c, int16_t *y,
                    int16_t *next, const mq_lstm_params *p);

#endif
