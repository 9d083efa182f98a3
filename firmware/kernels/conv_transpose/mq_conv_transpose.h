/* Transposed convolution: each x[n, c, i, j] adds x w[o, a, d, c] to y[n, o, i S + a D - P, j S' + d D' - P'], for the
 * outputs o of c's group, strides S, dilations D and leading pads P of the two axes; then b[o] is added and
 * activation(v) = min(max(v, low), high) applied. What falls outside y is dropped. In 1-D the height is 1.
 *
 * The kernels compute it from the output's side: the taps a that reach row k are those with k + P - a D = i S for some
 * row i of x. They lie tap_step = S / gcd(S, D) apart, and each next one reads tap_move = D / gcd(S, D) rows before.
 *
 * x: [batch, groups * channels, in_height, in_width], y: [batch, groups * outputs, out_height, out_width], row-major;
 * w: [groups * outputs, kernel_height, kernel_width, channels]; b: [groups * outputs]. y overlaps nothing.
 *
 *   f32, f16   sums in f32, in the order of a, d, c; b in f32, may be NULL.
 *   w8_f32, w8_f16  the same with weights in s8: y = activation(scale[o] * sum x w + bias[o])
 *   s8, s16    acc = bias[o] + sum (x - x_zero) w, y = clamp(y_zero + requantise(acc, multiplier[o], shift[o]), low,
 * high) acc fits 32 bits for every input: proven when the weights were quantised. Weights are s8. s16 has x_zero = 0.
 * (How many taps reach an output varies, so the zero point cannot be folded into bias.) s16s16     s16 weights and a
 * 64-bit acc, rounded to 32 bits by `narrow` bits before requantising. s8_s16     s8 input, s16 output.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CONV_TRANSPOSE_H
#define MQ_CONV_TRANSPOSE_H

#include "mq_base.h"

/* `channels` and `outputs` are those of one group. */
typedef struct {
    int32_t batch;
    int32_t groups;
    int32_t channels;
    int32_t outputs;
    int32_t in_height;
    int32_t in_width;
    int32_t out_height;
    int32_t out_width;
    int32_t kernel_height;
    int32_t kernel_width;
    int32_t stride_height;
    int32_t stride_width;
    int32_t dilation_height;
    int32_t dilation_width;
    int32_t pad_top;
    int32_t pad_left;
    int32_t tap_step_height;
    int32_t tap_step_width;
    int32_t tap_move_height;
    int32_t tap_move_width;
} mq_conv_transpose_shape;

typedef struct {
    float low;
    float high;
} mq_conv_transpose_float_params;

typedef struct {
    const float *bias;
    const float *scale;
    float low;
    float high;
} mq_conv_transpose_scaled_params;

typedef struct {
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t x_zero;
    int32_t y_zero;
    int32_t low;
    int32_t high;
} mq_conv_transpose_params;

typedef struct {
    const int64_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t narrow;
    int32_t low;
    int32_t high;
} mq_conv_transpose_wide_params;

void mq_conv_transpose_f32(const float *x, const float *w, const float *b, float *y, const mq_conv_transpose_shape *s,
                           const mq_conv_transpose_float_params *p);
void mq_conv_transpose_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                           const mq_conv_transpose_shape *s, const mq_conv_transpose_float_params *p);
void mq_conv_transpose_w8_f32(const float *x, const int8_t *w, float *y, const mq_conv_transpose_shape *s,
                              const mq_conv_transpose_scaled_params *p);
void mq_conv_transpose_w8_f16(const mq_f16 *x, const int8_t *w, mq_f16 *y, const mq_conv_transpose_shape *s,
                              const mq_conv_transpose_scaled_params *p);
void mq_conv_transpose_s8(const int8_t *x, const int8_t *w, int8_t *y, const mq_conv_transpose_shape *s,
                          const mq_conv_transpose_params *p);
void mq_conv_transpose_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, const mq_conv_transpose_shape *s,
                              const mq_conv_transpose_params *p);
void mq_conv_transpose_s16(const int16_t *x, const int8_t *w, int16_t *y, const mq_conv_transpose_shape *s,
                           const mq_conv_transpose_params *p);
void mq_conv_transpose_s16s16(const int16_t *x, const int16_t *w, int16_t *y, const mq_conv_transpose_shape *s,
                              const mq_conv_transpose_wide_params *p);

#endif
