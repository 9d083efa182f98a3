/* Which matrices a product of stacks of matrices multiplies; mq_matmul.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MATMUL_PAIRS_H
#define MQ_MATMUL_PAIRS_H

#include "mq_matmul.h"

/* Where the matrices of a pair begin, in elements. */
typedef struct {
    int32_t a;
    int32_t b;
    int32_t y;
} mq_matmul_pair;

static inline int32_t mq_matmul_pairs(const mq_matmul_shape *s) {
    return s->batch[0] * s->batch[1] * s->batch[2];
}

static inline mq_matmul_pair mq_matmul_pair_at(const mq_matmul_shape *s, int32_t pair) {
    const int32_t l = pair % s->batch[2];
    const int32_t rest = pair / s->batch[2];
    const int32_t j = rest % s->batch[1];
    const int32_t i = rest / s->batch[1];
    const mq_matmul_pair at = {
        (i * s->a_step[0] + j * s->a_step[1] + l * s->a_step[2]) * s->rows * s->depth,
        (i * s->b_step[0] + j * s->b_step[1] + l * s->b_step[2]) * s->depth * s->columns,
        pair * s->rows * s->columns,
    };
    return at;
}

#endif
