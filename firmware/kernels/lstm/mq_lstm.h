/* LSTM layer, `steps` steps over `batch` sequences in one or two directions. In reals, for step t with states h and c:
 *
 *   input  = f(clip(W_i x_t + R_i h + P_i c + b_i))
 *   forget = f(clip(W_f x_t + R_f h + P_f c + b_f)), or 1 - input with `input_forget`
 *   cell   = g(clip(W_c x_t + R_c h + b_c))
 *   c      = forget c + input cell
 *   output = f(clip(W_o x_t + R_o h + P_o c + b_o)), with the new c
 *   h      = output h(c),  y_t = h
 *
 * x: [steps, batch, inputs]            y: [steps, directions, batch, units], or NULL
 * w: [directions, 4, units, inputs], r: [directions, 4, units, units], b: [directions, 4, units]; gates i, o, f, c
 * peephole: [directions, 3, units], gates i, o, f          h, c: [directions, batch, units], updated in place
 * next: room for `units` values. Nothing overlaps.
 *
 * The first direction runs from the first step to the last, or backwards if `reverse`; the second runs backwards.
 * Sequence n has lengths[n] steps (all, where lengths is NULL); y is 0 beyond them.
 *
 *   f32, f16  arithmetic in f32; b and peephole (f32) may be NULL; clip is infinite for none. In f16, h is made of the
 *             new c before that is rounded. f, g, h and those of the second direction are mq_fn_*; parameters:
 *             [directions, 3, 2]. usual: f is the sigmoid, g and h are tanh, in all directions: a kernel may compute
 *             these by itself. f16 for Helium multiplies in f16.
 *   w8_f32, w8_f16  the same with w and r in s8, whose rows are multiplied by x_scale and h_scale, laid out as b
 *   s8        x s8; w and r s8, per row; h s8 with scale 1/127; c s16 with scale 2^(cell_bits - 15); y as h.
 *   s8_frame  as s8, with the scale of x in x_scale[0], found for this frame: x_multiplier and x_shift leave it out,
 * bias holds no more than the zero point of x folded in, and x_bias[q] is added at the scale of the sums: the first
 * part of sum[q] = limit(requantise(bias[q] + w[q] . x, x_multiplier[q] x_scale), 2^29) + x_bias[q], |x_bias| <= 2^28
 *   s16_s8    as s8, but x s16: features with a heavy tail, such as magnitudes, lose too much in 8 bits.
 *   s16       x s16; w and r s8, per row; h Q15; c as above; y as h.
 *   s16s16    the same with s16 weights and wide biases; 64-bit accumulators are rounded to 32 bits by x_narrow and
 *             h_narrow bits before they are requantised.
 *
 * The integer kernels, for row q = (gate, unit):
 *
 *   sum[q] = requantise(bias[q] + w[q] . x, x_multiplier[q], x_shift[q])
 *            + requantise(r[q] . h, h_multiplier[q], h_shift[q])
 *            with the zero point of x and both biases of ONNX folded into bias
 *   input, forget, output = mq_gate(sum, sigmoid_clip, sigmoid_table), in Q15; or forget = 2^15 - input
 *            to the sums of input and forget rshr(peephole * c, peephole_shift) is added, to that of output the same
 *            with the new c; peephole is s16, NULL for none; |peephole * c| < 512 in reals, so that sums stay in 32
 * bits cell   = mq_gate(sum, tanh_clip, tanh_table), in Q15 c      = sat_s16(rshr(forget * c + rshr(input * cell,
 * cell_bits), 15)) within 32 bits, as |forget * c| <= 2^30 and |input * cell| < 2^30, and input = 0 where forget = 2^15
 *   h      = output * lookup(sat_s16(rshr(2 * c, 4 - cell_bits)), tanh_table)
 *            in Q30; stored as h * 127 / 2^30 in s8, as rshr(h, 15) in s16
 *
 * cell_bits is in [0, 4]: |c| < 2^cell_bits, saturating. Beyond 8, tanh(c) is 1 in Q15.
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
    uint32_t usual;
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
    const int16_t *peephole;
    int32_t peephole_shift;
} mq_lstm_params;

void mq_lstm_f32(const float *x, const float *w, const float *r, const float *b, const float *peephole, float *h,
                 float *c, float *y, float *next, const mq_lstm_float_params *p);
void mq_lstm_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *peephole, mq_f16 *h,
                 mq_f16 *c, mq_f16 *y, mq_f16 *next, const mq_lstm_float_params *p);
void mq_lstm_w8_f32(const float *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                    const float *b, const float *peephole, float *h, float *c, float *y, float *next,
                    const mq_lstm_float_params *p);
void mq_lstm_w8_f16(const mq_f16 *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                    const float *b, const float *peephole, mq_f16 *h, mq_f16 *c, mq_f16 *y, mq_f16 *next,
                    const mq_lstm_float_params *p);
void mq_lstm_s8(const int8_t *x, const int8_t *w, const int8_t *r, int8_t *h, int16_t *c, int8_t *y, int8_t *next,
                const mq_lstm_params *p);
void mq_lstm_s8_frame(const int8_t *x, const float *x_scale, const int8_t *w, const int8_t *r, const int32_t *x_bias,
                      int8_t *h, int16_t *c, int8_t *y, int8_t *next, const mq_lstm_params *p);
void mq_lstm_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int8_t *h, int16_t *c, int8_t *y, int8_t *next,
                    const mq_lstm_params *p);
void mq_lstm_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *c, int16_t *y, int16_t *next,
                 const mq_lstm_params *p);
void mq_lstm_s16s16(const int16_t *x, const int16_t *w, const int16_t *r, int16_t *h, int16_t *c, int16_t *y,
                    int16_t *next, const mq_lstm_params *p);

#endif
