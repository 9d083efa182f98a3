/* Softmax along one axis: y[o, k, i] = e^(x[o, k, i] - m) / s, m the largest value and s = sum_k e^(x[o, k, i] - m);
 * log_softmax: its logarithm, x[o, k, i] - m - ln(s).
 *
 * x, y: [outer, count, inner], row-major; count >= 1. y may be x.
 *
 *   f32, f16   in f32; f16 keeps e^(x - m) in y before it is divided, so it is rounded twice.
 *   softmax in integers, f = 1 / scale of y as y_multiplier and y_shift, the sum of e in 64 bits
 *              d = requantise(m - x, multiplier, shift) is (m - x) log2(e) in Q24, e = 2^-d in Q30 (mq_exp2_negative).
 *     s16      e = (coarse[n >> 8] fine[n & 255]) >> 32 in Q29 with n = m - x, from e^-(256 i scale of x) in Q30 and
 *              e^-(i scale of x) in Q31, 256 values each.
 *              y = sat(requantise(e, f / sum_k e)); at most 0.52 steps of y off where nothing saturates.
 *     s8       e is read from powers[m - x], 256 values. Eight bits of y need sixteen of the factors: with the sum as
 *              t 2^(l - 16), t in [2^15, 2^16), and g = y_multiplier / t, half rounded up,
 *              y = sat(y_zero + rshr((e >> 15) g, l + 1 - y_shift)); at most 0.51 steps and 2^-15 off.
 *              Shifts beyond [1, 31] are these limits with g = 65536 and 0.
 *   log_softmax in integers
 *              with u = requantise(m - x, x_multiplier, x_shift) and v = requantise(log2(sum_k e), log_multiplier,
 *              log_shift), both in steps of y with `fraction` more bits: y = sat(y_zero - rshr(u + v, fraction)).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SOFTMAX_H
#define MQ_SOFTMAX_H

#include "mq_base.h"

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    const int32_t *powers;
    int32_t y_multiplier;
    int32_t y_shift;
    int32_t y_zero;
} mq_softmax_s8_params;

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    const int32_t *coarse;
    const int32_t *fine;
    int32_t y_multiplier;
    int32_t y_shift;
} mq_softmax_s16_params;

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    int32_t multiplier;
    int32_t shift;
    int32_t x_multiplier;
    int32_t x_shift;
    int32_t log_multiplier;
    int32_t log_shift;
    int32_t fraction;
    int32_t y_zero;
} mq_log_softmax_params;

void mq_softmax_f32(const float *x, float *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_softmax_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_softmax_s8(const int8_t *x, int8_t *y, const mq_softmax_s8_params *p);
void mq_softmax_s16(const int16_t *x, int16_t *y, const mq_softmax_s16_params *p);

void mq_log_softmax_f32(const float *x, float *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_log_softmax_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner);
void mq_log_softmax_s8(const int8_t *x, int8_t *y, const mq_log_softmax_params *p);
void mq_log_softmax_s16(const int16_t *x, int16_t *y, const mq_log_softmax_params *p);

#endif
