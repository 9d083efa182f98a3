/* Two operands, element by element, with broadcasting: y = a + b, a - b, a b, a / b, mod, remainder, max, min, a^b,
 * PRelu.
 *
 * y is written in C order by six nested loops, outermost first; an operand moves by its own steps:
 *   y[i_0, ..., i_5] = f(a[sum_k i_k a_step[k]], b[sum_k i_k b_step[k]])          for 0 <= i_k < shape[k]
 * A step of 0 repeats the operand along that axis. Axes that are not needed have size 1 and come first. All steps count
 * elements. y may be a or b itself where that operand has y's shape, and overlaps nothing otherwise.
 *
 *   f32, f16   in f32; f16 rounds the result to nearest even. max, min: b where the two do not compare (NaN).
 *              prelu: x < 0 ? slope x : x. pow as mq_pow (mq_float.h),
 *              remainder a - trunc(a / b) b, mod a - floor(a / b) b, as in mq_remainder.h.
 *   add, sub, max, min in integers
 *              both operands are brought to the scale of y with `fraction` more bits:
 *              u = requantise(a - a_zero, a_multiplier, a_shift), v likewise,
 *              y = sat(y_zero + rshr(f(u, v), fraction)).
 *              Error before saturation: at most 1/2 + 2^(1 - fraction) of a step of y (one operand: 2^-fraction).
 *              |u|, |v| <= 2^30 whatever the operands, so u + v fits 32 bits. An operand beyond 2^29 steps of y is
 *              limited there; y's whole range is then less than a step of that operand.
 *   mul        y = sat(y_zero + requantise((a - a_zero) (b - b_zero), multiplier, shift)); error as of requantise.
 *              Zero points of s16 are 0, so that the product fits 32 bits.
 *   prelu      with v = x - x_zero: v < 0: requantise(v (slope - slope_zero), slope_multiplier, slope_shift),
 *              else requantise(v, multiplier, shift); y = sat(y_zero + that).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_ELEMENTWISE_H
#define MQ_ELEMENTWISE_H

#include "mq_base.h"

typedef struct {
    uint32_t shape[6];
    int32_t a_step[6];
    int32_t b_step[6];
} mq_broadcast;

typedef struct {
    int32_t a_zero;
    int32_t a_multiplier;
    int32_t a_shift;
    int32_t b_zero;
    int32_t b_multiplier;
    int32_t b_shift;
    int32_t fraction;
    int32_t y_zero;
} mq_align_params;

typedef struct {
    int32_t a_zero;
    int32_t b_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t y_zero;
} mq_mul_params;

typedef struct {
    int32_t x_zero;
    int32_t slope_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t slope_multiplier;
    int32_t slope_shift;
    int32_t y_zero;
} mq_prelu_params;

void mq_add_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_add_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_sub_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_sub_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_mul_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_mul_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_div_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_div_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_mod_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_mod_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_remainder_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_remainder_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_max_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_max_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_min_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_min_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_pow_f32(const float *a, const float *b, float *y, const mq_broadcast *loops);
void mq_pow_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_broadcast *loops);
void mq_prelu_f32(const float *x, const float *slope, float *y, const mq_broadcast *loops);
void mq_prelu_f16(const mq_f16 *x, const mq_f16 *slope, mq_f16 *y, const mq_broadcast *loops);

void mq_add_s8(const int8_t *a, const int8_t *b, int8_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_add_s16(const int16_t *a, const int16_t *b, int16_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_sub_s8(const int8_t *a, const int8_t *b, int8_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_sub_s16(const int16_t *a, const int16_t *b, int16_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_max_s8(const int8_t *a, const int8_t *b, int8_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_max_s16(const int16_t *a, const int16_t *b, int16_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_min_s8(const int8_t *a, const int8_t *b, int8_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_min_s16(const int16_t *a, const int16_t *b, int16_t *y, const mq_broadcast *loops, const mq_align_params *p);
void mq_mul_s8(const int8_t *a, const int8_t *b, int8_t *y, const mq_broadcast *loops, const mq_mul_params *p);
void mq_mul_s16(const int16_t *a, const int16_t *b, int16_t *y, const mq_broadcast *loops, const mq_mul_params *p);
void mq_prelu_s8(const int8_t *x, const int8_t *slope, int8_t *y, const mq_broadcast *loops, const mq_prelu_params *p);
void mq_prelu_s16(const int16_t *x, const int16_t *slope, int16_t *y, const mq_broadcast *loops,
                  const mq_prelu_params *p);

#endif
