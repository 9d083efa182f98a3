/* One value from many, along one axis: y[o, i] = reduce over k of x[o, k, i].
 *
 * x: [outer, count, inner], y: [outer, inner], row-major; count >= 1. y overlaps nothing.
 *
 *   reduce         f32, f16: acc = start; acc = fold(acc, x[o, k, i]) for each k; y = finish(acc * factor, NULL), or
 *                  acc * factor where finish is NULL. In f32; f16 rounds the result to nearest even.
 *                  fold is one of mq_fold_*, finish one of mq_fn_* (mq_map.h): a norm is squares, then sqrt.
 *   logsumexp      f32, f16: y = m + ln(sum_k e^(x[o, k, i] - m)) with m the largest.
 *   reduce_sum     s8, s16: acc = bias + sum_k x[o, k, i]                    (bias = -count * zero point of x)
 *                  y = sat(y_zero + requantise(acc, multiplier, shift)); acc fits 32 bits for every input.
 *                  A mean is a sum with 1 / count in its factor.
 *   reduce_max,    s8, s16: stored values are compared as they are; y has the scale of x.
 *   reduce_min
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_REDUCE_H
#define MQ_REDUCE_H

#include "mq_base.h"
#include "mq_map.h"

typedef float (*mq_fold)(float acc, float x);

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    float start;
    float factor;
} mq_reduce_params;

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    int32_t bias;
    int32_t multiplier;
    int32_t shift;
    int32_t y_zero;
} mq_reduce_sum_params;

void mq_reduce_f32(const float *x, float *y, const mq_reduce_params *p, mq_fold fold, mq_function finish);
void mq_reduce_f16(const mq_f16 *x, mq_f16 *y, const mq_reduce_params *p, mq_fold fold, mq_function finish);
void mq_logsumexp_f32(const float *x, float *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_logsumexp_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner);

void mq_reduce_sum_s8(const int8_t *x, int8_t *y, const mq_reduce_sum_params *p);
void mq_reduce_sum_s16(const int16_t *x, int16_t *y, const mq_reduce_sum_params *p);
void mq_reduce_max_s8(const int8_t *x, int8_t *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_reduce_max_s16(const int16_t *x, int16_t *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_reduce_min_s8(const int8_t *x, int8_t *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_reduce_min_s16(const int16_t *x, int16_t *y, uint32_t outer, uint32_t count, uint32_t inner);

float mq_fold_abs(float acc, float x);     /* acc + |x| */
float mq_fold_max(float acc, float x);     /* max(acc, x) */
float mq_fold_min(float acc, float x);     /* min(acc, x) */
float mq_fold_product(float acc, float x); /* acc x */
float mq_fold_square(float acc, float x);  /* acc + x^2 */
float mq_fold_sum(float acc, float x);     /* acc + x */

#endif
