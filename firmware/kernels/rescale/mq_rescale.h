/* What an integer layer made of an input with the scale of the frame, in reals:
 *
 *   y[n, r, i] = min(max(x[n, r, i] * (factor[r] * x_scale[0]) + bias[r], low), high)        in f32
 *
 * x: [batch, rows, columns] in s16, sums of products of weights and stored inputs; y: the same in f32 or f16,
 * row-major. x_scale: one value, the real size of one step of the input in this frame. factor, bias: [rows].
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_RESCALE_H
#define MQ_RESCALE_H

#include "mq_base.h"

typedef struct {
    uint32_t batch;
    uint32_t rows;
    uint32_t columns;
    const float *factor;
    const float *bias;
    float low;
    float high;
} mq_rescale_params;

void mq_rescale_f32(const int16_t *x, const float *x_scale, float *y, const mq_rescale_params *p);
void mq_rescale_f16(const int16_t *x, const float *x_scale, mq_f16 *y, const mq_rescale_params *p);

#endif
