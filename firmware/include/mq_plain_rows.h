/* Products of s8 matrices with vectors, sum_i w[o, i] x[i] for four rows o at a time, x in s8 or s16, on cores without
 * instructions for it: Armv6-M and RV32. Rows lie one after the other, as they are. mq_rows.h offers the same functions
 * for packed rows: what is written for one works with the other.
 *
 * One load of x serves four rows: 14 instructions for four products in mq_dots4_armv6m.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_PLAIN_ROWS_H
#define MQ_PLAIN_ROWS_H

#include "mq_base.h"

typedef int8_t mq_value_s8;
typedef int16_t mq_value_s16;

/* What a matrix lies in memory as. */
typedef int8_t mq_weights;

/* Rows `first` and on of a group of `rows`. */
static inline const mq_weights *mq_rows_from(const int8_t *w, uint32_t group, uint32_t first, uint32_t rows,
                                             uint32_t columns) {
    return w + ((size_t)group * rows + first) * columns;
}

#if defined(__ARM_ARCH_6M__) && defined(__GNUC__)

#include "mq_dots4_armv6m.h"

#else

typedef struct {
    const int8_t *a;
    const int8_t *b;
    const int8_t *c;
    const int8_t *d;
} mq_four_rows;

typedef struct {
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
} mq_four_dots;

static inline mq_four_rows mq_move_rows(const mq_four_rows *w, int32_t columns) {
    const mq_four_rows moved = {w->a + columns, w->b + columns, w->c + columns, w->d + columns};
    return moved;
}

static inline mq_four_dots mq_add_column(mq_four_dots acc, const mq_four_rows *w, int32_t column, int32_t x) {
    acc.a += x * w->a[column];
    acc.b += x * w->b[column];
    acc.c += x * w->c[column];
    acc.d += x * w->d[column];
    return acc;
}

/* sums[k] = sum_i x[i] w[k n + i], i < n, for k = 0 ... 3. */
MQ_OUT_OF_LINE void mq_dots4_s8(const int8_t *x, const int8_t *w, uint32_t n, int32_t *sums) {
    mq_four_rows rows = {w, w + n, w + 2u * n, w + 3u * n};
    mq_four_dots acc = {0, 0, 0, 0};
    for (const int8_t *end = x + (n & ~3u); x != end; x += 4) {
        acc = mq_add_column(acc, &rows, 0, x[0]);
        acc = mq_add_column(acc, &rows, 1, x[1]);
        acc = mq_add_column(acc, &rows, 2, x[2]);
        acc = mq_add_column(acc, &rows, 3, x[3]);
        rows = mq_move_rows(&rows, 4);
    }
    for (const int8_t *end = x + (n & 3u); x != end; x++) {
        acc = mq_add_column(acc, &rows, 0, x[0]);
        rows = mq_move_rows(&rows, 1);
    }
    sums[0] = acc.a;
    sums[1] = acc.b;
    sums[2] = acc.c;
    sums[3] = acc.d;
}

MQ_OUT_OF_LINE void mq_dots4_s16(const int16_t *x, const int8_t *w, uint32_t n, int32_t *sums) {
    mq_four_rows rows = {w, w + n, w + 2u * n, w + 3u * n};
    mq_four_dots acc = {0, 0, 0, 0};
    for (const int16_t *end = x + (n & ~3u); x != end; x += 4) {
        acc = mq_add_column(acc, &rows, 0, x[0]);
        acc = mq_add_column(acc, &rows, 1, x[1]);
        acc = mq_add_column(acc, &rows, 2, x[2]);
        acc = mq_add_column(acc, &rows, 3, x[3]);
        rows = mq_move_rows(&rows, 4);
    }
    for (const int16_t *end = x + (n & 3u); x != end; x++) {
        acc = mq_add_column(acc, &rows, 0, x[0]);
        rows = mq_move_rows(&rows, 1);
    }
    sums[0] = acc.a;
    sums[1] = acc.b;
    sums[2] = acc.c;
    sums[3] = acc.d;
}

#endif

/* --- x in s8 --- */

typedef struct {
    const int8_t *x;
    uint32_t columns;
} mq_vector_s8;

static inline mq_vector_s8 mq_vector_of_s8(const int8_t *x, uint32_t columns) {
    const mq_vector_s8 v = {x, columns};
    return v;
}

/* Sums of the next rows: four, or as many as are left. Returns where the rows behind them begin. */
MQ_OUT_OF_LINE const mq_weights *mq_rows_s8(const mq_vector_s8 *v, const mq_weights *w, uint32_t left, int32_t *sums) {
    if (left >= 4u) {
        mq_dots4_s8(v->x, w, v->columns, sums);
        return w + 4u * (size_t)v->columns;
    }
    for (uint32_t k = 0; k < left; k++) {
        int32_t acc = 0;
        for (uint32_t i = 0; i < v->columns; i++) {
            acc += (int32_t)v->x[i] * *w++;
        }
        sums[k] = acc;
    }
    return w;
}

/* --- x in s16 --- */

typedef struct {
    const int16_t *x;
    uint32_t columns;
} mq_vector_s16;

static inline mq_vector_s16 mq_vector_of_s16(const int16_t *x, uint32_t columns) {
    const mq_vector_s16 v = {x, columns};
    return v;
}

MQ_OUT_OF_LINE const mq_weights *mq_rows_s16(const mq_vector_s16 *v, const mq_weights *w, uint32_t left,
                                             int32_t *sums) {
    if (left >= 4u) {
        mq_dots4_s16(v->x, w, v->columns, sums);
        return w + 4u * (size_t)v->columns;
    }
    for (uint32_t k = 0; k < left; k++) {
        int32_t acc = 0;
        for (uint32_t i = 0; i < v->columns; i++) {
            acc += (int32_t)v->x[i] * *w++;
        }
        sums[k] = acc;
    }
    return w;
}

#endif
