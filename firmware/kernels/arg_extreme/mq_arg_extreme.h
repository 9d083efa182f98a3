/* Where along an axis the largest element is: y[o, i] = the n for which sign x[o, n, i] is largest, 0 <= n < count.
 *
 * x: outer * count * inner values, y: outer * inner positions. Of equal elements the first, or the last where `last` is
 * set. sign is 1 for the largest, -1 for the smallest. NaN is never chosen, unless it is the first.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_ARG_EXTREME_H
#define MQ_ARG_EXTREME_H

#include "mq_base.h"

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    int32_t sign;
    int32_t last;
} mq_arg_extreme_params;

void mq_arg_extreme_f32(const float *x, int64_t *y, const mq_arg_extreme_params *p);

#endif
