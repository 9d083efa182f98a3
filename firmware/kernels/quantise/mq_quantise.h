/* Real numbers to whole numbers on a model's own scale, and back: ONNX's QuantizeLinear and DequantizeLinear.
 *
 *   quantise        y = sat(round(x / scale[c]) + zero[c])                 round half to even, division and all in f32
 *   dequantise      y = (x - zero[c]) * scale[c]                          in f32
 *   fake_quantise   y = (sat(round(x / scale[c]) + zero[c]) - zero[c]) * scale[c]     quantise, then dequantise
 *   u8 <-> s8       y = x - 128, y = x + 128                               the same steps, counted from -128
 *
 * x, y: [outer, channels, inner]; scale, zero: one per channel; channels is 1 for a scale per tensor.
 * y may be x itself in fake_quantise and between u8 and s8; else they do not overlap.
 * sat: to the range of y's type; fake_quantise: to [low, high]. |zero| < 2^20. A NaN becomes the smallest integer.
 * f16: the arithmetic in f32, the result rounded to nearest even.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_QUANTISE_H
#define MQ_QUANTISE_H

#include "mq_base.h"

typedef struct {
    uint32_t outer;
    uint32_t channels;
    uint32_t inner;
    const float *scale;
    const int32_t *zero;
} mq_quantise_params;

typedef struct {
    uint32_t outer;
    uint32_t channels;
    uint32_t inner;
    const float *scale;
    const int32_t *zero;
    int32_t low;
    int32_t high;
} mq_fake_quantise_params;

void mq_quantise_f32_i8(const float *x, int8_t *y, const mq_quantise_params *p);
void mq_quantise_f32_u8(const float *x, uint8_t *y, const mq_quantise_params *p);
void mq_quantise_f32_i16(const float *x, int16_t *y, const mq_quantise_params *p);
void mq_quantise_f32_u16(const float *x, uint16_t *y, const mq_quantise_params *p);
void mq_quantise_f16_i8(const mq_f16 *x, int8_t *y, const mq_quantise_params *p);

void mq_dequantise_i8_f32(const int8_t *x, float *y, const mq_quantise_params *p);
void mq_dequantise_u8_f32(const uint8_t *x, float *y, const mq_quantise_params *p);
void mq_dequantise_i16_f32(const int16_t *x, float *y, const mq_quantise_params *p);
void mq_dequantise_u16_f32(const uint16_t *x, float *y, const mq_quantise_params *p);
void mq_dequantise_i32_f32(const int32_t *x, float *y, const mq_quantise_params *p);

void mq_fake_quantise_f32(const float *x, float *y, const mq_fake_quantise_params *p);
void mq_fake_quantise_f16(const mq_f16 *x, mq_f16 *y, const mq_fake_quantise_params *p);

void mq_u8_to_s8(const uint8_t *x, int8_t *y, uint32_t n);
void mq_s8_to_u8(const int8_t *x, uint8_t *y, uint32_t n);

#endif
