/* The k largest elements along an axis, in order: y[o, j, i] = x[o, index[o, j, i], i], for 0 <= j < k <= count.
 *
 * x: outer * count * inner values; y, index: outer * k * inner. The largest comes first, or the smallest where
 * `largest` is 0; of equal elements the one that comes first in x. f32: NaN comes after every number. whole: numbers of
 * a type as in mq_whole_types.h. y is kept in order while x is read, so a row takes up to count * k steps. y overlaps
 * nothing. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_TOP_K_H
#define MQ_TOP_K_H

#include "mq_base.h"

typedef struct {
    uint32_t outer;
    uint32_t count;
    uint32_t inner;
    uint32_t k;
    int32_t largest;
    int32_t type;
} mq_top_k_params;

void mq_top_k_f32(const float *x, float *y, int64_t *index, const mq_top_k_params *p);
void mq_top_k_whole(const void *x, void *y, int64_t *index, const mq_top_k_params *p);

#endif
