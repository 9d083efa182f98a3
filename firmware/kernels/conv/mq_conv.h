/* Convolution: y[n, o, i, j] = activation(b[o] + sum_{c, a, d} x[n, g C + c, i S - P + a D, j S' - P' + d D'] w[o, a,
 * d, c]) with C channels per group, g the group of o, strides S, leading pads P and dilations D of the two axes, and
 * activation(v) = min(max(v, low), high). Taps outside the map read the real number 0. A 1-D convolution has height 1.
 *
 * x: [batch, groups * channels, in_height, in_width], y: [batch, groups * outputs, out_height, out_width], row-major;
 * w: [groups * outputs, kernel_height, kernel_width, channels]; b: [groups * outputs]. y overlaps nothing.
 * Maps keep ONNX's order, channel by channel; the weights already have the channels of a tap side by side.
 *
 *   f32, f16   sums in f32, in the order of a, d, c; b in f32, may be NULL.
 *   w8_f32, w8_f16  the same with weights in s8: y = activation(scale[o] * sum x w + bias[o])
 *   s8         acc = bias[o] + sum x w, with x = x_zero for taps outside
 *              y = clamp(y_zero + requantise(acc, multiplier[o], shift[o]), low, high)
 *              The zero point of x is folded into bias. acc fits 32 bits for every input: proven when the weights were
 *              quantised. Weights are s8.
 *   s16        the same with a zero point of 0: taps outside add nothing.
 *   s16s16     s16 weights and a 64-bit acc, rounded to 32 bits by `narrow` bits before requantising.
 *   s8_s16     s8 input, s16 output.
 *
 * patch: room for what a kernel lays out side by side: four windows in 16 bits (scalar); two in s16, each rounded
 * up to a multiple of 4 (dsp); up to 16, of more than 128 values up to 8, of more than 512 up to 4, as mq_mve_conv.h
 * has them (mve). In f16 for eight windows (mve), NULL where a window has one tap and the maps are alike, and where
 * each group has one channel and one output; for one window (dsp), or then for two values of each place of the channel
 * with its pads and of each tap; NULL (scalar).
 *
 * depthwise: the same with one channel and one output in each group. map: room for one channel with its pads,
 * ((out_height - 1) S + (kernel_height - 1) D + 1) ((out_width - 1) S' + (kernel_width - 1) D' + 1) values, one
 * more, and the weights of one channel, each row of them rounded up to a multiple of 2. s8 (scalar): two values and
 * eight for each tap instead.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CONV_H
#define MQ_CONV_H

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
} mq_conv_shape;

typedef struct {
    float low;
    float high;
} mq_conv_float_params;

typedef struct {
    const float *bias;
    const float *scale;
    float low;
    float high;
} mq_conv_scaled_params;

typedef struct {
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t x_zero;
    int32_t y_zero;
    int32_t low;
    int32_t high;
} mq_conv_params;

typedef struct {
    const int64_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t narrow;
    int32_t low;
    int32_t high;
} mq_conv_wide_params;

void mq_conv_f32(const float *x, const float *w, const float *b, float *y, const mq_conv_shape *s,
                 const mq_conv_float_params *p);
void mq_conv_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, mq_f16 *patch, const mq_conv_shape *s,
                 const mq_conv_float_params *p);
void mq_conv_w8_f32(const float *x, const int8_t *w, float *y, const mq_conv_shape *s, const mq_conv_scaled_params *p);
void mq_conv_w8_f16(const mq_f16 *x, const int8_t *w, mq_f16 *y, const mq_conv_shape *s,
                    const mq_conv_scaled_params *p);
void mq_conv_s8(const int8_t *x, const int8_t *w, int8_t *y, int16_t *patch, const mq_conv_shape *s,
                const mq_conv_params *p);
void mq_conv_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, int16_t *patch, const mq_conv_shape *s,
                    const mq_conv_params *p);
void mq_conv_s16(const int16_t *x, const int8_t *w, int16_t *y, int16_t *patch, const mq_conv_shape *s,
                 const mq_conv_params *p);
void mq_depthwise_s8(const int8_t *x, const int8_t *w, int8_t *y, int16_t *map, const mq_conv_shape *s,
                     const mq_conv_params *p);
void mq_depthwise_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, int16_t *map, const mq_conv_shape *s,
                         const mq_conv_params *p);
void mq_depthwise_s16(const int16_t *x, const int8_t *w, int16_t *y, int16_t *map, const mq_conv_shape *s,
                      const mq_conv_params *p);
void mq_conv_s16s16(const int16_t *x, const int16_t *w, int16_t *y, const mq_conv_shape *s,
                    const mq_conv_wide_params *p);

#endif
