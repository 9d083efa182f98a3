/* Linear interpolation along one axis, at constant places.
 *
 *   y[o][k][i] = x[o][l][i] + (x[o][l + 1][i] - x[o][l][i]) * w        with l = low[k], w = weight[k] in [0, 1]
 *
 * x: [outer, x_count, inner]; y: [outer, y_count, inner], in the same format and scale, not overlapping x.
 * low: [y_count], 0 <= low[k] <= x_count - 2. weight: [y_count], f32, or in units of 2^-15 for integers.
 * f16: the arithmetic in f32, the result rounded to nearest even.
 * s8, s16: x0 + rshr((x1 - x0) * weight, 15): a product of at most 65535 * 2^15 fits 32 bits, and the result lies
 * between x0 and x1, so nothing saturates.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_INTERPOLATE_H
#define MQ_INTERPOLATE_H

#include "mq_base.h"

typedef struct {
    uint32_t outer;
    uint32_t x_count;
    uint32_t y_count;
    uint32_t inner;
    const int32_t *low;
    const float *weight;
} mq_interpolate_float_params;

typedef struct {
    uint32_t outer;
    uint32_t x_count;
    uint32_t y_count;
    uint32_t inner;
    const int32_t *low;
    const int32_t *weight;
} mq_interpolate_params;

void mq_interpolate_f32(const float *x, float *y, const mq_interpolate_float_params *p);
void mq_interpolate_f16(const mq_f16 *x, mq_f16 *y, const mq_interpolate_float_params *p);
void mq_interpolate_s16(const int16_t *x, int16_t *y, const mq_interpolate_params *p);
void mq_interpolate_s8(const int8_t *x, int8_t *y, const mq_interpolate_params *p);

#endif
