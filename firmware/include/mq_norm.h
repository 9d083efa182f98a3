/* The p-norm of some values: the p-th root of the sum of |v|^p.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_NORM_H
#define MQ_NORM_H

#include "mq_float.h"

/* What a value adds to the sum, p >= 1. */
static inline float mq_norm_term(float value, int32_t p) {
    const float size = mq_abs(value);
    if (p == 2) {
        return size * size;
    }
    return p == 1 ? size : mq_pow(size, (float)p);
}

/* The norm that belongs to a sum. */
static inline float mq_norm_root(float sum, int32_t p) {
    if (p == 2) {
        return MQ_SQRT(sum);
    }
    return p == 1 ? sum : mq_pow(sum, 1.0f / (float)p);
}

#endif
