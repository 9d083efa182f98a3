/* One whole number or truth value from many, along one axis: y[o, i] = f(... f(x[o, 0, i], x[o, 1, i]) ...).
 *
 * x: [outer, count, inner], y: [outer, inner], row-major, of a type as in mq_whole_types.h; count >= 1. f is one of
 * mq_whole_* (mq_whole.h), in 64 bits, of which y gets the low ones: sums and products wrap around. y overlaps nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_REDUCE_WHOLE_H
#define MQ_REDUCE_WHOLE_H

#include "mq_base.h"
#include "mq_whole.h"

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    int32_t type;
} mq_reduce_whole_params;

void mq_reduce_whole(const void *x, void *y, const mq_reduce_whole_params *p, mq_whole_function f);

#endif
