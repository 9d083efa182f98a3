/* Nested loops over two arrays at once, for kernels that move values: the five outer ones of six.
 *
 * The caller runs the innermost axis itself, from the offsets x and y, and asks for the next row until there is none:
 *   do { inner loop } while (mq_walk_next(...));
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_WALK_H
#define MQ_WALK_H

#include "mq_base.h"

/* How many rows there are: a loop that counts them need not walk behind the last. */
static inline uint32_t mq_walk_rows(const uint32_t *shape) {
    return shape[0] * shape[1] * shape[2] * shape[3] * shape[4];
}

/* Move both offsets to the next row; index holds five counters, 0 at first. Returns 0 after the last row. */
static inline int mq_walk_next(uint32_t *index, const uint32_t *shape, const int32_t *x_step, const int32_t *y_step,
                               int32_t *x, int32_t *y) {
    for (int32_t axis = 4; axis >= 0; axis--) {
        *x += x_step[axis];
        *y += y_step[axis];
        index[axis]++;
        if (index[axis] < shape[axis]) {
            return 1;
        }
        *x -= (int32_t)shape[axis] * x_step[axis];
        *y -= (int32_t)shape[axis] * y_step[axis];
        index[axis] = 0;
    }
    return 0;
}

#endif
