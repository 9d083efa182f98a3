/* Movement of stored values: nothing is computed, so one function serves every format of an element size.
 *
 * _8, _16, _32 and _64 are the bits of an element: s8; s16 and f16; f32; i64. All steps, starts and offsets count
 * elements. x and y do not overlap and are aligned to their elements.
 *
 *   strided copy  y[y_start + sum_a i_a y_step[a]] = x[x_start + sum_a i_a x_step[a]]   for 0 <= i_a < shape[a], a < 6
 *                 steps may be negative or, on the side of x, 0. Axes that are not needed have size 1 and come first.
 *   gather        y[((o M + m) N + n) R + r] = x[outer[o] + middle[m] + inner[n] + r]
 *                 for 0 <= o < outer_count, m < middle_count = M, n < inner_count = N, r < run = R
 *   scatter       y[offset[b] + r] = x[b R + r]                                 for 0 <= b < count, 0 <= r < run = R
 *   where         y[i_0, ..., i_5] = condition[sum_k i_k condition_step[k]] ? a[sum_k i_k a_step[k]] : b[...]
 *                 y in C order; a step of 0 repeats an operand along that axis
 *   set           y[i] = bits                                                            for 0 <= i < n
 *   concat        y[row] = a[row] b[row] c[row] d[row], each the given number of bytes; absent ones have 0 bytes
 *                 and may be NULL                                                        for 0 <= row < rows
 *
 * strided copy and scatter leave the elements of y that they do not name as they are.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LAYOUT_H
#define MQ_LAYOUT_H

#include "mq_base.h"

typedef struct {
    int32_t x_start;
    int32_t y_start;
    uint32_t shape[6];
    int32_t x_step[6];
    int32_t y_step[6];
} mq_strided_copy_params;

typedef struct {
    uint32_t outer_count;
    uint32_t middle_count;
    uint32_t inner_count;
    uint32_t run;
    const int32_t *outer;
    const int32_t *middle;
    const int32_t *inner;
} mq_gather_params;

typedef struct {
    uint32_t count;
    uint32_t run;
    const int32_t *offset;
} mq_scatter_params;

typedef struct {
    uint32_t shape[6];
    int32_t condition_step[6];
    int32_t a_step[6];
    int32_t b_step[6];
} mq_where_params;

typedef struct {
    uint32_t rows;
    uint32_t a_bytes;
    uint32_t b_bytes;
    uint32_t c_bytes;
    uint32_t d_bytes;
} mq_concat_params;

void mq_strided_copy_8(const void *x, void *y, const mq_strided_copy_params *p);
void mq_strided_copy_16(const void *x, void *y, const mq_strided_copy_params *p);
void mq_strided_copy_32(const void *x, void *y, const mq_strided_copy_params *p);
void mq_strided_copy_64(const void *x, void *y, const mq_strided_copy_params *p);

void mq_gather_8(const void *x, void *y, const mq_gather_params *p);
void mq_gather_16(const void *x, void *y, const mq_gather_params *p);
void mq_gather_32(const void *x, void *y, const mq_gather_params *p);
void mq_gather_64(const void *x, void *y, const mq_gather_params *p);

void mq_scatter_8(const void *x, void *y, const mq_scatter_params *p);
void mq_scatter_16(const void *x, void *y, const mq_scatter_params *p);
void mq_scatter_32(const void *x, void *y, const mq_scatter_params *p);
void mq_scatter_64(const void *x, void *y, const mq_scatter_params *p);

void mq_where_8(const uint8_t *condition, const void *a, const void *b, void *y, const mq_where_params *p);
void mq_where_16(const uint8_t *condition, const void *a, const void *b, void *y, const mq_where_params *p);
void mq_where_32(const uint8_t *condition, const void *a, const void *b, void *y, const mq_where_params *p);
void mq_where_64(const uint8_t *condition, const void *a, const void *b, void *y, const mq_where_params *p);

void mq_set_16(void *y, uint32_t bits, uint32_t n);
void mq_set_32(void *y, uint32_t bits, uint32_t n);

void mq_concat(const void *a, const void *b, const void *c, const void *d, void *y, const mq_concat_params *p);

#endif
