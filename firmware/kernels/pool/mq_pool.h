/* Pooling: y[m, i, j] = f of the values of map m under the window at (i, j) that lie inside the map.
 *
 *   max        the largest. In integers y has the scale of x.
 *   average    the sum, divided by how many positions of the window lie in the map widened by the margins (the pads
 *              where these count, else 0). In integers, with count that number and taps the number of values summed:
 *              y = sat(y_zero + requantise(sum - taps x_zero, multiplier[count - count_first], shift[count -
 *              count_first])). |sum| < 2^31 - 2^15: at most 65534 taps for s16, 2^23 for s8.
 *   lp         the norm-th root of the sum of |x|^norm, norm >= 1.
 *
 * x: [maps, in_height, in_width], y: [maps, out_height, out_width], row-major, maps = batch * channels. In 1-D the
 * height is 1. Every window covers at least one value. f16 computes in f32. y overlaps nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_POOL_H
#define MQ_POOL_H

#include "mq_base.h"

typedef struct {
    int32_t maps;
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
} mq_pool_shape;

typedef struct {
    int32_t margin_top;
    int32_t margin_left;
    int32_t margin_bottom;
    int32_t margin_right;
} mq_average_pool_float_params;

typedef struct {
    int32_t margin_top;
    int32_t margin_left;
    int32_t margin_bottom;
    int32_t margin_right;
    int32_t count_first;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t x_zero;
    int32_t y_zero;
} mq_average_pool_params;

void mq_max_pool_f32(const float *x, float *y, const mq_pool_shape *s);
void mq_max_pool_f16(const mq_f16 *x, mq_f16 *y, const mq_pool_shape *s);
void mq_max_pool_s16(const int16_t *x, int16_t *y, const mq_pool_shape *s);
void mq_max_pool_s8(const int8_t *x, int8_t *y, const mq_pool_shape *s);

/* Whole numbers of a type as in mq_whole_types.h, of which the largest is chosen as it is. */
void mq_max_pool_whole(const void *x, void *y, const mq_pool_shape *s, int32_t type);

void mq_average_pool_f32(const float *x, float *y, const mq_pool_shape *s, const mq_average_pool_float_params *p);
void mq_average_pool_f16(const mq_f16 *x, mq_f16 *y, const mq_pool_shape *s, const mq_average_pool_float_params *p);
void mq_average_pool_s16(const int16_t *x, int16_t *y, const mq_pool_shape *s, const mq_average_pool_params *p);
void mq_average_pool_s8(const int8_t *x, int8_t *y, const mq_pool_shape *s, const mq_average_pool_params *p);

void mq_lp_pool_f32(const float *x, float *y, const mq_pool_shape *s, int32_t norm);
void mq_lp_pool_f16(const mq_f16 *x, mq_f16 *y, const mq_pool_shape *s, int32_t norm);

#endif
