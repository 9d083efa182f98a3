/* Products of s8 matrices with vectors, sum_i w[o, i] x[i] for four rows o at a time, x in s8 or s16, on cores without
 * instructions for it: Armv6-M and RV32. Rows lie one after the other, as they are. mq_rows.h offers the same functions
 * for packed rows: what is written for one works with the other.
 *
 * One load of x serves four rows: 14 instructions for four products in mq_dots4_armv6m.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_PLAIN_ROWS_H
#define MQ_PLAIN_ROWS_H

#include "mq_base.h"

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
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
} mq_four_dots;

static inline mq_four_dots mq_add_column(mq_four_dots acc, int32_t x, int32_t a, int32_t b, int32_t c, int32_t d) {
    acc.a += x * a;
    acc.b += x * b;
    acc.c += x * c;
    acc.d += x * d;
    return acc;
}

/* sums[k] = sum_i x[i] w[k n + i], i < n, for k = 0 ... 3. */
MQ_OUT_OF_LINE void mq_dots4_s8(const int8_t *x, const int8_t *w, uint32_t n, int32_t *sums) {
    const int8_t *rows[4] = {w, w + n, w + 2u * n, w + 3u * n};
    mq_four_dots acc = {0, 0, 0, 0};
    for (uint32_t i = n >> 2; i > 0; i--, x += 4) {
        const int8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
        acc = mq_add_column(acc, x[0], a[0], b[0], c[0], d[0]);
        acc = mq_add_column(acc, x[1], a[1], b[1], c[1], d[1]);
        acc = mq_add_column(acc, x[2], a[2], b[2], c[2], d[2]);
        acc = mq_add_column(acc, x[3], a[3], b[3], c[3], d[3]);
        rows[0] += 4, rows[1] += 4, rows[2] += 4, rows[3] += 4;
    }
    for (uint32_t i = 0; i < (n & 3u); i++) {
        acc = mq_add_column(acc, x[i], rows[0][i], rows[1][i], rows[2][i], rows[3][i]);
    }
    sums[0] = acc.a;
    sums[1] = acc.b;
    sums[2] = acc.c;
    sums[3] = acc.d;
}

MQ_OUT_OF_LINE void mq_dots4_s16(const int16_t *x, const int8_t *w, uint32_t n, int32_t *sums) {
    const int8_t *rows[4] = {w, w + n, w + 2u * n, w + 3u * n};
    mq_four_dots acc = {0, 0, 0, 0};
    for (uint32_t i = n >> 2; i > 0; i--, x += 4) {
        const int8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
        acc = mq_add_column(acc, x[0], a[0], b[0], c[0], d[0]);
        acc = mq_add_column(acc, x[1], a[1], b[1], c[1], d[1]);
        acc = mq_add_column(acc, x[2], a[2], b[2], c[2], d[2]);
        acc = mq_add_column(acc, x[3], a[3], b[3], c[3], d[3]);
        rows[0] += 4, rows[1] += 4, rows[2] += 4, rows[3] += 4;
    }
    for (uint32_t i = 0; i < (n & 3u); i++) {
        acc = mq_add_column(acc, x[i], rows[0][i], rows[1][i], rows[2][i], rows[3][i]);
    }
    sums[0] = acc.a;
    sums[1] = acc.b;
    sums[2] = acc.c;
    sums[3] = acc.d;
}

/* The same for rows in s16. */
MQ_OUT_OF_LINE void mq_dots4_of_s16(const int8_t *x, const int16_t *w, uint32_t n, int32_t *sums) {
    const int16_t *rows[4] = {w, w + n, w + 2u * n, w + 3u * n};
    mq_four_dots acc = {0, 0, 0, 0};
    for (uint32_t i = n >> 2; i > 0; i--, x += 4) {
        const int16_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
        acc = mq_add_column(acc, x[0], a[0], b[0], c[0], d[0]);
        acc = mq_add_column(acc, x[1], a[1], b[1], c[1], d[1]);
        acc = mq_add_column(acc, x[2], a[2], b[2], c[2], d[2]);
        acc = mq_add_column(acc, x[3], a[3], b[3], c[3], d[3]);
        rows[0] += 4, rows[1] += 4, rows[2] += 4, rows[3] += 4;
    }
    for (uint32_t i = 0; i < (n & 3u); i++) {
        acc = mq_add_column(acc, x[i], rows[0][i], rows[1][i], rows[2][i], rows[3][i]);
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

/* The sum of one row. */
MQ_OUT_OF_LINE int32_t mq_row_alone_s8(const int8_t *x, const mq_weights *w, uint32_t columns) {
    int32_t acc = 0;
    for (const int8_t *end = x + columns; x != end;) {
        acc += (int32_t)*x++ * *w++;
    }
    return acc;
}

/* Sums of the next rows: four, or as many as are left. Returns where the rows behind them begin. */
MQ_OUT_OF_LINE const mq_weights *mq_rows_s8(const mq_vector_s8 *v, const mq_weights *w, uint32_t left, int32_t *sums) {
    if (left >= 4u) {
        mq_dots4_s8(v->x, w, v->columns, sums);
        return w + 4u * (size_t)v->columns;
    }
    for (uint32_t k = 0; k < left; k++) {
        sums[k] = mq_row_alone_s8(v->x, w, v->columns);
        w += v->columns;
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

/* The sum of one row. */
MQ_OUT_OF_LINE int32_t mq_row_alone_s16(const int16_t *x, const mq_weights *w, uint32_t columns) {
    int32_t acc = 0;
    for (const int16_t *end = x + columns; x != end;) {
        acc += (int32_t)*x++ * *w++;
    }
    return acc;
}

MQ_OUT_OF_LINE const mq_weights *mq_rows_s16(const mq_vector_s16 *v, const mq_weights *w, uint32_t left,
                                             int32_t *sums) {
    if (left >= 4u) {
        mq_dots4_s16(v->x, w, v->columns, sums);
        return w + 4u * (size_t)v->columns;
    }
    for (uint32_t k = 0; k < left; k++) {
        sums[k] = mq_row_alone_s16(v->x, w, v->columns);
        w += v->columns;
    }
    return w;
}

/* --- rows in s16, x in s8 --- */

/* Sums of four rows, or as many as there are. */
MQ_OUT_OF_LINE void mq_rows_of_s16(const mq_vector_s8 *v, const int16_t *w, uint32_t rows, int32_t *sums) {
    if (rows >= 4u) {
        mq_dots4_of_s16(v->x, w, v->columns, sums);
        return;
    }
    for (uint32_t k = 0; k < rows; k++) {
        int32_t acc = 0;
        for (uint32_t i = 0; i < v->columns; i++) {
            acc += (int32_t)v->x[i] * *w++;
        }
        sums[k] = acc;
    }
}

#endif
