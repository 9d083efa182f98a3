/* Fully connected layer: y[r, o] = activation(sum_i x[r, i] * w[o, i] + b[o]), activation(v) = min(max(v, low), high).
 *
 * x: [rows, inputs], w: [outputs, inputs], b: [outputs], y: [rows, outputs]; row-major. y overlaps nothing.
 *
 *   f32, f16   sums in f32 in the order of i; b in f32, may be NULL.
 *   w8_f32, w8_f16  the same with weights in s8: y[o] = activation(scale[o] * sum_i x[i] * w[o, i] + bias[o])
 *   s8, s16    acc[o] = bias[o] + sum_i x[i] * w[o, i]              (the zero point of x is folded into bias)
 *              y[o] = clamp(y_zero + requantise(acc[o], multiplier[o], shift[o]), low, high)
 *              acc fits 32 bits for every input: proven when the weights were quantised. Weights are s8.
 *   s16s16     the same with s16 weights and a 64-bit acc, rounded to 32 bits by `narrow` bits before requantising.
 *   s8_s16     s8 input, s16 output.
 *   s8_frame_* s8 input whose scales were found for this frame (x_scale[r] of each row, no zero point), output in
 *              floats: y[r, o] = activation(acc[o] * (scale[o] * x_scale[r]) + bias[o]), in f32; acc fits 32 bits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FULLY_CONNECTED_H
#define MQ_FULLY_CONNECTED_H

#include "mq_base.h"

typedef struct {
    uint32_t rows;
    uint32_t inputs;
    uint32_t outputs;
    float low;
    float high;
} mq_fully_connected_float_params;

typedef struct {
    uint32_t rows;
    uint32_t inputs;
    uint32_t outputs;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t y_zero;
    int32_t low;
    int32_t high;
} mq_fully_connected_params;

typedef struct {
    uint32_t rows;
    uint32_t inputs;
    uint32_t outputs;
    const int64_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t narrow;
    int32_t low;
    int32_t high;
} mq_fully_connected_wide_params;

typedef struct {
    uint32_t rows;
    uint32_t inputs;
    uint32_t outputs;
    const float *bias;
    const float *scale;
    float low;
    float high;
} mq_fully_connected_scaled_params;

void mq_fully_connected_f32(const float *x, const float *w, const float *b, float *y,
                            const mq_fully_connected_float_params *p);
void mq_fully_connected_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                            const mq_fully_connected_float_params *p);
void mq_fully_connected_w8_f32(const float *x, const int8_t *w, float *y, const mq_fully_connected_scaled_params *p);
void mq_fully_connected_w8_f16(const mq_f16 *x, const int8_t *w, mq_f16 *y, const mq_fully_connected_scaled_params *p);
void mq_fully_connected_s8(const int8_t *x, const int8_t *w, int8_t *y, const mq_fully_connected_params *p);
void mq_fully_connected_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, const mq_fully_connected_params *p);
void mq_fully_connected_s16(const int16_t *x, const int8_t *w, int16_t *y, const mq_fully_connected_params *p);
void mq_fully_connected_s16s16(const int16_t *x, const int16_t *w, int16_t *y, const mq_fully_connected_wide_params *p);
void mq_fully_connected_s8_frame_f32(const int8_t *x, const float *x_scale, const int8_t *w, float *y,
                                     const mq_fully_connected_scaled_params *p);
void mq_fully_connected_s8_frame_f16(const int8_t *x, const float *x_scale, const int8_t *w, mq_f16 *y,
                                     const mq_fully_connected_scaled_params *p);

#endif
