/* Softmax of each row over the elements that a mask keeps: with K_r the kept columns of row r and m the largest x[r, k]
 * in them, y[r, k] = e^(x[r, k] - m) / sum_{j in K_r} e^(x[r, j] - m) for k in K_r, and 0 for all others. Where K_r is
 * empty, all of row r is p->empty.
 *
 * x, y: [rows, count], row-major; count >= 1. y may be x. What is not kept may hold any value, also infinite ones.
 * keep: truth values [period, count]; row r reads keep[r % period]; period divides rows.
 *
 *   f32, f16   in f32; f16 keeps e^(x - m) in y before it is divided, so it is rounded twice.
 *   integers   as mq_softmax_s8 and mq_softmax_s16 (mq_softmax.h): e = 2^-d in Q30 with d = requantise(m - x,
 * multiplier, shift) in Q24, y = sat(y_zero + requantise(e, f / sum e)), f = 1 / scale of y as y_multiplier and
 * y_shift; `empty` and 0 in steps of y. Error where nothing saturates: at most 0.52 steps of y.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MASKED_SOFTMAX_H
#define MQ_MASKED_SOFTMAX_H

#include "mq_base.h"

typedef struct {
    uint32_t rows;
    uint32_t count;
    uint32_t period;
    float empty;
} mq_masked_softmax_float_params;

typedef struct {
    uint32_t rows;
    uint32_t count;
    uint32_t period;
    int32_t multiplier;
    int32_t shift;
    int32_t y_multiplier;
    int32_t y_shift;
    int32_t y_zero;
    int32_t empty;
} mq_masked_softmax_params;

void mq_masked_softmax_f32(const float *x, const uint8_t *keep, float *y, const mq_masked_softmax_float_params *p);
void mq_masked_softmax_f16(const mq_f16 *x, const uint8_t *keep, mq_f16 *y, const mq_masked_softmax_float_params *p);
void mq_masked_softmax_s8(const int8_t *x, const uint8_t *keep, int8_t *y, const mq_masked_softmax_params *p);
void mq_masked_softmax_s16(const int16_t *x, const uint8_t *keep, int16_t *y, const mq_masked_softmax_params *p);

#endif
