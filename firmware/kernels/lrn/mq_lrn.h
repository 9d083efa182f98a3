/* Local response normalisation across channels: y[b, c, i] = x[b, c, i] / (bias + scale sum_k x[b, k, i]^2)^beta.
 *
 * x, y: [batch, channels, inner], row-major. The sum runs over the channels c - before ... c + after that exist; bias >
 * 0 and scale >= 0. f16 computes in f32. y overlaps nothing. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LRN_H
#define MQ_LRN_H

#include "mq_base.h"

typedef struct {
    int32_t batch;
    int32_t channels;
    int32_t inner;
    int32_t before;
    int32_t after;
    float scale;
    float beta;
    float bias;
} mq_lrn_params;

void mq_lrn_f32(const float *x, float *y, const mq_lrn_params *p);
void mq_lrn_f16(const mq_f16 *x, mq_f16 *y, const mq_lrn_params *p);

#endif
