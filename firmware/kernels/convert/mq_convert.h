/* Conversion of n values from one format to another: what stands at every precision boundary.
 *
 *   float to integer    y = sat(round(x * inverse_scale) + zero)         round half to even, in f32
 *   integer to float    y = (x - zero) * scale                          in f32
 *   integer to integer  y = sat(requantise(x - x_zero, multiplier, shift) + y_zero)
 *   f16 <-> f32         nearest even, overflow to infinity; exact the other way
 *
 *   run-time scale      scale = max |x| / 127, y = sat(round(x * (127 / max |x|)))      for this frame; 0 for silence
 *     in 16 bits        scale = 2^(e - 15) with e the least for which max |x| < 2^e, y = sat(round(x / scale)); below
 *                       2^-112 all is silence
 *   of values >= 0      scale = max x / 255, y = sat(round(x * (255 / max x)) - 128): twice as fine, smaller ones are 0
 *   in 8 bits for each of `rows` rows of n values by itself: scale [rows]
 *
 * x, y: n values each, or `rows` times as many; no alignment beyond the type's. y may be x itself where both formats
 * have the same size. A float NaN becomes the smallest integer. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CONVERT_H
#define MQ_CONVERT_H

#include "mq_base.h"

void mq_convert_f32_f16(const float *x, mq_f16 *y, uint32_t n);
void mq_convert_f16_f32(const mq_f16 *x, float *y, uint32_t n);

void mq_convert_f32_s8(const float *x, int8_t *y, uint32_t n, float inverse_scale, int32_t zero);
void mq_convert_f16_s8(const mq_f16 *x, int8_t *y, uint32_t n, float inverse_scale, int32_t zero);
void mq_convert_f32_s16(const float *x, int16_t *y, uint32_t n, float inverse_scale, int32_t zero);
void mq_convert_f16_s16(const mq_f16 *x, int16_t *y, uint32_t n, float inverse_scale, int32_t zero);

void mq_convert_s8_f32(const int8_t *x, float *y, uint32_t n, float scale, int32_t zero);
void mq_convert_s8_f16(const int8_t *x, mq_f16 *y, uint32_t n, float scale, int32_t zero);
void mq_convert_s16_f32(const int16_t *x, float *y, uint32_t n, float scale, int32_t zero);
void mq_convert_s16_f16(const int16_t *x, mq_f16 *y, uint32_t n, float scale, int32_t zero);

void mq_convert_s8_s8(const int8_t *x, int8_t *y, uint32_t n, int32_t x_zero, int32_t multiplier, int32_t shift,
                      int32_t y_zero);
void mq_convert_s8_s16(const int8_t *x, int16_t *y, uint32_t n, int32_t x_zero, int32_t multiplier, int32_t shift,
                       int32_t y_zero);
void mq_convert_s16_s8(const int16_t *x, int8_t *y, uint32_t n, int32_t x_zero, int32_t multiplier, int32_t shift,
                       int32_t y_zero);
void mq_convert_s16_s16(const int16_t *x, int16_t *y, uint32_t n, int32_t x_zero, int32_t multiplier, int32_t shift,
                        int32_t y_zero);

void mq_convert_f32_s8_frame(const float *x, int8_t *y, float *scale, uint32_t n, uint32_t rows);
void mq_convert_f16_s8_frame(const mq_f16 *x, int8_t *y, float *scale, uint32_t n, uint32_t rows);
void mq_convert_f32_s16_frame(const float *x, int16_t *y, float *scale, uint32_t n);
void mq_convert_f16_s16_frame(const mq_f16 *x, int16_t *y, float *scale, uint32_t n);
void mq_convert_f32_s8_frame_positive(const float *x, int8_t *y, float *scale, uint32_t n, uint32_t rows);
void mq_convert_f16_s8_frame_positive(const mq_f16 *x, int8_t *y, float *scale, uint32_t n, uint32_t rows);

#endif
