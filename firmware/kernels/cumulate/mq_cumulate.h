/* Running sums and products along an axis: y[o, n, i] = x[o, 0, i] + ... + x[o, n, i], 0 <= n < count.
 *
 * x, y: outer * count * inner values; y may be x. With `exclusive` without x[o, n, i]; with `reverse` from the end;
 * with `product` times instead of plus. f32 adds in the order of the axis. whole: numbers of a type as in
 * mq_whole_types.h, which wrap around. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CUMULATE_H
#define MQ_CUMULATE_H

#include "mq_base.h"

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    int32_t exclusive;
    int32_t reverse;
    int32_t product;
    int32_t type;
} mq_cumulate_params;

void mq_cumulate_f32(const float *x, float *y, const mq_cumulate_params *p);
void mq_cumulate_whole(const void *x, void *y, const mq_cumulate_params *p);

#endif
