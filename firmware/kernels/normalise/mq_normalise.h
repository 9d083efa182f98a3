/* Normalisation: each row is brought to mean 0 and variance 1, then scaled and shifted per channel.
 *
 *   y[r, c, i] = (x[r, c, i] - mean_r) / sqrt(var_r + epsilon) gain[r % groups, c] + bias[r % groups, c]
 *   mean_r and var_r over the count = channels * inner values of row r; without `centre`, mean_r is 0.
 *
 * x, y: [rows, channels, inner]; gain, bias: [groups, channels], bias may be NULL; row-major. y may be x.
 * Layer normalisation: one group, inner = 1. RMS: the same without centre. Group normalisation: groups, the channels of
 * each, inner = positions. A row of equal values gives bias where epsilon is 0.
 *
 *   f32, f16   in f32: mean first, then the mean of squared differences. gain and bias are f32.
 *   s8, s16    in exact integers up to the inverse root, with v = x - x_zero and S = sum v (0 without centre):
 *              d = count v - S,  power = ((count sum v^2 - S^2) >> drop) + epsilon, so that d / sqrt(power) is the
 *              normalised value times 2^(drop / 2); epsilon in steps of x, squared, times count^2 2^-drop, below 2^62.
 *              drop is 0 unless epsilon is that far above the values: what it drops is below 2^-60 of power;
 *              normal = requantise(d, 2^unit / sqrt(power)), |normal| <= 2^29 by the choice of unit;
 *              y = sat(y_zero + rshr(mulhr(normal, gain) + bias, fraction)),
 *              gain being the real one in steps of y times 2^(fraction + 32 - unit), bias times 2^fraction.
 *              count <= 32767, drop <= 62. Error of normal: relative 2^-28, and 1.5 steps of 2^-unit.
 *   lp         y[o, k, i] = x[o, k, i] / norm, over k: sum |x| (power 1) or sqrt(sum x^2) (power 2); 0 where norm is 0.
 *              x, y: [outer, count, inner]; f32, f16 in f32.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_NORMALISE_H
#define MQ_NORMALISE_H

#include "mq_base.h"

typedef struct {
    uint32_t rows;
    uint32_t groups;
    uint32_t channels;
    uint32_t inner;
    int32_t centre;
    float epsilon;
} mq_normalise_float_params;

typedef struct {
    uint32_t rows;
    uint32_t groups;
    uint32_t channels;
    uint32_t inner;
    int32_t centre;
    int32_t drop;
    int64_t epsilon;
    int32_t x_zero;
    int32_t unit;
    int32_t fraction;
    int32_t y_zero;
} mq_normalise_params;

void mq_normalise_f32(const float *x, const float *gain, const float *bias, float *y,
                      const mq_normalise_float_params *p);
void mq_normalise_f16(const mq_f16 *x, const float *gain, const float *bias, mq_f16 *y,
                      const mq_normalise_float_params *p);
void mq_normalise_s8(const int8_t *x, const int32_t *gain, const int32_t *bias, int8_t *y,
                     const mq_normalise_params *p);
void mq_normalise_s16(const int16_t *x, const int32_t *gain, const int32_t *bias, int16_t *y,
                      const mq_normalise_params *p);

void mq_lp_normalise_f32(const float *x, float *y, uint32_t outer, uint32_t count, uint32_t inner, uint32_t power);
void mq_lp_normalise_f16(const mq_f16 *x, mq_f16 *y, uint32_t outer, uint32_t count, uint32_t inner, uint32_t power);

#endif
