/* Elements at positions that are known only at run time: first the positions from indices, then the move.
 *
 *   positions    position[i] = base[i] + sum_k inside(index[(i mod rows) depth + k], size[k]) step[k], 0 <= i < count
 *                inside(n, s): n from the front, n + s where it is negative; what is still outside is limited to [0, s)
 *   gather_at    y[i run + r] = x[position[i] + r]       for 0 <= i < count, 0 <= r < run
 *   scatter_at   y[position[i] + r] = x[i run + r]       in the order of i: of several the last one stays
 *
 * base: count offsets; size, step: depth numbers each. _8 to _64 are the bits of an element. y overlaps nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_INDEXED_H
#define MQ_INDEXED_H

#include "mq_base.h"

typedef struct {
    uint32_t count;
    uint32_t rows;
    uint32_t depth;
    const int32_t *base;
    const int32_t *size;
    const int32_t *step;
} mq_positions_params;

typedef struct {
    uint32_t count;
    uint32_t run;
} mq_gather_at_params;

void mq_positions(const int32_t *index, int32_t *position, const mq_positions_params *p);
void mq_gather_at_8(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_gather_at_16(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_gather_at_32(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_gather_at_64(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_scatter_at_8(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_scatter_at_16(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_scatter_at_32(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);
void mq_scatter_at_64(const void *x, const int32_t *position, void *y, const mq_gather_at_params *p);

#endif
